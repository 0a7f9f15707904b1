"""Ctrl-C, sent to real processes as a terminal sends it: to the command and to all processes in its group."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.workflow.manifest import RUNNING, Manifest

pytestmark = pytest.mark.slow

RUN = """\
import pathlib, sys, run_all
run_all.find_notebooks = lambda: [pathlib.Path(sys.argv[1])]
sys.exit(run_all.main(["smoke", "--out", sys.argv[2]]))
"""
WAITS = """\
import pathlib, time
pathlib.Path(run_folder, "begun").touch()
time.sleep(300)
"""


def interrupted(command: list[str], begun: Path) -> subprocess.CompletedProcess:
    """Start a command, send SIGINT to its group when the file `begun` is there, and wait for its end."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        waited = time.monotonic()
        while not begun.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() - waited < 120
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def test_an_interrupted_run_says_that_it_goes_on(tmp_path, write_notebook):
    command = ["-c", RUN, str(write_notebook("01_first", WAITS)), str(tmp_path / "out")]
    stopped = interrupted(command, tmp_path / "out" / "begun")
    assert stopped.returncode == 130
    assert stopped.stderr == "\nInterrupted; the same command goes on here\n"
    assert "01_first ... failed after" not in stopped.stdout and "interrupted after" in stopped.stdout
    assert Manifest(tmp_path / "out").notebooks["01_first"]["status"] == RUNNING  # so that it runs again
    assert not list((tmp_path / "out").rglob(".*.cxr-*"))


POOL = """\
import pathlib, sys, time
from cxrlib.runtime.workers import worker_pool
from cxrlib.workflow.command import exit_code

def work():
    with worker_pool(2) as pool:
        for _ in pool.map(time.sleep, eval(sys.argv[2])):
            pathlib.Path(sys.argv[1]).touch()

sys.exit(exit_code("name", work))
"""


@pytest.mark.parametrize("seconds", ["[0.1] * 2000", "[0.1, 0.1, 2]"], ids=["all at work", "one waits for work"])
def test_workers_print_no_traceback_and_drop_what_waits(tmp_path, seconds):
    stopped = interrupted(["-c", POOL, str(tmp_path / "begun"), seconds], tmp_path / "begun")
    assert stopped.returncode == 130
    assert stopped.stderr == "\nInterrupted; the same command goes on here\n"
