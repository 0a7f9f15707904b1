"""Images in the network's frame: made once per run, read a batch at a time, brought to the device ahead of need."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from cxrlib.cohort import Cohort
from cxrlib.distributed import rank, wait_for_all
from cxrlib.files import whole_file
from cxrlib.progress import progress
from cxrlib.resnet import to_input
from cxrlib.workflow.dependencies import code_fingerprint

CODE = code_fingerprint(__name__)
CHUNK = 256
"""Images that are resized at once."""


class StoredInputs:
    """Some rows of a .npy file of square 8-bit images, used like a uint8 tensor (n, 1, size, size).

    The file is mapped for the time of one read only: memory stays flat, however much is read.
    """

    def __init__(self, path: Path, rows: np.ndarray) -> None:
        self.path, self.rows = path, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice | list[int] | torch.Tensor) -> torch.Tensor:
        rows = self.rows[index.numpy() if isinstance(index, torch.Tensor) else index]
        pixels = np.load(self.path, mmap_mode="r")[rows]
        return torch.from_numpy(np.array(pixels)).unsqueeze(-3)


def network_inputs(cohort: Cohort, image_ids: list[str], size: int) -> StoredInputs:
    """Images in the network's frame of `size` pixels; the first call stores those of the whole cohort beside it."""
    pixels_path = cohort.folder / "pixels.npy"
    path = cohort.folder / f"inputs-{size}-{CODE}.npy"
    if rank() == 0 and (not path.exists() or path.stat().st_mtime_ns < pixels_path.stat().st_mtime_ns):
        _store_inputs(pixels_path, path, size)
    wait_for_all()
    return StoredInputs(path, cohort.positions(image_ids))


def load_batches(
    images: torch.Tensor | StoredInputs, batches: list[torch.Tensor], device: torch.device
) -> Iterator[torch.Tensor]:
    """Bring batches of images to the device; the next one is read while the caller works on the last.

    Args:
        images: uint8 (n, 1, h, w).
        batches: positions of the images of each batch.

    Yields:
        uint8 (len(batch), 1, h, w).
    """
    with ThreadPoolExecutor(max_workers=1) as reader:

        def read(batch: torch.Tensor) -> torch.Tensor:
            return images[batch].pin_memory() if device.type == "cuda" else images[batch]

        ahead = None
        for batch in [*batches, None]:
            current, ahead = ahead, None if batch is None else reader.submit(read, batch)
            if current is not None:
                yield current.result().to(device, non_blocking=device.type == "cuda")


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
