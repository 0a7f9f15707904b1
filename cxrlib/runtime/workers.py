"""Worker processes that end when the process that started them ends, even if that process is killed."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


class WorkerPool(ProcessPoolExecutor):
    """A pool that drops the tasks which have not begun when its `with` block ends with an error."""

    def __exit__(self, kind: type | None, *error: object) -> None:
        """Wait for the tasks that run, and without an error for all."""
        self.shutdown(wait=True, cancel_futures=kind is not None)


def worker_pool(workers: int, initializer: Callable | None = None, initargs: tuple = ()) -> WorkerPool:
    """A pool of new interpreters, in each of which `initializer(*initargs)` runs first.

    The workers of Python's own pool do not end when their parent is killed; these do. Ctrl-C, which a terminal sends to
    all processes of a command, interrupts the parent only.
    """
    context = multiprocessing.get_context("spawn")
    return WorkerPool(workers, context, initializer=_begin, initargs=(initializer, initargs))


def _begin(initializer: Callable | None, initargs: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer:
        initializer(*initargs)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
