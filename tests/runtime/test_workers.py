"""Worker processes of a parent that is killed."""

import os
import signal
import subprocess
import sys

import psutil

from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.workers import worker_pool

PARENT = """
import time
from cxrlib.runtime.workers import worker_pool
if __name__ == "__main__":
    with worker_pool(2) as pool:
        print(*pool.map(abs, [-1, -2]), flush=True)
        pool.submit(time.sleep, 60)
        time.sleep(60)
"""
seen = []


def begin(value: int) -> None:
    seen.append(value)


def look(number: int) -> list[int]:
    return [*seen, number]


def test_workers_begin_with_their_initializer_and_work():
    with worker_pool(1, begin, (7,)) as pool:
        assert list(pool.map(look, [1, 2])) == [[7, 1], [7, 2]]


def test_workers_of_a_killed_parent_end(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "1 2\n"
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert {one.status() for one in alive} <= {psutil.STATUS_ZOMBIE}  # ended, but their new parent has not asked yet
