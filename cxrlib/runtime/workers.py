"""Worker processes that end when the process that started them ends, even if that process is killed."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def worker_pool(workers: int, initializer: Callable | None = None, initargs: tuple = ()) -> ProcessPoolExecutor:
    """A pool of new interpreters, in each of which `initializer(*initargs)` runs first.

    The workers of Python's own pool do not end when their parent is killed; these do.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(initializer, initargs))


def _begin(initializer: Callable | None, initargs: tuple) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer:
        initializer(*initargs)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
