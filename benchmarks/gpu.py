"""On a GPU: is everything right there, and how fast is it beside its peers?

    python -m benchmarks gpu                             # on a machine with an NVIDIA GPU; outputs/gpu.json
    python -m benchmarks gpu correct speed --size small  # the same code on a CPU, on small networks and images

`correct` compares maps, all methods, SmoothGrad and perturbation with the CPU in float64, `speed` times them beside
pytorch-grad-cam and captum. Results go to outputs/gpu.json, or to the file that --to names. `pytest -m cuda` runs the
unit tests on the GPU; `python -m benchmarks full_scale` times the whole thesis.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.gpu_correct import correct
from benchmarks.gpu_setup import SIZES, machine
from benchmarks.gpu_speed import speed
from cxrlib.runtime.device import pick_device
from cxrlib.runtime.files import PROJECT_ROOT, read_json, write_json

PARTS = {"correct": correct, "speed": speed}


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts asked for, print and store each as it is done."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them without an argument")
    parser.add_argument("--size", choices=SIZES, default="full", help="full (default) needs a CUDA device")
    parser.add_argument(
        "--to",
        type=Path,
        default=PROJECT_ROOT / "outputs" / "gpu.json",
        metavar="FILE",
        help="default: outputs/gpu.json",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part {min(unknown)!r}; choose {', '.join(PARTS)}")
    device = pick_device("auto")
    if options.size == "full" and device.type != "cuda":
        parser.error("--size full needs a CUDA device; --size small runs anywhere")
    results = read_json(options.to) if options.to.exists() else {}
    for name in options.parts or PARTS:
        begun = time.perf_counter()
        results[name] = PARTS[name](SIZES[options.size], device) | {"seconds": time.perf_counter() - begun}
        results["machine"] = machine(device)
        write_json(options.to, results)
        show(name, results[name])
    return 0


def show(name: str, found: object, depth: int = 0) -> None:
    """Print nested results, a value a line."""
    if isinstance(found, dict):
        print(f"{'  ' * depth}{name}", flush=True)
        for key, value in found.items():
            show(key, value, depth + 1)
    else:
        print(
            f"{'  ' * depth}{name:40} {found:.4g}" if isinstance(found, float) else f"{'  ' * depth}{name:40} {found}"
        )


if __name__ == "__main__":
    sys.exit(main())
