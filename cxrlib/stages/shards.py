"""Explanations of many studies, made and stored a few studies at a time."""

from collections.abc import Callable
from pathlib import Path

from cxrlib.explain.explanations import Explanations, join, load_explanations, save_explanations
from cxrlib.runtime.distributed import rank, wait_for_all, world_size
from cxrlib.runtime.progress import progress
from cxrlib.runtime.store import is_kept, work_on, working_folder


def explained_in_shards(
    path: Path, identity: str, count: int, size: int, title: str, begin: Callable[[], Callable[[slice], Explanations]]
) -> Explanations:
    """Explanations of `count` studies, at least one, stored at `path`; what `identity` has stored there is read.

    An interrupted pass goes on where it stopped: shards of the store lie in a hidden working folder until all are there
    (`cxrlib.runtime.store`). Under torchrun the processes share the shards; they must see the same folder, and all
    return the same.

    Args:
        path: of the stored explanations.
        identity: fingerprint of all that decides them.
        count: number of studies.
        size: studies of a shard: what an interruption costs, and what one process takes at a time.
        title: of the progress.
        begin: loads what is needed, and returns the function that explains some rows of the studies.
    """
    if is_kept(path, identity):
        return load_explanations(path)
    if rank() == 0:
        work_on(path, identity)
    wait_for_all()
    explain_rows, work = begin(), working_folder(path, identity)
    shards = [(work / f"{start:06}.npz", slice(start, start + size)) for start in range(0, count, size)]
    for shard, rows in progress(shards[rank() :: world_size()], title, "shard"):
        if not is_kept(shard, identity):
            save_explanations(explain_rows(rows), shard)
    wait_for_all()
    explanations = join([load_explanations(shard) for shard, _ in shards])
    wait_for_all()
    if rank() == 0:
        save_explanations(explanations, path)
    wait_for_all()
    return explanations
