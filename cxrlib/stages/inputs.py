"""Images in the network's frame: made once per run, read a batch at a time, brought to the device ahead of need."""

from pathlib import Path

import numpy as np

from cxrlib.data.cohort import Cohort
from cxrlib.model.batches import StoredInputs
from cxrlib.model.networks import to_input
from cxrlib.runtime.distributed import rank, wait_for_all
from cxrlib.runtime.files import whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.progress import progress

CODE = code_fingerprint(__name__)


CHUNK = 256
"""Images that are resized at once."""


def network_inputs(cohort: Cohort, image_ids: list[str], size: int) -> StoredInputs:
    """Images in the network's frame of `size` pixels; the first call stores those of the whole cohort beside it."""
    pixels_path = cohort.folder / "pixels.npy"
    path = cohort.folder / f"inputs-{size}-{CODE}.npy"
    if rank() == 0 and (not path.exists() or path.stat().st_mtime_ns < pixels_path.stat().st_mtime_ns):
        _store_inputs(pixels_path, path, size)
    wait_for_all()
    return StoredInputs(path, cohort.positions(image_ids))


def _store_inputs(pixels_path: Path, path: Path, size: int) -> None:
    for outdated in path.parent.glob(f"inputs-{size}-*.npy"):
        outdated.unlink()
    count = len(np.load(pixels_path, mmap_mode="r"))
    with whole_file(path) as temporary:
        stored = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, size, size))
        for start in progress(range(0, count, CHUNK), f"resizing to {size} px", "chunk"):
            pixels = np.array(np.load(pixels_path, mmap_mode="r")[start : start + CHUNK])
            stored[start : start + CHUNK] = to_input(pixels, size)[:, 0].numpy()
        stored.flush()
