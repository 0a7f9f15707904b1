"""One run per folder: a lock of the operating system, released when its holder ends, also when it is killed."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import HOST, TEMPORARY, all_files

PATIENCE = 60
"""Seconds to wait for the kernels of a killed run to end."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of a run's folder; yield its file descriptor, for kernels to inherit.

    The lock is free when the last process that holds the descriptor is gone: a run that was killed leaves no stale
    lock, and its kernels cannot write into the next run. Its half-written temporary files are removed. A folder that
    did not exist before, and in which nothing was done, goes with its lock.

    Raises:
        Refusal: another run holds it, or there can be no such folder.
    """
    is_new, path = not folder.exists(), folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise Refusal(f"{folder}: cannot work there ({error}); choose another folder with --out") from error
    try:
        _acquire(descriptor, folder)
        _remove_half_written(folder)
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
        yield descriptor
    finally:
        if is_new and [*folder.iterdir()] == [path]:
            path.unlink()
            folder.rmdir()
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                raise Refusal(
                    f"{folder}: its disk has no locks ({error}); choose a folder elsewhere with --out"
                ) from error
            pid = _dead_holder(descriptor)
            if pid is None or time.monotonic() - begun > PATIENCE:
                raise Refusal(_refusal(descriptor, folder)) from None
            if time.monotonic() - begun < 0.2:
                print(f"waiting for the last kernel of process {pid}, which was killed", flush=True)
            time.sleep(0.2)


def _dead_holder(descriptor: int) -> int | None:
    """The process id of the lock's holder if the holder ran on this machine and has ended."""
    holder = _read_holder(descriptor)
    here = holder.get("host") == socket.gethostname()
    return holder["pid"] if here and _is_gone(holder["pid"]) else None


def _is_gone(pid: int) -> bool:
    """Whether a process has ended, also where its parent has not asked for its exit code yet (a zombie)."""
    try:
        os.kill(pid, 0)
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except PermissionError:  # another user's
        return False
    except (ProcessLookupError, psutil.NoSuchProcess):
        return True


def _remove_half_written(folder: Path) -> None:
    """Delete the temporary files of `cxrlib.runtime.files.whole_file` whose processes on this machine have ended."""
    for path in all_files(folder, hidden=True):
        name = TEMPORARY.fullmatch(path.name)
        if name and name["host"] == HOST and _is_gone(int(name["process"])):
            path.unlink(missing_ok=True)


def _refusal(descriptor: int, folder: Path) -> str:
    holder = _read_holder(descriptor)
    who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
    return f"{folder} is in use by {who}; wait until it ends, or work in another folder with --out"


def _read_holder(descriptor: int) -> dict:
    try:
        return json.loads(os.pread(descriptor, 1000, 0))
    except ValueError:
        return {}
