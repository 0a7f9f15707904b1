"""Files of a folder or of a zip, with one kind of path: `/data/set.zip/train/a.dicom` is a member of the zip."""

import contextlib
import os
import posixpath
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.walk import files_below

HIDDEN = (".", "~$")
"""What the names of files and folders begin with that no data set means: hidden ones, and Office's locks."""


RUBBISH = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
"""Names of files and folders, in small letters, that systems leave behind."""


PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
"""Suffixes of archives."""


FORMATS = {
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}
"""What archives that are no zip begin with."""


UTF8 = 0x800
"""Flag of a zip's member whose name is in UTF-8."""


ENCRYPTED = 0x1
"""Flag of a zip's member that needs a password."""


METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
"""How a member may be compressed."""


class ArchiveError(Refusal):
    """A path that is no folder or zip whose files can be read; the message names it and the remedy."""


@dataclass(frozen=True)
class Zip:
    """An open zip, and its members by their names with slashes."""

    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]


def list_files(path: Path) -> dict[str, str]:
    """Every file of the folder or zip at `path`: its name from there, with slashes -> a path for `read_bytes`.

    This alone decides what belongs to a data set. Links are followed, a zip may have any name, and what systems leave
    behind is left out (HIDDEN, RUBBISH), as is a folder in which the suite keeps a run. The names are sorted.

    Raises:
        ArchiveError: there is neither a folder nor a zip, or the zip is damaged, encrypted or compressed by an unknown
            method.
    """
    if path.is_dir():
        names = [name for name in files_below(path) if os.path.isfile(path / name)]
    else:
        members = _open(path).members
        names = [name for name in members if not _is_left_out(name)]
        for name in names:
            _require_readable(path, name, members[name])
    names = [name for name in names if not _is_left_out(name)]
    runs = tuple(_folders(names, "manifest.json") & _folders(names, "params.json"))
    return {name: f"{path}/{name}".replace("//", "/") for name in sorted(names) if not name.startswith(runs)}


def require_files(path: Path) -> None:
    """Refuse what is neither a folder with a file in it nor a zip; takes no time, however large the data set.

    Raises:
        ArchiveError: as `list_files`, or the folder is empty.
    """
    if not path.is_dir():
        _open(path)
    elif next(files_below(path), None) is None:
        raise ArchiveError(f"{path} is an empty folder; give the one that holds the data set")


def is_packed(name: str) -> bool:
    """Whether a file is an archive, or a compressed file other than a table, by its name.

    >>> is_packed("images_001.tar.gz"), is_packed("train.csv.gz")
    (True, False)
    """
    return name.lower().endswith(PACKED) and not name.lower().endswith(".csv.gz")


def read_bytes(path: str) -> bytes:
    """Content of a file or of a zip's member.

    Raises:
        FileNotFoundError: there is no such file and no such member.
    """
    archive, member = _split(path)
    if archive is None:
        return Path(path).read_bytes()
    opened = _open_zip(archive)
    if member not in opened.members:
        raise FileNotFoundError(f"no {member} in {archive}")
    return opened.archive.read(opened.members[member])


def identity(path: str) -> list:
    """Name, size and time of change of a file; name, size and checksum of a zip's member; only the name if missing."""
    archive, member = _split(path)
    name = path.rpartition("/")[2]
    if archive is not None:
        info = _open_zip(archive).members.get(member)
        return [name] if info is None else [name, info.file_size, info.CRC]
    file = Path(path)
    return [name, file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else [name]


def _split(path: str) -> tuple[str | None, str]:
    """The zip and the member that a path names; None and the path itself if it names no member."""
    head, member = path, ""
    while not os.path.isfile(head):
        head, slash, tail = head.rpartition("/")
        if not slash or os.path.isdir(head):
            return None, path
        member = f"{tail}/{member}" if member else tail
    return (head, member) if member else (None, path)


def _folders(names: list[str], file: str) -> set[str]:
    """The folders below the top, with a slash at the end, that hold a file of this name."""
    return {name.removesuffix(file) for name in names if name.endswith(f"/{file}")}


def _is_left_out(name: str) -> bool:
    return any(part.startswith(HIDDEN) or part.lower() in RUBBISH for part in name.split("/"))


def _open(path: Path) -> Zip:
    """The zip at `path`, or a refusal that says what is there instead."""
    if not path.is_file():
        raise ArchiveError(f"{path} is neither a folder nor a zip file; give the one that holds the data set")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(512)
        if start.startswith(b"PK\3\4"):
            raise ArchiveError(f"{path} is a zip file whose end is missing; download or copy it again")
        other = next((what for magic, what in FORMATS.items() if start.startswith(magic)), None)
        other = "a tar archive" if start[257:262] == b"ustar" else other
        if other:
            raise ArchiveError(f"{path} is {other}, which cannot be read in place; unpack it and give the folder")
        raise ArchiveError(f"{path} is neither a folder nor a zip file; give the one that holds the data set")
    try:
        return _open_zip(str(path))
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{path} is a damaged zip file ({error}); download or copy it again") from error


def _require_readable(path: Path, name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & ENCRYPTED:
        raise ArchiveError(f"{path}: {name} is encrypted; unpack the zip with its password and give the folder")
    if info.compress_type not in METHODS:
        raise ArchiveError(
            f"{path}: {name} is compressed by a method that Python cannot read (number {info.compress_type}; 9 is "
            "Deflate64); unpack the zip and give the folder"
        )


@lru_cache(maxsize=4)
def _open_zip(path: str) -> Zip:
    """The zip, opened once per process: reading the list of members of a large zip takes a second."""
    archive = zipfile.ZipFile(path)
    return Zip(archive, {_name(info): info for info in archive.infolist() if not info.filename.endswith(("/", "\\"))})


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name with slashes: zips made on Windows can have backslashes, those of macOS do not say UTF-8."""
    name = info.filename
    if not info.flag_bits & UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/")
