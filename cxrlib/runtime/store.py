"""Finished work that is kept: is it there, is it whole, and was it made by this?

A record lies beside what was made, hidden: `.pixels.npy.made.json` beside `pixels.npy`. The record holds the identity,
a fingerprint of all that decides the bytes (inputs, parameters and code), and the size and sha256 of each file. The
record holds no times, so that two runs write the same one.

Unfinished work lies in a hidden folder whose name holds the identity: `.pixels.npy.work-0123456789ab`. The same request
finds it again after a kill; another request deletes it.

    if not is_kept(path, identity):
        work = work_on(path, identity)
        ...  # write work / path.name, and anything that helps to go on after a kill
        keep(path, identity)
"""

import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import file_sha256, read_json, write_json

Facts = tuple[int, str]
"""Size in bytes and sha256 of a file."""


def is_kept(path: Path, identity: str) -> bool:
    """Whether the store at `path` was made by `identity` and all its files are as they were made.

    Sizes are compared first, then hashes. A process hashes a file once, and again when its size or time changes.
    Unfinished work beside a whole store is deleted: it is what a kill at the very end left.
    """
    made_by, files = _read(path)
    kept = made_by == identity and path in files and _all_whole(files)
    if kept:
        shutil.rmtree(working_folder(path, identity), ignore_errors=True)
    return kept


def identity_of(path: Path) -> str | None:
    """The identity of what made the store at `path`, None where no record says it; files are not looked at."""
    return _read(path)[0]


def working_folder(path: Path, identity: str) -> Path:
    """Where unfinished work on `path` lies, whether it is there or not."""
    return path.with_name(f".{path.name}.work-{identity}")


def work_on(path: Path, identity: str) -> Path:
    """Make ready and return the working folder of `identity`.

    Unfinished work of another identity is deleted. What another identity has finished stays until `keep` replaces it.
    What is whole of a damaged store of the same identity is moved back into the folder.
    """
    work = working_folder(path, identity)
    for other in _unfinished(path):
        if other != work:
            shutil.rmtree(other)
    work.mkdir(parents=True, exist_ok=True)
    made_by, files = _read(path)
    if made_by == identity:
        for file, facts in files.items():
            if _is_whole(file, facts) and not file.is_symlink():  # what a link leads to is another folder's
                _move(file, work / file.relative_to(path.parent))
            else:
                file.unlink(missing_ok=True)
        _record(path).unlink(missing_ok=True)
    return work


def keep(path: Path, identity: str, names: Iterable[str] = ()) -> None:
    """Record finished files as made by `identity`, move them to their place and delete the working folder.

    What was kept there before is replaced. The record is written before the files move. After a kill in between the
    store is not whole, and `work_on` finds every file again.

    Args:
        path: the file by which the store is called. It lies in the working folder or in its place already.
        identity: fingerprint of all that decides the bytes.
        names: further files, as paths from the folder of `path`; each lies in the working folder or in its place.
    """
    work = working_folder(path, identity)
    made = {name: work / name for name in [*names, path.name]}
    files = {name: file if file.is_file() else path.parent / name for name, file in made.items()}
    facts = {name: {"bytes": file.stat().st_size, "sha256": _sha256(file)} for name, file in files.items()}
    for outdated in _read(path)[1].keys() - {path.parent / name for name in files}:
        outdated.unlink(missing_ok=True)
    write_json(_record(path), {"identity": identity, "files": facts})
    for name, file in files.items():
        if file == made[name]:
            _move(file, path.parent / name)
    shutil.rmtree(work, ignore_errors=True)


def is_known(path: Path) -> bool:
    """Whether a record of `path` or unfinished work on it is there, of any identity."""
    return _record(path).exists() or bool(_unfinished(path))


def _record(path: Path) -> Path:
    return path.with_name(f".{path.name}.made.json")


def _unfinished(path: Path) -> list[Path]:
    """The working folders beside `path`, of any identity."""
    beside = path.parent.iterdir() if path.parent.is_dir() else []
    return [folder for folder in beside if folder.name.startswith(f".{path.name}.work-")]


def _read(path: Path) -> tuple[str | None, dict[Path, Facts]]:
    """The identity and the files of a record; a record that is absent or damaged names neither."""
    try:
        record = read_json(_record(path))
        files = {name: (int(facts["bytes"]), str(facts["sha256"])) for name, facts in record["files"].items()}
        identity = str(record["identity"])
    except (OSError, Refusal, ValueError, KeyError, TypeError, AttributeError):
        return None, {}
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        return None, {}  # nobody's files elsewhere are deleted
    return identity, {path.parent / name: facts for name, facts in files.items()}


def _all_whole(files: dict[Path, Facts]) -> bool:
    """Whether every file is as recorded; no file is hashed where the size of one is wrong already."""
    sizes = all(file.is_file() and file.stat().st_size == size for file, (size, _) in files.items())
    return sizes and all(_is_whole(file, facts) for file, facts in files.items())


def _is_whole(file: Path, facts: Facts) -> bool:
    try:
        return (file.stat().st_size, _sha256(file)) == facts
    except OSError:
        return False


def _sha256(file: Path) -> str:
    facts = file.stat()
    return _sha256_of_version(file, facts.st_size, facts.st_mtime_ns)


@cache
def _sha256_of_version(file: Path, _size: int, _mtime_ns: int) -> str:
    return file_sha256(file)


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    file.replace(target)
