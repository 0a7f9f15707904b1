"""`python -m benchmarks.conversion`: how fast full-size radiographs become 512 px, and what VinBigData would take.

Renders 50 radiographs of 3,072 x 2,560 pixels, 12 bit, JPEG 2000 lossless, and converts them with one and with two
processes. Times are given by the clock, which other work on the machine slows, and as processor time, which it hardly
does.
"""

import argparse
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from pydicom.uid import JPEG2000Lossless

from benchmarks.timing import seconds
from cxrlib.data.convert import convert_images
from cxrlib.data.render.dicom_file import dicom_dataset, sample_format
from cxrlib.data.render.radiograph import render_radiograph

FILES, ROWS, COLUMNS, STUDIES = 50, 3072, 2560, 15_000
NOISE = 300
"""Standard deviation of the grain in 16-bit grey values: the files become as large as real ones."""


def write_radiograph(path: Path, seed: int) -> int:
    """One rendered radiograph of full size as JPEG 2000; returns the bytes of its file."""
    no_boxes = pd.DataFrame(columns=["class_name", "rad_id", "x_min", "y_min", "x_max", "y_max"])
    small, _ = render_radiograph(no_boxes, seed)
    random = np.random.default_rng(seed)
    grey = cv2.resize(small, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC) + random.normal(0, NOISE, (ROWS, COLUMNS))
    pixels = np.clip(grey, 0, 65535).astype(np.uint16)
    for draw in range(10_000):  # file properties are drawn; take the first that are those wanted here
        found = sample_format(pixels.shape, path.stem, np.random.default_rng(draw))
        if found.dataset.BitsStored == 12 and found.compression == JPEG2000Lossless:
            break
    dataset = dicom_dataset(pixels, path.stem, np.random.default_rng(draw))
    dataset.save_as(path, enforce_file_format=True)
    return path.stat().st_size


def processor_seconds() -> float:
    """Processor time of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Render, convert and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.dicom" for number in range(FILES)]
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            sizes = list(pool.map(write_radiograph, paths, range(FILES)))
        print(f"{FILES} rendered files of {ROWS:,} x {COLUMNS:,}, {np.mean(sizes) / 1e6:.1f} MB each")
        images = pd.DataFrame({"image_id": [path.stem for path in paths], "path": [str(path) for path in paths]})
        for workers in (1, 2):
            before = processor_seconds()
            clock = seconds(lambda workers=workers: convert_images(images, folder / str(workers), 512, workers))
            used = processor_seconds() - before
            print(f"{workers} processes: {FILES / clock:.2f} images/s, {used / FILES:.2f} processor seconds an image;")
            print(f"  {STUDIES:,} images would take {STUDIES * clock / FILES / 3600:.1f} h")
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak memory of a process: {memory:.0f} MB")


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m benchmarks.conversion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    main()
