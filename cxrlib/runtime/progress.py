"""Progress bars of plain text, whose output in executed notebooks is short."""

import os
from collections.abc import Iterable

from tqdm import tqdm


def progress(items: Iterable, description: str, unit: str, total: int | None = None) -> Iterable:
    """Iterate over `items` with a bar on standard error, redrawn every five seconds; under torchrun on rank 0 only.

    Args:
        items: what to iterate over.
        description: the words before the bar.
        unit: the name of one item.
        total: number of items; taken from `items` when None.
    """
    silent = os.environ.get("RANK", "0") != "0"
    return tqdm(items, desc=description, unit=unit, total=total, mininterval=5, maxinterval=5, disable=silent)
