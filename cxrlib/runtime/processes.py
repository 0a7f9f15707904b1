"""Which of several processes this is: those that torchrun started, times the tasks of a Slurm job array.

A process that nobody started with others is the first of one and never waits. Nothing here loads torch: the workers
that render and convert do without it.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from cxrlib.runtime.errors import Refusal

T = TypeVar("T")
ALONE = ContextVar("alone", default=False)
"""Whether this process works by itself, although there are others."""
TASK = ContextVar("task", default=(0, 1))
"""Position and number of this task in the job array whose tasks share the work; (0, 1) where none do."""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within, this process is rank 0 of 1 and never waits: it works on a piece of its own, as the others do."""
    token = ALONE.set(True)
    try:
        with one_task():
            yield
    finally:
        ALONE.reset(token)


@contextlib.contextmanager
def in_job_array() -> Iterator[None]:
    """Within, the tasks of the Slurm job array share the work. Elsewhere a job array is no concern of a run's.

    Raises:
        Refusal: the numbers of the tasks have gaps, so that nobody would do some part.
    """
    number, first = (int(os.environ.get(f"SLURM_ARRAY_TASK_{name}", 0)) for name in ("ID", "MIN"))
    count = int(os.environ.get("SLURM_ARRAY_TASK_COUNT", 1))
    if number - first >= count:
        raise Refusal(
            f"SLURM_ARRAY_TASK_ID: task {number} of {count} that begin with {first}; number the tasks of the job array "
            f"without a gap, e.g. --array=0-{count - 1}"
        )
    with _as_task(number - first, count):
        yield


@contextlib.contextmanager
def one_task() -> Iterator[None]:
    """Within, no job array shares the work."""
    with _as_task(0, 1):
        yield


@contextlib.contextmanager
def _as_task(position: int, count: int) -> Iterator[None]:
    token = TASK.set((position, count))
    try:
        yield
    finally:
        TASK.reset(token)


def together() -> bool:
    """Whether torchrun started others that work with this process. Only torch joins a group of processes."""
    distributed = sys.modules.get("torch.distributed")
    return bool(distributed) and distributed.is_initialized() and not ALONE.get()


def rank() -> int:
    """The number of this process among those of torchrun. Process 0 writes files."""
    return sys.modules["torch.distributed"].get_rank() if together() else 0


def world_size() -> int:
    """The number of processes that torchrun started."""
    return sys.modules["torch.distributed"].get_world_size() if together() else 1


def wait_for_all() -> None:
    """Return when every process of torchrun has called this function. The tasks of a job array do not wait."""
    if together():
        sys.modules["torch.distributed"].barrier()


def found_by_first(look: Callable[[], T]) -> T:
    """What process 0 finds, in all processes of torchrun: what others finish meanwhile must not part their ways."""
    if not together():
        return look()
    found = [look() if rank() == 0 else None]
    sys.modules["torch.distributed"].broadcast_object_list(found, src=0)
    return found[0]
