"""A data set as it is found: its tables and images by name, wherever they lie in the folder or zip."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from cxrlib.data.archive import ArchiveError, is_packed, list_files, read_bytes
from cxrlib.data.keys import IMAGE_SUFFIXES, image_key, name_key, without_suffix
from cxrlib.data.rows import AnnotationError, columns_among
from cxrlib.runtime.errors import Refusal, system_errors_refused

PICTURES = (".png", ".jpg", ".jpeg")


TABLES = r".*\.(csv|csv\.gz|tsv)"
"""Names of tables."""


SHOWN = 8
"""Number of names that an error lists of the content of a wrong folder."""


class SourceError(Refusal):
    """A folder that does not hold the data set; the message says what was found and what was expected."""


@dataclass(frozen=True)
class DataSet:
    """The files of a folder or zip.

    Attributes:
        path: of the folder or zip.
        files: from `list_files`.
    """

    path: Path
    files: dict[str, str]

    def named(self, pattern: str) -> list[str]:
        """Names from the top of the files whose own name matches a regular expression, in any case."""
        return [name for name in self.files if re.fullmatch(pattern, name.rpartition("/")[2], re.IGNORECASE)]

    def table(self, pattern: str, name: str, expected: str) -> str:
        """Path of the one file whose name matches `pattern`.

        Raises:
            SourceError: there is none; the message says that `name` is missing, and what was `expected`. Or there are
                several that differ.
        """
        found = self.named(pattern)
        if not found:
            raise SourceError(f"data.root: {self.path} holds no {name}; expected {expected}, found {self.found}")
        return self.only(found)

    def tables(self, columns: Sequence[str], least: int) -> list[str]:
        """Names from the top of the tables that have at least `least` of `columns`.

        Raises:
            AnnotationError: none of those that can be read has them, and one cannot be read.
        """
        found, errors = [], []
        for name in self.named(TABLES):
            try:
                found += [name] if len(columns_among(self.files[name], columns)) >= least else []
            except AnnotationError as error:
                errors.append(error)
        if errors and not found:
            raise errors[0]
        return found

    def only(self, names: list[str]) -> str:
        """Path of the first of several files, if all have the same content.

        Raises:
            SourceError: they differ; names them.
        """
        contents = {read_bytes(self.files[name]) for name in names} if len(names) > 1 else ()
        if len(contents) > 1:
            raise SourceError(
                f"data.root: {self.path} has several tables that could be meant: {', '.join(names)}; leave one"
            )
        return self.files[names[0]]

    @property
    def found(self) -> str:
        """The first names at the top, for messages, and the archives among the files."""
        tops = sorted({name.partition("/")[0] for name in self.files})
        more = f" and {len(tops) - SHOWN} more" if len(tops) > SHOWN else ""
        packed = [name for name in self.files if is_packed(name)]
        hint = f"; {packed[0]} is packed: unpack what is in it" if packed else ""
        return _printable((", ".join(tops[:SHOWN]) + more or "nothing") + hint)

    def images(self, suffixes: tuple[str, ...]) -> "ImageFiles":
        """The files that can be images: those with one of `suffixes`, and those without the suffix of an image."""
        others = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in suffixes)
        return ImageFiles([path for name, path in self.files.items() if not name.lower().endswith(others)])


@system_errors_refused()
def open_data_set(path: Path) -> DataSet:
    """The data set in the folder or zip at `path`.

    Raises:
        SourceError: there is none, or it cannot be read.
    """
    try:
        return DataSet(path, list_files(path))
    except ArchiveError as error:
        raise SourceError(f"data.root: {error}") from error


class ImageFiles:
    """Files by the ids of the images in them.

    An id is the name of a file, with or without the suffix; it may differ in case, blanks and the form of accented
    letters. Where several files fit, those count that are written like the id, then those with its suffix.
    """

    def __init__(self, paths: list[str]) -> None:
        self._by_key: dict[str, list[str]] = {}
        for path in paths:
            self._by_key.setdefault(image_key(_name(path)), []).append(path)

    def find(self, image_id: str) -> str | None:
        """Path of the image; None where there is none.

        Raises:
            SourceError: several files could be meant.
        """
        found = self._by_key.get(image_key(image_id), [])
        if len(found) > 1:
            found = list({os.path.realpath(path): path for path in found}.values())
            for is_nearer in (_is_written_like, _has_suffix_of):
                found = [path for path in found if is_nearer(_name(path), image_id)] or found
        if len(found) > 1:
            raise SourceError(f"data.root: two images are called {image_id!r}, {found[0]} and {found[1]}; remove one")
        return found[0] if found else None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_written_like(name: str, image_id: str) -> bool:
    return without_suffix(name) == without_suffix(image_id)


def _has_suffix_of(name: str, image_id: str) -> bool:
    return image_id != without_suffix(image_id) and name_key(name) == name_key(image_id)


@dataclass(frozen=True)
class Matched:
    """Rows of a table and the files of their images.

    Attributes:
        rows: those whose image is there, with one spelling of each image's id.
        paths: image id -> path of its file.
        skipped: ids that were read as another, and images without a file: columns image_id, row, reason.
        files: all files.
    """

    rows: pd.DataFrame
    paths: dict[str, str]
    skipped: pd.DataFrame
    files: ImageFiles

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {path: image_id for image_id, path in self.paths.items()}

    def ids_of(self, image_ids: pd.Series) -> pd.Series:
        """Ids in another table as they are spelled in `rows`; as they are where the image is not there."""
        spelled = {image_id: self._ids.get(self.files.find(image_id), image_id) for image_id in image_ids.unique()}
        return image_ids.map(spelled)


def match_images(rows: pd.DataFrame, files: ImageFiles, column: str = "image_id") -> Matched:
    """Find the file of every image of a table; ids that lead to the same file are one id.

    Args:
        rows: with image ids in `column`; the index is the line in the file.
        files: where to look.

    Raises:
        SourceError: several files have the name of one image.
    """
    ids = rows[column]
    found = {image_id: files.find(image_id) for image_id in ids.unique()}
    by_file: dict[str, list[str]] = {}
    for image_id, path in found.items():
        if path:
            by_file.setdefault(path, []).append(image_id)
    counts = ids.value_counts()
    spelling = {other: max(same, key=counts.get) for same in by_file.values() for other in same}
    present = ids.isin(list(spelling))
    first = ids.drop_duplicates()
    reasons = {
        image_id: "no image file"
        if image_id not in spelling
        # a merged id is listed, too
        else f"image_id {image_id!r} read as {spelling[image_id]!r} (rows: {counts[image_id]:,})"
        for image_id in first
        if spelling.get(image_id) != image_id
    }
    skipped = pd.DataFrame(
        {"image_id": list(reasons), "row": first.index[first.isin(list(reasons))], "reason": list(reasons.values())}
    )
    paths = {same_id: path for path, same in by_file.items() for same_id in [spelling[same[0]]]}
    return Matched(rows[present].assign(**{column: ids[present].map(spelling)}), paths, skipped, files)


def _printable(text: str) -> str:
    """Text whose names of files may hold bytes that are no characters."""
    return text.encode("utf-8", "replace").decode("utf-8")
