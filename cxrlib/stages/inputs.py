"""Images in the network's frame: made once per run, read a batch at a time."""

from pathlib import Path

import numpy as np

from cxrlib.data.cohort import Cohort
from cxrlib.model.batches import StoredInputs
from cxrlib.model.networks import to_input
from cxrlib.runtime.files import fingerprint, whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.progress import progress
from cxrlib.runtime.store import keep
from cxrlib.runtime.work_list import once

CODE = code_fingerprint("cxrlib.model.networks")
"""What resizes; taken on loading."""


CHUNK = 256
"""Images that are resized at once."""


def network_inputs(cohort: Cohort, image_ids: list[str], size: int) -> StoredInputs:
    """Images in the network's frame of `size` pixels.

    The first call stores those of the whole cohort beside its pixels, as uint8 (studies, size, size). Of several
    processes one stores them, and the others wait.
    """
    path = cohort.folder / f"inputs-{size}.npy"
    identity = fingerprint([cohort.provenance.data, size, CODE])

    def make() -> None:
        _store_inputs(cohort.folder / "pixels.npy", path, size)
        keep(path, identity)

    once(path, identity, make)
    return StoredInputs(path, cohort.positions(image_ids))


def _store_inputs(pixels_path: Path, path: Path, size: int) -> None:
    count = len(np.load(pixels_path, mmap_mode="r"))
    with whole_file(path) as temporary:
        np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, size, size))
        for start in progress(range(0, count, CHUNK), f"resizing to {size} px", "chunk"):
            # both files are opened anew for each chunk, so that memory does not grow with what is read or written
            pixels = np.array(np.load(pixels_path, mmap_mode="r")[start : start + CHUNK])
            stored = np.load(temporary, mmap_mode="r+")
            stored[start : start + CHUNK] = to_input(pixels, size)[:, 0].numpy()
