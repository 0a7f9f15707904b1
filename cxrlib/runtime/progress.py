"""Progress bars: plain text, seldom enough to leave short output in executed notebooks."""

import os
from collections.abc import Iterable

from tqdm import tqdm


def progress(items: Iterable, description: str, unit: str, total: int | None = None) -> Iterable:
    """Iterate over `items` with a bar on standard error, redrawn every five seconds; under torchrun rank 0 shows it."""
    silent = os.environ.get("RANK", "0") != "0"
    return tqdm(items, desc=description, unit=unit, total=total, mininterval=5, maxinterval=5, disable=silent)
