"""Two runs on one folder, and a run that was killed: processes of their own, real signals."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import HOST, PROJECT_ROOT
from cxrlib.workflow.lock import locked

HOLD = """
import subprocess, sys, time
from pathlib import Path
from cxrlib.workflow.lock import locked
with locked(Path(sys.argv[1])) as lock:
    if len(sys.argv) > 2:  # a kernel, which ends a little later than the run
        subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[lock], stdout=subprocess.DEVNULL)
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder, *more):
    arguments = [sys.executable, "-c", HOLD, str(folder), *more]
    process = subprocess.Popen(arguments, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("command", [["run_all.py"], ["-m", "cxrlib.stages.train"], ["-m", "cxrlib.stages.explain"]])
def test_a_second_run_is_refused_and_told_by_whom(tmp_path, command):
    process = hold(tmp_path)
    try:
        with pytest.raises(Refusal, match=rf"in use by process {process.pid} on .*--out"), locked(tmp_path):
            pass
        arguments = [sys.executable, *command, "smoke", "--out", str(tmp_path)]
        second = subprocess.run(arguments, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2 and second.stdout == ""
        assert f"in use by process {process.pid}" in second.stderr and "Traceback" not in second.stderr
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    finally:
        kill(process)


def test_the_lock_of_a_killed_run_is_free(tmp_path):
    kill(hold(tmp_path))
    begun = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - begun < 1
    with locked(tmp_path):
        pass


def test_what_a_killed_process_had_half_written_is_removed(tmp_path):
    process = hold(tmp_path / "run")
    kill(process)
    (tmp_path / "run" / "tables").mkdir()
    kept = [f".table_03.cxr-{HOST}-{os.getpid()}.csv", ".notes.99999.csv", f"table.cxr-{HOST}-{process.pid}.csv"]
    kept += [f".table_04.cxr-0123456789ab-{process.pid}.csv"]  # on a shared disk: that machine's process may live
    for name in (f".table_02.cxr-{HOST}-{process.pid}.csv", f".table_02.cxr-{HOST}-{process.pid}", *kept):
        (tmp_path / "run" / "tables" / name).write_text("half")
    with locked(tmp_path / "run"):
        assert {path.name for path in (tmp_path / "run" / "tables").iterdir()} == {*kept}


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="this system cannot leave an ended process unasked")
def test_what_a_process_that_nobody_waited_for_had_half_written_is_removed(tmp_path):
    """An ended process keeps its entry until its parent asks for its exit code, for ever in some containers."""
    process = hold(tmp_path / "run")
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    half = tmp_path / "run" / f".figure_02.cxr-{HOST}-{process.pid}.png"
    half.write_bytes(b"half")
    with locked(tmp_path / "run"):
        assert process.pid in psutil.pids()
        assert not half.exists()
    kill(process)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_process_is_not_gone():
    """As nobody, who may not signal it, and who on many clusters does not see it in the list of processes either."""
    code = f"import os; from cxrlib.workflow.lock import _is_gone; os.setuid(65534); print(_is_gone({os.getpid()}))"
    command = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    hidden = ["unshare", "--mount", "sh", "-c", command, "sh"]
    can_hide = shutil.which("unshare") and subprocess.run([*hidden, "true"], capture_output=True).returncode == 0
    hidden = hidden if can_hide else []
    done = subprocess.run([*hidden, sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_disk_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    expected = r"run: its disk has no locks \(.*No locks available\).*--out"
    with pytest.raises(Refusal, match=expected), locked(tmp_path / "run"):
        pass


@pytest.mark.slow
def test_a_kernel_that_outlives_its_killed_run_is_waited_for(tmp_path, capsys):
    begun = time.monotonic()
    process = hold(tmp_path, "2")
    kill(process)
    with locked(tmp_path):
        assert time.monotonic() - begun > 1.5
    assert f"process {process.pid}, which was killed" in capsys.readouterr().out
