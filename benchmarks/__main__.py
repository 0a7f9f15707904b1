"""`python -m benchmarks` measures every speed claim beside its peer and writes outputs/benchmarks.json and a figure.

Install the peers first: pip install -e '.[benchmarks]'. Takes about ten minutes; leave the machine alone meanwhile.
"""

import importlib
import os
import platform
import sys
import warnings
from importlib.metadata import version

import torch

from cxrlib.files import PROJECT_ROOT, whole_file, write_json

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
    "memory_growth": ("<=", 1.10),
    "import_seconds": ("<=", 0.3),
}
PACKAGES = ["torch", "torchvision", "captum", "grad-cam", "quantus", "pydicom", "opencv-python-headless", "pillow"]


def main() -> int:
    """Measure, print and write; 0 if every goal is met."""
    try:
        modules = [importlib.import_module(f"benchmarks.{name}") for name in ("explanations", "data", "resources")]
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing: pip install -e '.[benchmarks]'", file=sys.stderr)
        return 2
    machine = {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }
    entries = {}
    print(f"{'':30}{'ratio':>9}  {'goal':>8}  {'ours':>10}  {'peer':>10}  unit")
    for module in modules:
        for key, found in module.measure():
            sign, goal = GOALS[key]
            met = found["ratio"] >= goal if sign == ">=" else found["ratio"] <= goal
            entries[key] = found | {"goal": f"{sign} {goal}", "met": met} | machine
            mark = "" if met else "   not met"
            print(
                f"{key:30}{found['ratio']:9.3f}  {sign} {goal:5}  {found['ours']:10.3f}  {found['peer']:10.3f}  "
                f"{found['unit']}; {found['against']}{mark}",
                flush=True,
            )
    growth = importlib.import_module("benchmarks.growth")
    panels = growth.measure()
    outputs = PROJECT_ROOT / "outputs"
    write_json(outputs / "benchmarks.json", {"entries": entries, "growth": panels})
    with whole_file(outputs / "benchmarks_growth.png") as temporary:
        growth.growth_figure(panels).savefig(temporary, dpi=200)
    return 0 if all(found["met"] for found in entries.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
