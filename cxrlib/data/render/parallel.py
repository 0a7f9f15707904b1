"""Many studies by many processes: each study is a task that writes one file."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import pandas as pd

from cxrlib.data.render.anchors import Anchors
from cxrlib.runtime.progress import progress
from cxrlib.runtime.work_list import own_pieces, require_all
from cxrlib.runtime.workers import worker_pool


@dataclass(frozen=True)
class Task:
    """What a worker needs to render one study; `boxes` in fractions of the frame."""

    image_id: str
    boxes: pd.DataFrame
    path: Path
    seed: int


DoTask = Callable[[Task, list[Anchors]], None]


def run_tasks(do: DoTask, tasks: list[Task], donors: list[Anchors], workers: int, description: str) -> None:
    """`do` of every task whose file is not there yet, by `workers` processes, or in this one for 1.

    The processes of torchrun and the tasks of a job array share the tasks by position (`cxrlib.runtime.work_list`).

    Raises:
        Unfinished: as `require_all`.
    """
    missing = [task for task in own_pieces(tasks) if not task.path.exists()]
    if workers <= 1:
        for task in progress(missing, description, "study"):
            do(task, donors)
    else:
        with worker_pool(workers, _start_worker, (donors,)) as pool:
            done = pool.map(partial(_do_in_worker, do), missing, chunksize=4)
            for _ in progress(done, description, "study", len(missing)):
                pass
    require_all(lambda: [task.path.exists() for task in tasks], description)


_worker_donors: list[Anchors] = []


def _start_worker(donors: list[Anchors]) -> None:
    """Once per process: keep the donors, and one thread each, since the processes fill the machine."""
    cv2.setNumThreads(1)
    _worker_donors[:] = donors


def _do_in_worker(do: DoTask, task: Task) -> None:
    do(task, _worker_donors)
