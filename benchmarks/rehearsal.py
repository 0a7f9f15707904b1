"""`python -m benchmarks.rehearsal [FOLDER]`: the thesis's run at full scale, with small images and a tiny network.

All 15,000 real studies (rendered, 64 px), the thesis's labels, split and thresholds, one epoch: does anything break at
that size, and how much memory and disk does each notebook take? A stopped rehearsal goes on where it stopped.
"""

import subprocess
import sys
import time
from pathlib import Path

from cxrlib.files import PROJECT_ROOT
from cxrlib.workflow.notebooks import find_notebooks

SETTINGS = [
    "data.source=demo",
    "data.root=null",
    "data.no_finding_share=0.70707",  # 10,606 of 15,000, as in the annotations
    "data.image_size=64",
    "model.architecture=resnet18",
    "model.weights=null",
    "model.input_size=32",
    "model.output_stride=16",
    "training.epochs=1",
    "smoothgrad.samples=5",
    "compute.workers=2",
]
STAGE = """
import resource, sys, run_all
code = run_all.main(sys.argv[1:])
peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(max(peaks) // 1024)
sys.exit(code)
"""


def size_of(folder: Path) -> float:
    """Gigabytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def main() -> int:
    """Run notebook after notebook; print time, the memory of the largest process, and disk after each."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else PROJECT_ROOT / "outputs" / "rehearsal")
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    print(f"{'notebook':20}{'minutes':>9}{'MB of memory':>14}{'GB of disk':>12}", flush=True)
    for notebook in find_notebooks()[:7]:
        begun = time.perf_counter()
        arguments = ["thesis", *changes, "--only", notebook.name[:2], "--out", str(folder)]
        done = subprocess.run(
            [sys.executable, "-c", STAGE, *arguments], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            print(done.stdout)
            return done.returncode
        minutes, memory = (time.perf_counter() - begun) / 60, done.stdout.split()[-1]
        print(f"{notebook.stem:20}{minutes:9.1f}{memory:>14}{size_of(folder):12.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
