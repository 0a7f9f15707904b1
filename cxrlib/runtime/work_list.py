"""A list of independent pieces of work, each stored on its own; processes share it by position."""

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cxrlib.runtime.processes import TASK, alone, found_by_first, one_task, rank, wait_for_all, world_size
from cxrlib.runtime.progress import progress
from cxrlib.runtime.store import is_kept

T = TypeVar("T")


class Unfinished(Exception):
    """This task of a job array has done its part of a list, and other tasks have not."""


@dataclass(frozen=True)
class Piece:
    """One piece of work.

    Attributes:
        path: of its result.
        identity: fingerprint of all that decides the result.
        make: writes and keeps the result (`cxrlib.runtime.store`).
    """

    path: Path
    identity: str
    make: Callable[[], None]

    @property
    def done(self) -> bool:
        """Whether the result is there and whole."""
        return is_kept(self.path, self.identity)


def own_number() -> tuple[int, int]:
    """The number of this process among all that share a list, and how many these are.

    They are the processes that torchrun started, times the tasks of a Slurm job array.
    """
    task, tasks = TASK.get()
    return task * world_size() + rank(), tasks * world_size()


def own_pieces(pieces: Sequence[T]) -> Sequence[T]:
    """Those pieces that are this process's: their position, modulo the number of processes, is the process's number."""
    first, processes = own_number()
    return pieces[first::processes]


def work_through(pieces: list[Piece], title: str, unit: str) -> None:
    """Make every piece that is not stored yet; the processes of torchrun share them, and all wait for the last.

    The pieces do not know of each other, so that their bytes depend neither on the order nor on who makes them.

    Args:
        pieces: the whole list, the same in every process.
        title: of the progress.
        unit: the name of one piece.

    Raises:
        Unfinished: as `require_all`.
    """
    for piece in progress(own_pieces(pieces), title, unit):
        if not piece.done:
            with alone():
                piece.make()
    require_all(lambda: [piece.done for piece in pieces], title)


def require_all(done: Callable[[], Sequence[bool]], title: str) -> None:
    """Wait for the processes of torchrun, and end a task of a job array while other tasks are still at their parts.

    Args:
        done: whether each piece is done.
        title: of the list.

    Raises:
        Unfinished: some are not.
    """
    wait_for_all()
    if TASK.get()[1] == 1:
        return
    found = found_by_first(done)
    if left := sum(not one for one in found):
        raise Unfinished(
            f"{title}: this task's part is done, {left} of {len(found)} pieces are left to other tasks of the job "
            "array; when all have ended, the same command or the notebook goes on"
        )


def by_one(folder: Path, work: Callable[[], object]) -> None:
    """Do what several processes must not do at once in one of them alone, while the others wait.

    Args:
        folder: where the work is kept; each task of a job array does it, one after the other.
        work: what to do.
    """
    if rank() == 0:
        with one_task_at_a_time(folder), alone():
            work()
    wait_for_all()


def once(path: Path, identity: str, make: Callable[[], object]) -> None:
    """Make a store in one process alone unless it is there (`cxrlib.runtime.store`), while the others wait."""
    by_one(path.parent, lambda: is_kept(path, identity) or make())


def is_to_make(path: Path, identity: str, make_ready: Callable[[], object]) -> bool:
    """Whether a store is not there. Then `make_ready` has prepared it, in one process, for all that share the work."""
    once(path, identity, make_ready)
    return not found_by_first(lambda: is_kept(path, identity))


@contextlib.contextmanager
def one_task_at_a_time(folder: Path) -> Iterator[None]:
    """Hold what the tasks of a job array must not share or do at once; the others wait, and find it done."""
    if TASK.get()[1] == 1:
        yield
        return
    with one_task():
        if rank() > 0:
            yield
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.turn").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
