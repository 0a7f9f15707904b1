"""Radiograph files of any size to one memory-mapped array of square 8-bit images."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from cxrlib.data.archive import identity
from cxrlib.data.greys import MAX_PIXELS
from cxrlib.data.images import read_square, unusable
from cxrlib.runtime.environment import environment
from cxrlib.runtime.errors import Refusal, system_errors_refused
from cxrlib.runtime.files import fingerprint, whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.progress import progress
from cxrlib.runtime.store import keep, work_on, working_folder
from cxrlib.runtime.stored_tables import read_stored
from cxrlib.runtime.work_list import is_to_make, once, own_number, own_pieces, require_all
from cxrlib.runtime.workers import worker_pool

CODE = code_fingerprint("cxrlib.data.images")
"""What reads and resizes a file."""


CHUNK = 4
"""Files that a process takes at once."""


AHEAD = 1024
"""Files that are read before the first of them is stored, at most: their pictures wait in memory."""


BLOCK = 16
"""Files that follow each other and are one piece of the list that processes share."""


JOURNALS = "journal-*.jsonl"
"""What each process has converted; the number of the process stands in place of the star."""


CRASHED = "the process that read it ended; the decoder crashed, or it took too much memory"


DECODERS = ("pillow", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "python-gdcm")
"""Packages that pydicom calls by itself."""


@system_errors_refused()
def convert_images(
    images: pd.DataFrame, folder: Path, size: int, workers: int, max_pixels: int = MAX_PIXELS
) -> pd.DataFrame:
    """Convert image files into `folder`/pixels.npy, uint8 (rows of `images`, size, size).

    The same request returns at once what is kept (`cxrlib.runtime.store`). An interrupted conversion goes on where it
    stopped. Processes share the files by blocks (`cxrlib.runtime.work_list`). The thesis stored 512 px JPEG files; the
    array holds the same pixels without JPEG's losses.

    Args:
        images: columns image_id and path (of a file, or of a member of a zip).
        folder: where pixels.npy and sizes.csv are written.
        size: side of the stored images in pixels.
        workers: processes that read and resize.
        max_pixels: an image that declares more is not decoded.

    Returns:
        One row per image, in the order of `images`: image_id, width, height (pixels of the file) and reason, which
        is empty or says why the image cannot be used; such an image's pixels are zero.

    Raises:
        Refusal: the disk is too small, and nothing has been written; or it fails on the way, and the next call goes on.
        Unfinished: as `require_all`.
    """
    sources = [identity(path) for path in images["path"]]
    decoders = [environment().get(name) for name in DECODERS]
    request = fingerprint([size, max_pixels, images["image_id"].tolist(), sources, CODE, decoders])
    pixels_path, sizes_path = folder / "pixels.npy", folder / "sizes.csv"
    work = working_folder(pixels_path, request)
    partial_pixels = work / pixels_path.name

    def begin() -> None:
        work_on(pixels_path, request)
        pixels_path.unlink(missing_ok=True)  # the disk need not hold two arrays
        _require_space(folder, partial_pixels, len(images) * size * size)
        _require_array(partial_pixels, (len(images), size, size))

    def finish() -> None:
        done = _read_journals(work)
        sizes = pd.DataFrame([done[i] for i in range(len(images))], columns=["width", "height", "reason"])
        sizes.insert(0, "image_id", images["image_id"].to_numpy())
        with whole_file(work / sizes_path.name) as temporary:
            sizes.to_csv(temporary, index=False)
        keep(pixels_path, request, [sizes_path.name])

    if is_to_make(pixels_path, request, begin):
        read = partial(read_square, size=size, max_pixels=max_pixels)
        _convert(images["path"].tolist(), read, size, work, partial_pixels, workers)
        require_all(lambda: _converted(work, len(images)), "converting")
        once(pixels_path, request, finish)
    return read_stored(sizes_path)


def _require_array(path: Path, shape: tuple[int, int, int]) -> None:
    """Begin with an array of zeros where no whole one is there; no journal speaks of the new one."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        if np.load(path, mmap_mode="r").shape == shape:
            return
    for journal in path.parent.glob(JOURNALS):
        journal.unlink()
    with whole_file(path) as temporary:
        np.lib.format.open_memmap(temporary, "w+", np.uint8, shape).flush()


def _convert(paths: list[str], read: Callable, size: int, work: Path, pixels: Path, workers: int) -> None:
    """Fill this process's rows of `pixels` that no journal in `work` holds, in order, and note each in its own journal.

    Rows are written, not mapped into memory: machines that share a disk would overwrite each other's pages.
    """
    done, all_rows = _read_journals(work), range(len(paths))
    blocks = [all_rows[start : start + BLOCK] for start in all_rows[::BLOCK]]
    waiting = [position for block in own_pieces(blocks) for position in block if position not in done]
    reading = _read_all([paths[position] for position in waiting], read, size, workers)
    first = np.load(pixels, mmap_mode="r").offset
    journal = work / JOURNALS.replace("*", str(own_number()[0]))
    with journal.open("a") as log, pixels.open("r+b") as file, contextlib.closing(reading) as results:
        log.write("\n")  # ends a line that an interruption cut short
        for position, (picture, width, height, reason) in zip(
            waiting, progress(results, "converting", "image", len(waiting)), strict=True
        ):
            file.seek(first + position * size * size)
            file.write(picture.tobytes())
            file.flush()
            log.write(json.dumps([position, width, height, reason]) + "\n")
            log.flush()


def _read_all(paths: list[str], read: Callable, size: int, workers: int) -> Iterator[tuple]:
    """`read` of every path, in order, by worker processes.

    A decoder can crash and end its process, and with it the pool. Each of the next files then gets a process of its
    own, until one ends again: the file that it read is set aside, and a new pool reads the others.
    """
    begun = 0
    while begun < len(paths):
        try:
            with worker_pool(workers, cv2.setNumThreads, (1,)) as pool:
                while begun < len(paths):
                    for found in pool.map(read, paths[begun : begun + AHEAD], chunksize=CHUNK):
                        begun += 1
                        yield found
        except BrokenProcessPool:
            for path in paths[begun : begun + CHUNK * (workers + 1)]:
                found = _read_alone(path, read)
                begun += 1
                yield found or unusable(size, f"{path}: {CRASHED}")
                if not found:
                    break


def _read_alone(path: str, read: Callable) -> tuple | None:
    """What `read` gives in a process of its own; None where the process ends.

    Raises:
        Refusal: processes end whatever they read.
    """
    with worker_pool(1, cv2.setNumThreads, (1,)) as pool:
        try:
            pool.submit(int).result()
        except BrokenProcessPool:
            raise Refusal(
                "the processes that convert images end as soon as they start; free memory, or lower compute.workers"
            ) from None
        try:
            return pool.submit(read, path).result()
        except BrokenProcessPool:
            return None


def _require_space(folder: Path, partial_pixels: Path, needed: int) -> None:
    """Refuse to start what the disk cannot hold; blocks that an interrupted conversion wrote are there already."""
    written = partial_pixels.stat().st_blocks * 512 if partial_pixels.exists() else 0
    free = shutil.disk_usage(folder).free
    if needed - written > free:
        raise Refusal(
            f"{folder}: the converted images need {(needed - written) / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "free some, choose another folder with --out, or lower data.image_size"
        )


def _converted(work: Path, count: int) -> list[bool]:
    """Whether each of `count` rows is converted."""
    done = _read_journals(work)
    return [position in done for position in range(count)]


def _read_journals(work: Path) -> dict[int, tuple[int, int, str]]:
    """Positions that any process has converted; a line that a crash cut short is no list any more, and is ignored."""
    done = {}
    for line in [line for journal in work.glob(JOURNALS) for line in journal.read_text().splitlines()]:
        with contextlib.suppress(ValueError, TypeError):
            position, *found = json.loads(line)
            done[position] = tuple(found)
    return done
