"""Stored images, read a batch at a time; the next batch is read while the last one is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch


class StoredInputs:
    """Some rows of a .npy file of square 8-bit images, used like a uint8 tensor (n, 1, size, size).

    The file is memory-mapped for each read and released after it, so that memory does not grow with what is read.
    """

    def __init__(self, path: Path, rows: np.ndarray) -> None:
        self.path, self.rows = path, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice | list[int] | torch.Tensor) -> torch.Tensor:
        rows = self.rows[index.numpy() if isinstance(index, torch.Tensor) else index]
        pixels = np.load(self.path, mmap_mode="r")[rows]
        return torch.from_numpy(np.array(pixels)).unsqueeze(-3)


def load_batches(
    images: torch.Tensor | StoredInputs, batches: list[torch.Tensor], device: torch.device
) -> Iterator[torch.Tensor]:
    """Bring batches of images to the device; a thread reads the next batch while the caller works on the last one.

    >>> images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1)
    >>> [batch.flatten().tolist() for batch in load_batches(images, torch.arange(4).split(3), torch.device("cpu"))]
    [[0, 1, 2], [3]]

    Args:
        images: uint8 (n, 1, h, w).
        batches: positions of the images of each batch, int64.
        device: where the batches are needed.

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
