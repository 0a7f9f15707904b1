"""Progress bars and warnings of plain text, whose output in executed notebooks is short."""

import contextlib
import os
import sys
import warnings
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
    """Iterate over `items` with a bar, redrawn every five seconds; under torchrun on rank 0 only.

    The bar is on standard error, and in a notebook on standard output: a notebook draws standard error on red. There
    all bars take one line, which is empty when they are done: what a cell shows in the end are its results.

    Args:
        items: what to iterate over.
        description: the words before the bar.
        unit: the name of one item.
        total: number of items; taken from `items` when None.
    """
    silent = SILENT.get() or os.environ.get("RANK", "0") != "0"
    look = {"file": sys.stdout, "position": 0, "leave": False, "ncols": 79} if in_notebook() else {"file": sys.stderr}
    every = {"mininterval": 5, "maxinterval": 5}
    return tqdm(items, desc=description, unit=unit, total=total, disable=silent, **look, **every)


def plain_warnings() -> None:
    """Print warnings in a notebook on standard output, each as one sentence: it draws standard error on red."""
    if in_notebook():
        warnings.showwarning = _in_a_sentence


def _in_a_sentence(message: Warning | str, *where: object) -> None:
    print(f"Note: {message}")


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel; importing IPython to find out would take long."""
    return "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")
