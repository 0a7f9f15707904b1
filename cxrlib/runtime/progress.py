"""Progress bars of plain text, whose output in executed notebooks is short."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

from tqdm import tqdm

SILENT = ContextVar("silent", default=False)
"""Whether bars are left out; each thread has its own value."""


@contextlib.contextmanager
def no_progress() -> Iterator[None]:
    """Leave out all bars in this thread: what a background thread prints would stand below any cell of a notebook."""
    token = SILENT.set(True)
    try:
        yield
    finally:
        SILENT.reset(token)


def progress(items: Iterable, description: str, unit: str, total: int | None = None) -> Iterable:
    """Iterate over `items` with a bar on standard error, redrawn every five seconds; under torchrun on rank 0 only.

    Args:
        items: what to iterate over.
        description: the words before the bar.
        unit: the name of one item.
        total: number of items; taken from `items` when None.
    """
    silent = SILENT.get() or os.environ.get("RANK", "0") != "0"
    return tqdm(items, desc=description, unit=unit, total=total, mininterval=5, maxinterval=5, disable=silent)
