"""Results for many studies, made and stored a few studies at a time: explanations and tables.

A shard is a piece of a list that processes share (`cxrlib.runtime.work_list`). Shards lie in a hidden working folder of
their store until all are there, so that an interrupted pass goes on where it stopped, with any number of processes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cxrlib.explain.explanations import join, load_explanations, save_explanations
from cxrlib.runtime.exact_tables import join_tables, load_table, save_table
from cxrlib.runtime.processes import found_by_first
from cxrlib.runtime.store import is_kept, work_on, working_folder
from cxrlib.runtime.work_list import Piece, once, work_through


class Form(NamedTuple):
    """How a kind of result is kept, each with the record of what made it (`cxrlib.runtime.store`).

    Attributes:
        save: writes a result to a path, as made by an identity.
        load: reads it.
        join: puts the results of one list of studies after another together.
    """

    save: Callable[[Any, Path, str], None]
    load: Callable[[Path], Any]
    join: Callable[[list], Any]


EXPLANATIONS = Form(lambda explanations, path, _: save_explanations(explanations, path), load_explanations, join)
TABLE = Form(save_table, load_table, join_tables)


@dataclass(frozen=True, eq=False)
class Sharded:
    """A result for many studies that is made in shards.

    Attributes:
        path: of the stored result.
        identity: fingerprint of all that decides it.
        count: number of studies; without any there is one empty shard.
        size: studies of a shard: what an interruption costs, and what one process takes at a time.
        share: makes what all shards need, such as the inputs of the network, once for all processes.
        begin: loads what is needed, and returns the function that makes the result of some rows of the studies.
        form: how the result is kept.
    """

    path: Path
    identity: str
    count: int
    size: int
    share: Callable[[], object]
    begin: Callable[[], Callable[[slice], Any]]
    form: Form = EXPLANATIONS

    @property
    def done(self) -> bool:
        """Whether the whole result is there."""
        return is_kept(self.path, self.identity)

    def make_ready(self) -> None:
        """Make the working folder of the shards."""
        work_on(self.path, self.identity)

    def pieces(self) -> list[Piece]:
        """The shards in their order."""
        work = working_folder(self.path, self.identity)
        return [self._piece(work / f"{start:06}.npz", start) for start in range(0, max(1, self.count), self.size)]

    def _piece(self, path: Path, start: int) -> Piece:
        def make() -> None:
            self.form.save(_begun(self)(slice(start, start + self.size)), path, self.identity)

        return Piece(path, self.identity, make)

    def put_together(self) -> None:
        """Store the whole result in place of its shards."""
        whole = self.form.join([self.form.load(piece.path) for piece in self.pieces()])
        self.form.save(whole, self.path, self.identity)


@lru_cache(maxsize=1)
def _begun(sharded: Sharded) -> Callable[[slice], Any]:
    """What makes the shards of one result, loaded once for those that follow each other."""
    return sharded.begin()


def made_in_shards(wanted: list[Sharded], title: str) -> list[Any]:
    """The results, from their stores where they are there; the shards of all others are one list that processes share.

    Args:
        wanted: the results.
        title: of the progress.

    Raises:
        Unfinished: other tasks of a job array have shards to make.
    """
    left = _not_done(wanted)
    for one in left:
        once(one.path, one.identity, one.make_ready)
        one.share()
    left = _not_done(left)
    if left:
        work_through([piece for one in left for piece in one.pieces()], title, "shard")
        _begun.cache_clear()
    for one in left:
        once(one.path, one.identity, one.put_together)
    return [one.form.load(one.path) for one in wanted]


def _not_done(wanted: list[Sharded]) -> list[Sharded]:
    done = found_by_first(lambda: [one.done for one in wanted])
    return [one for one, there in zip(wanted, done, strict=True) if not there]
