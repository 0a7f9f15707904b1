"""`python -m benchmarks [PART ...]` measures speed beside the peers: outputs/benchmarks.json and .md, a figure.

All parts are measured without an argument, in about an hour; otherwise the entries of the others stay. Install the
peers first: pip install -e '.[benchmarks]'. Leave the machine alone meanwhile.
"""

import argparse
import datetime
import importlib
import os
import platform
import runpy
import sys
import warnings
from importlib.metadata import version
from types import ModuleType

from benchmarks.page import page_of, processor
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT, read_json, whole_file, write_json
from cxrlib.workflow.command import exit_code

warnings.filterwarnings("ignore")  # the peers' own

GOALS = {
    "gradcam_vs_pytorch_grad_cam": (">=", 50),
    "gradcam_vs_captum": (">=", 8),
    "gradcam_over_forward": ("<=", 1.05),
    "smoothgrad_vs_captum": (">=", 9),
    "smoothgrad_over_forward": ("<=", 1.10),
    "perturbation_vs_quantus": (">=", 1.4),
    "perturbation_over_forward": ("<=", 1.10),
    "forward_vs_torchvision": (">=", 1.6),
    "forward_of_gemm_peak": (">=", 0.80),
    "loader_vs_torchvision": (">=", 5),
    "dicom_vs_loop": (">=", 1.8),
    "scorecam_vs_pytorch_grad_cam": (">=", 7),
    "scorecam_over_forward": ("<=", 1.15),
    "occlusion_vs_captum": (">=", 6),
    "occlusion_over_forward": ("<=", 1.15),
    "rise_vs_loop": (">=", 6),
    "rise_over_forward": ("<=", 1.15),
    "kernelshap_vs_captum": (">=", 5),
    "kernelshap_over_forward": ("<=", 1.15),
    "guided_backprop_vs_captum": (">=", 1.5),
    "guided_backprop_over_passes": ("<=", 1.15),
    "integrated_gradients_vs_captum": (">=", 1.5),
    "integrated_gradients_over_passes": ("<=", 1.15),
    "max_sensitivity_vs_quantus": (">=", 2),
    "randomisation_vs_quantus": (">=", 2),
    "methods_memory_growth": ("<=", 1.10),
    "memory_growth": ("<=", 1.10),
    "import_seconds": ("<=", 0.3),
}
PARTS = {
    "explanations": "forward pass, Grad-CAM, SmoothGrad and perturbation",
    "methods": "Score-CAM, occlusion, RISE, KernelSHAP, guided backpropagation and integrated gradients",
    "trust": "max-sensitivity, and parameters that are randomised layer by layer",
    "data": "the loader of training batches, and the reading of DICOM files",
    "resources": "memory over many images, and the time of an import",
    "growth": "time and memory by classes, samples, shares and images, with a figure",
}
"""What can be measured alone; each part is a module of this package."""
COMMANDS = ("browser", "conversion", "first_picture", "full_scale", "gpu", "rehearsal", "twins")
"""Measured alone, each with arguments of its own; `python -m benchmarks NAME` is `python -m benchmarks.NAME`."""
OUTPUTS = PROJECT_ROOT / "outputs"
PACKAGES = ["torch", "torchvision", "captum", "grad-cam", "quantus", "pydicom", "opencv-python-headless", "pillow"]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return 0 if every goal is met, 1 if not, 2 for an unknown part or a missing peer."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        sys.argv[1:] = arguments[1:]
        runpy.run_module(f"benchmarks.{arguments[0]}", run_name="__main__", alter_sys=True)
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="parts:\n"
        + "\n".join(f"  {name:14}{what}" for name, what in PARTS.items())
        + "\n\nMeasured alone, see python -m benchmarks NAME --help:\n"
        + f"  {', '.join(COMMANDS)}\n\n"
        + "Exit codes: 0 every goal is met, 1 one is not, 2 wrong usage or a missing peer.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", metavar="PART", nargs="*", help=f"{', '.join(PARTS)} (default: all)")
    parts = parser.parse_args(arguments).parts
    return exit_code("benchmarks", lambda: _measure(parts or [*PARTS]))


def _measure(parts: list[str]) -> int:
    if unknown := set(parts) - set(PARTS):
        raise Refusal(f"unknown part {sorted(unknown)[0]!r}; choose {', '.join(PARTS)}")
    modules = {name: _module(name) for name in parts}
    path = OUTPUTS / "benchmarks.json"
    results = {"entries": {}, "growth": {}} | (read_json(path) if path.exists() else {})
    print(f"{'':32}{'ratio':>9}  {'goal':>8}  {'ours':>10}  {'peer':>10}  unit")
    for name in [name for name in PARTS if name in parts and name != "growth"]:
        for key, found in modules[name].measure():
            results["entries"][key] = judge(key, found) | machine()
            write_json(path, results)
            with whole_file(path.with_suffix(".md")) as temporary:
                temporary.write_text(page_of(results["entries"]), encoding="utf-8")
    if "growth" in parts:
        results["growth"] = modules["growth"].measure()
        write_json(path, results)
        with whole_file(OUTPUTS / "benchmarks_growth.png") as temporary:
            modules["growth"].growth_figure(results["growth"]).savefig(temporary, dpi=200)
    return 0 if all(found["met"] for found in results["entries"].values()) else 1


def _module(part: str) -> ModuleType:
    try:
        return importlib.import_module(f"benchmarks.{part}")
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] in ("benchmarks", "cxrlib"):
            raise
        raise Refusal(f"{error.name} is missing; run: pip install -e '.[benchmarks]'") from error


def judge(key: str, found: dict) -> dict:
    """Print one entry beside its goal, and what was measured with it; return it with the goal and whether it is met."""
    sign, goal = GOALS[key]
    met = found["ratio"] >= goal if sign == ">=" else found["ratio"] <= goal
    print(
        f"{key:32}{found['ratio']:9.3f}  {sign} {goal:5}  {found['ours']:10.3f}  {found['peer']:10.3f}  "
        f"{found['unit']}; {found['against']}{'' if met else '   not met'}",
        flush=True,
    )
    for name, value in found.items():
        if isinstance(value, float) and name not in ("ratio", "ours", "peer"):
            print(f"  {name.replace('_', ' '):50}{value:9.3g}", flush=True)
    return found | {"goal": f"{sign} {goal}", "met": met}


def machine() -> dict:
    """What an entry was measured on, and when."""
    return {
        "measured": str(datetime.datetime.now(datetime.UTC).date()),
        "cores": os.cpu_count(),
        "processor": processor(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    sys.exit(main())
