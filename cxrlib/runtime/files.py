"""Files that are either whole or absent, and fingerprints of what made them."""

import contextlib
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from cxrlib.runtime.errors import Missing, Refusal, refusal_of

PROJECT_ROOT = Path(__file__).resolve().parents[2]
HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]
"""This machine, as the names of temporary files say it: a fingerprint, since names of machines can be long."""
TEMPORARY = re.compile(r"\..+\.cxr-(?P<host>\w*)-(?P<process>\d+)(\.\w+)?")
"""Names of the hidden files that `whole_file` yields, with the machine and the id of the process that writes them."""
BLOCK = 2**20
"""Bytes that a disk is asked to take to find out whether it is full."""


def from_root(path: Path) -> str:
    """The path relative to the project root where it lies below it, else as it is."""
    return path.relative_to(PROJECT_ROOT).as_posix() if path.is_relative_to(PROJECT_ROOT) else str(path)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; rename it to `path` on success, remove it on failure.

    Raises:
        Refusal: the disk is full or write-protected, or fails.
    """
    temporary = path.with_name(f".{path.stem}.cxr-{HOST}-{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        if refusal := refusal_of(_system_error(error, temporary)):
            raise refusal from error
        raise
    finally:
        if temporary.exists():
            temporary.unlink(missing_ok=True)


def _system_error(error: Exception, half_written: Path) -> OSError:
    """The system's error behind `error`; one without a number where there is none.

    NumPy and torch raise errors of their own where a disk is full. Adding a block to the file that they have half
    written raises the system's.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error
    try:
        if half_written.exists() and not isinstance(error, Refusal):
            with half_written.open("ab") as file:
                file.write(bytes(BLOCK))
    except OSError as found:
        return found
    return OSError()


def shown_files(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder that match a pattern such as "figures/*.png", in order of their names, without hidden ones.

    A process that is killed leaves its temporary file, which is hidden; `Path.glob` alone would find it.
    """
    found = {path: path.relative_to(folder).parts for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path, parts in found.items() if not any(part.startswith(".") for part in parts))


def all_files(folder: Path, hidden: bool = False) -> list[Path]:
    """All files below a folder, in order; what another process deletes meanwhile is left out.

    Args:
        folder: may be missing.
        hidden: hidden files too, and those in hidden folders.
    """
    found = []
    for place, below, names in os.walk(folder):
        if not hidden:
            below[:], names = ([name for name in some if not name.startswith(".")] for some in (below, names))
        found += [Path(place, name) for name in names]
    return sorted(found)


def existing(path: Path, remedy: str) -> Path:
    """`path`, if something is there.

    Raises:
        Missing: names the path and the remedy, e.g. "run notebook 02_training first".
    """
    if not path.exists():
        raise Missing(f"{path} is missing; {remedy}")
    return path


def write_json(path: Path, value: object) -> None:
    """Write `value` as readable JSON with sorted keys."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict:
    """Read a JSON file.

    Raises:
        Refusal: the file is damaged.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise Refusal(f"{path}: not a readable JSON file ({error}); delete it and run again") from error


def fingerprint(value: object) -> str:
    """First 12 hex digits of the sha256 of a JSON-serialisable value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_fingerprint(path: Path) -> str:
    """First 12 hex digits of the sha256 of a file's bytes."""
    return file_sha256(path)[:12]
