"""Files of a folder or of a zip, with one kind of path: `/data/set.zip/train/a.dicom` is a member of the zip."""

import zipfile
from functools import lru_cache
from pathlib import Path

Root = Path | zipfile.Path
"""A folder, or the inside of a zip; both have `/`, `exists`, `open` and `iterdir`."""


def open_root(path: Path) -> Root | None:
    """The folder or zip at `path`; None where there is neither."""
    if path.is_dir():
        return path
    return zipfile.Path(_open_zip(str(path))) if zipfile.is_zipfile(path) else None


def files_below(root: Root) -> list[str]:
    """The path of every file from `root`, with slashes, sorted; hidden files and folders are left out."""
    if isinstance(root, zipfile.Path):
        names = [name.removeprefix(root.at) for name in root.root.namelist() if name.startswith(root.at)]
    else:
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    hidden = (".", "__MACOSX")
    return sorted(n for n in names if not n.endswith("/") and not any(p.startswith(hidden) for p in n.split("/")))


def read_bytes(path: str) -> bytes:
    """Content of a file or of a zip's member.

    Raises:
        FileNotFoundError: there is no such file and no such member.
    """
    archive, member = _split(path)
    if archive is None:
        return Path(path).read_bytes()
    try:
        return _open_zip(archive).read(member)
    except KeyError:
        raise FileNotFoundError(f"no {member} in {archive}") from None


def identity(path: str) -> list:
    """Name, size and time of change of a file; name, size and checksum of a zip's member; only the name if missing."""
    archive, member = _split(path)
    name = path.rpartition("/")[2]
    if archive is not None:
        info = _open_zip(archive).NameToInfo.get(member)
        return [name] if info is None else [name, info.file_size, info.CRC]
    file = Path(path)
    return [name, file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else [name]


def _split(path: str) -> tuple[str | None, str]:
    """The zip and the member that a path names; None and the path itself if it names a plain file."""
    head, suffix, member = path.partition(".zip/")
    is_member = bool(suffix) and Path(head + ".zip").is_file()
    return (head + ".zip", member) if is_member else (None, path)


@lru_cache(maxsize=4)
def _open_zip(path: str) -> zipfile.ZipFile:
    """The zip, opened once per process: reading the list of members of a large zip takes a second."""
    return zipfile.ZipFile(path)
