"""`python -m benchmarks.rehearsal FOLDER`: the thesis's run at full scale, with tiny drawn images and a tiny network.

All 15,000 real studies with their labels, readers and boxes, the thesis's parameters but for the network and one epoch:
does anything break at that size, and how much memory and disk does each notebook take? FOLDER/images-15000 is read as
resized copies of VinBigData, although its pictures, of 64 pixels, are drawn here from the boxes: nothing in FOLDER says
anything about patients.

Linux keeps the peak memory of every process. Elsewhere it is the most that was seen at a look, five times a second.

`--studies N` takes fewer studies, or more: above 15,000 real studies are drawn again under new identifiers, with the
same labels, readers and boxes and other noise. They are drawings, not further patients.
"""

import argparse
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil

from cxrlib.data.annotations import VINBIGDATA_CLASSES, public_annotations_path, read_annotations
from cxrlib.data.render.frame import BOX_COLUMNS, boxes_as_fractions, estimate_frames
from cxrlib.runtime.files import PROJECT_ROOT, whole_file
from cxrlib.runtime.progress import progress
from cxrlib.runtime.workers import worker_pool
from cxrlib.workflow.command import add_overrides, exit_code
from cxrlib.workflow.notebooks import find_notebooks

SIDE = 64
WORKERS = 2
SETTINGS = [
    "data.source=vinbigdata-resized",
    f"data.image_size={SIDE}",
    "model.architecture=resnet18",
    "model.weights=null",
    "model.input_size=32",
    "model.output_stride=16",
    "training.epochs=1",
    "smoothgrad.samples=5",
    "methods.n_studies=5",
    f"compute.workers={WORKERS}",
    "compute.threads=1",
]
RUN = "import sys, run_all; sys.exit(run_all.main(sys.argv[1:]))"
LOOK_AGAIN = 0.2
"""Seconds between two looks at the memory of the processes; Linux keeps each one's peak while it lives."""
LINUX = sys.platform.startswith("linux")


def drawn_again(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows of `count` studies: the first by their ids, and from the first again, under new ids, where these end.

    Args:
        table: with the column image_id, or indexed by it.
        count: number of studies.

    >>> drawn_again(pd.DataFrame({"image_id": ["b", "a", "a"], "x": [1, 2, 3]}), 3)["x"].tolist()
    [2, 3, 1, 2, 3]
    """
    indexed = table.index.name == "image_id"
    rows = table.reset_index() if indexed else table
    image_ids = sorted(rows["image_id"].unique())
    parts = []
    for start in range(0, count, len(image_ids)):
        part = rows[rows["image_id"].isin(image_ids[: count - start])]
        part = part.sort_values("image_id", kind="stable")
        parts.append(part.assign(image_id=[id_again(name, start) for name in part["image_id"]]))
    found = pd.concat(parts, ignore_index=True)
    return found.set_index("image_id") if indexed else found


def id_again(image_id: str, start: int) -> str:
    """The id itself at the first time, then another of as many digits for each time."""
    return hashlib.md5(f"{image_id} {start}".encode()).hexdigest() if start else image_id


def draw_images(folder: Path, count: int) -> None:
    """One picture per study: noise, two dark lungs, a patch for each box by its class; annotations, original sizes."""
    annotations, _ = read_annotations(public_annotations_path())
    frames = drawn_again(estimate_frames(annotations).round().astype(int), count)
    boxes = drawn_again(boxes_as_fractions(annotations), count)
    boxes = boxes[boxes["image_id"].isin(frames.index)]
    levels = 10 + 4 * boxes["class_name"].map(VINBIGDATA_CLASSES.index).to_numpy()
    patches = np.column_stack([(boxes[BOX_COLUMNS].to_numpy() * SIDE).round(), levels]).astype(int)
    rows_of = boxes.reset_index(drop=True).groupby("image_id").indices
    tasks = [(folder / f"{image_id}.png", patches[rows_of.get(image_id, [])]) for image_id in frames.index]
    with worker_pool(WORKERS, cv2.setNumThreads, (1,)) as pool:
        for _ in progress(pool.map(draw, *zip(*tasks, strict=True), chunksize=200), "drawing", "image", len(tasks)):
            pass
    with whole_file(folder / "train.csv") as temporary:
        drawn_again(annotations, count).to_csv(temporary, index=False)
    with whole_file(folder / "train_meta.csv") as temporary:  # last: where it is, all pictures are there
        frames.rename(columns={"height": "dim0", "width": "dim1"}).to_csv(temporary)


def draw(path: Path, patches: np.ndarray) -> None:
    """Draw one study's picture; its noise follows from its name.

    Args:
        path: of the picture.
        patches: left, top, right, bottom and how much brighter, int64 (boxes, 5).
    """
    random = np.random.default_rng(zlib.crc32(path.stem.encode()))
    picture = random.normal(150, 15, (SIDE, SIDE)).astype(np.float32)
    for centre in (20, 44):
        cv2.ellipse(picture, (centre, 30), (9, 20), 0, 0, 360, 70, -1)
    for left, top, right, bottom, brighter in patches:
        picture[top : bottom + 1, left : right + 1] += brighter
    with whole_file(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", picture.clip(0, 255).astype(np.uint8))[1].tobytes())


def size_of(folder: Path) -> float:
    """Gigabytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def watched(command: list[str], log: Path) -> tuple[int, dict[bool, int]]:
    """Run a command; what it prints goes to `log`.

    Returns:
        Its exit code, and the peak memory in MB of the largest process below it that is a kernel (True: it leads a
        session of its own and was forked by the server of kernels), and of the largest that is none (False), each the
        highest `memory_of` of all looks.
    """
    peaks = {}
    with log.open("w") as out, subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=out, stderr=subprocess.STDOUT) as run:
        main = psutil.Process(run.pid)
        while run.poll() is None:
            with contextlib.suppress(psutil.Error):
                for process in [main, *main.children(recursive=True)]:
                    with contextlib.suppress(OSError, TypeError, psutil.Error):
                        forked = not LINUX or process.ppid() != run.pid
                        is_kernel = forked and os.getsid(process.pid) == process.pid != run.pid
                        peaks[is_kernel] = max(peaks.get(is_kernel, 0), memory_of(process))
            time.sleep(LOOK_AGAIN)
    return run.returncode, peaks


def memory_of(process: psutil.Process) -> int:
    """The peak memory of a living process so far in MB, where the system is Linux; elsewhere what it has now.

    Raises:
        OSError, TypeError, psutil.Error: it has ended.
    """
    if not LINUX:
        return process.memory_info().rss // 2**20
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def main() -> int:
    """Run notebook after notebook; print time, memory (of its kernel, and of the largest other process), and disk."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rehearsal",
        description=__doc__,
        epilog="Exit codes: 0 all well, 2 no space or access, otherwise that of the notebook that failed.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="receives images-N/ and run/; images that are there are used again"
    )
    parser.add_argument(
        "--studies", type=int, default=15_000, metavar="N", help="how many (default: 15,000, all real ones once)"
    )
    parser.add_argument("--only", metavar="NN,NN", default="", help="notebooks, e.g. 01,06 (default: the thesis's)")
    add_overrides(parser)
    options = parser.parse_args()
    return exit_code("benchmarks.rehearsal", lambda: _rehearse(options))


def _rehearse(options: argparse.Namespace) -> int:
    folder = options.folder.resolve()
    images = folder / f"images-{options.studies}"
    if not (images / "train_meta.csv").exists():
        images.mkdir(parents=True, exist_ok=True)
        draw_images(images, options.studies)
    changes = [
        word for setting in [*SETTINGS, f"data.root={images}", *options.overrides] for word in ("--set", setting)
    ]
    print(f"{'notebook':20}{'minutes':>9}{'MB, notebook':>14}{'MB, others':>14}{'GB of disk':>12}", flush=True)
    numbers = options.only.split(",") if options.only else [notebook.name[:2] for notebook in find_notebooks()[:7]]
    for notebook in (notebook for notebook in find_notebooks() if notebook.name[:2] in numbers):
        begun = time.perf_counter()
        arguments = ["thesis", *changes, "--only", notebook.name[:2], "--out", str(folder / "run")]
        code, peaks = watched([sys.executable, "-c", RUN, *arguments], folder / "log.txt")
        if code:
            print((folder / "log.txt").read_text())
            return code
        minutes, kernel, others = (time.perf_counter() - begun) / 60, peaks.get(True, 0), peaks.get(False, 0)
        print(f"{notebook.stem:20}{minutes:9.1f}{kernel:14}{others:14}{size_of(folder / 'run'):12.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
