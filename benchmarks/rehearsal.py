"""`python -m benchmarks.rehearsal FOLDER`: the thesis's run at full scale, with tiny drawn images and a tiny network.

All 15,000 real studies with their labels, readers and boxes, the thesis's parameters but for the network and one epoch:
does anything break at that size, and how much memory and disk does each notebook take? FOLDER/images is read as resized
copies of VinBigData, although its pictures, of 64 pixels, are drawn here from the boxes: nothing in FOLDER says
anything about patients.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from cxrlib.data.annotations import VINBIGDATA_CLASSES, public_annotations_path, read_annotations
from cxrlib.data.render.frame import BOX_COLUMNS, boxes_as_fractions, estimate_frames
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.progress import progress
from cxrlib.workflow.notebooks import find_notebooks

SIDE = 64
SETTINGS = [
    "data.source=vinbigdata-resized",
    f"data.image_size={SIDE}",
    "model.architecture=resnet18",
    "model.weights=null",
    "model.input_size=32",
    "model.output_stride=16",
    "training.epochs=1",
    "smoothgrad.samples=5",
    "compute.workers=2",
    "compute.threads=1",
]
STAGE = """
import resource, sys, run_all
code = run_all.main(sys.argv[1:])
peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(max(peaks) // 1024)
sys.exit(code)
"""


def draw_images(folder: Path) -> None:
    """One picture per real study: noise, two dark lungs, a patch for each box by its class; and the original sizes."""
    annotations, _ = read_annotations(public_annotations_path())
    frames = estimate_frames(annotations).round().astype(int)
    boxes = boxes_as_fractions(annotations)
    boxes_of = {image_id: rows for image_id, rows in boxes.groupby("image_id")}
    random = np.random.default_rng(0)
    for image_id in progress(frames.index, "drawing", "image"):
        picture = random.normal(150, 15, (SIDE, SIDE)).astype(np.float32)
        for centre in (20, 44):
            cv2.ellipse(picture, (centre, 30), (9, 20), 0, 0, 360, 70, -1)
        for box in boxes_of[image_id].itertuples() if image_id in boxes_of else []:
            left, top, right, bottom = (round(getattr(box, name) * SIDE) for name in BOX_COLUMNS)
            picture[top : bottom + 1, left : right + 1] += 10 + 4 * VINBIGDATA_CLASSES.index(box.class_name)
        cv2.imwrite(str(folder / f"{image_id}.png"), picture.clip(0, 255).astype(np.uint8))
    # last: where it is, all pictures are there
    frames.rename(columns={"height": "dim0", "width": "dim1"}).to_csv(folder / "train_meta.csv")


def size_of(folder: Path) -> float:
    """Gigabytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def main() -> int:
    """Run notebook after notebook; print time, the memory of the largest process, and disk after each."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rehearsal",
        description=__doc__,
        epilog="Exit codes: 0 all well, otherwise that of the notebook that failed.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="receives images/ and run/; images that are there are used again"
    )
    folder = parser.parse_args().folder.resolve()
    images = folder / "images"
    if not (images / "train_meta.csv").exists():
        images.mkdir(parents=True, exist_ok=True)
        draw_images(images)
    changes = [word for setting in [*SETTINGS, f"data.root={images}"] for word in ("--set", setting)]
    print(f"{'notebook':20}{'minutes':>9}{'MB of memory':>14}{'GB of disk':>12}", flush=True)
    for notebook in find_notebooks()[:7]:
        begun = time.perf_counter()
        arguments = ["thesis", *changes, "--only", notebook.name[:2], "--out", str(folder / "run")]
        command = [sys.executable, "-c", STAGE, *arguments]
        done = subprocess.run(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(done.stdout)
            return done.returncode
        minutes, memory = (time.perf_counter() - begun) / 60, done.stdout.split()[-1]
        print(f"{notebook.stem:20}{minutes:9.1f}{memory:>14}{size_of(folder / 'run'):12.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
