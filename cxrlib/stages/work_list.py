"""A list of independent pieces of work, each stored on its own; processes share it by position."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cxrlib.runtime.distributed import alone, rank, wait_for_all, world_size
from cxrlib.runtime.progress import progress
from cxrlib.runtime.store import is_kept


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


def array_task() -> tuple[int, int]:
    """Position and number of this task in a Slurm job array; (0, 1) outside of one."""
    task, first = (int(os.environ.get(f"SLURM_ARRAY_TASK_{name}", 0)) for name in ("ID", "MIN"))
    return task - first, int(os.environ.get("SLURM_ARRAY_TASK_COUNT", 1))


def own_pieces(pieces: list[Piece]) -> list[Piece]:
    """Those pieces that are this process's: the position, modulo the number of processes, is the process's number.

    The processes are those that torchrun started, times the tasks of a Slurm job array.
    """
    task, tasks = array_task()
    return pieces[task * world_size() + rank() :: tasks * world_size()]


def work_through(pieces: list[Piece], title: str) -> None:
    """Make every piece that is not stored yet; the processes of torchrun share them, and all wait for the last.

    The pieces do not know of each other, so that their bytes depend neither on the order nor on who makes them. The
    tasks of a job array do not wait for each other.
    """
    for piece in progress(own_pieces(pieces), title, "training"):
        if not piece.done:
            with alone():
                piece.make()
    wait_for_all()


@contextlib.contextmanager
def one_task_at_a_time(folder: Path) -> Iterator[None]:
    """Hold what the tasks of a job array must not do at once; the others wait, and find it done."""
    if array_task()[1] == 1 or rank() > 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".turn").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
