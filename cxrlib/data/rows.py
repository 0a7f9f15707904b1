"""Tables that people bring, as text: nothing is guessed, and every refusal names the row."""

import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from cxrlib.data.archive import read_bytes
from cxrlib.data.keys import BLANKS, name_key, trimmed
from cxrlib.runtime.errors import Refusal

NO_NUMBER = {"", "nan", "na", "n/a", "#n/a", "<na>", "none", "null"}
"""What stands in a field of a column of numbers where there is none, in any case: R, pandas and Excel write these."""


SEPARATORS = ",;\t|"


LONGEST_HEADER = 10**6
"""Characters at the start of a file in which its header is looked for."""


BOX_BY_SIZE = ({"xmin", "x"}, {"ymin", "y"}, {"width", "w"}, {"height", "h"})
"""Names of columns that give a box by its corner and its size, as `column_key` has them."""


NO_TABLES = {
    b"PK\x03\x04": "is a zip file or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook",
    b"<!DOCTYPE": "is a web page, so that its download was refused or needs an account",
    b"<!doctype": "is a web page, so that its download was refused or needs an account",
    b"<html": "is a web page, so that its download was refused or needs an account",
    b"version https://git-lfs": "is only a pointer of Git LFS to the file",
}
"""What files begin with that are called .csv and are none."""


class AnnotationError(Refusal):
    """A table that cannot be used; the message names the file, the row or column, and the remedy."""


def read_rows(path: str | Path, columns: Sequence[str], optional: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV file as text: fields are trimmed, and nothing is taken for a number or for missing.

    The header says whether commas, semicolons, tabs or bars part the fields. Names of columns may differ from those
    asked for in case, blanks, hyphens and underscores. Rows without any text are left out.

    Args:
        path: of a file or of a zip's member; it may be gzipped.
        columns: those that must be there.
        optional: those that may be there.

    Returns:
        Text; `columns` and `optional` under these names, the others as they are. The index is the line in the file.

    Raises:
        AnnotationError: the file is empty or no CSV file in UTF-8, lacks a column or has it twice, or a row has more
            fields than the header.
    """
    records = _records(path, columns)
    _, header = next(records)
    names = _column_names(header, [*columns, *optional], path)
    missing = [column for column in columns if column not in names]
    if missing:
        found = ", ".join(filter(None, names))
        raise AnnotationError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {found}; {_remedy(names, missing)}"
        )
    lines, cells, n = [], [[] for _ in names], len(names)
    known: dict[str, str] = {}  # a text that occurs again takes no memory again
    for line, fields in records:
        fields = [field.strip(BLANKS) for field in fields]
        if len(fields) > n and any(fields[n:]):
            raise AnnotationError(
                f"{path}, row {line}: has {len(fields)} fields, the header names {n}; is a comma unquoted?"
            )
        if any(fields):
            lines.append(line)
            for cell, field in zip_longest(cells, fields[:n], fillvalue=""):
                cell.append(known.setdefault(field, field))
    if not lines:
        raise AnnotationError(f"{path} has a header but no rows; is the download complete?")
    return pd.DataFrame(dict(enumerate(cells)), lines).set_axis(names, axis=1)


def columns_among(path: str | Path, columns: Sequence[str]) -> set[str]:
    """Those of `columns` that a table has, in whatever spelling.

    Raises:
        AnnotationError: the file is empty or no CSV file in UTF-8.
    """
    _, header = next(_records(path, columns))
    return {column for column in columns if column_key(column) in map(column_key, header)}


def column_key(name: str) -> str:
    """What names of columns have in common that differ only in case, blanks, hyphens and underscores.

    >>> column_key("Image ID") == column_key("image_id")
    True
    """
    return re.sub(r"[\s_-]", "", name_key(name))


def require_filled(frame: pd.DataFrame, columns: Iterable[str], path: str | Path) -> None:
    """Refuse the first row that is empty in one of `columns`, whose fields are names."""
    for column in columns:
        empty = frame[column] == ""
        if empty.any():
            raise AnnotationError(f"{path}, row {empty.idxmax()}, field {column}: is empty; fill it in or drop the row")


def numbers_of(frame: pd.DataFrame, column: str, path: str | Path) -> pd.Series:
    """A column of text as float64, NaN where there is no number (NO_NUMBER).

    Raises:
        AnnotationError: it has text where a number must be; names `path` and the row, which is the frame's index.

    >>> numbers_of(pd.DataFrame({"x_min": ["7.5", "", "nan"]}), "x_min", "a.csv").tolist()
    [7.5, nan, nan]
    """
    text = frame[column]
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    wrong = numbers.isna() & ~text.str.lower().isin(NO_NUMBER)
    if wrong.any():
        row, value = wrong.idxmax(), text[wrong.idxmax()]
        comma = re.fullmatch(r"[+-]?\d*,\d+", value)
        remedy = f"write {value.replace(',', '.')}, with a point" if comma else "correct it or empty it"
        raise AnnotationError(f"{path}, row {row}, field {column}: {value[:80]!r} is not a number; {remedy}")
    return numbers


def _records(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The header, then one row after another, each with its line in the file."""
    content = _content(path)
    delimiter = _separator(_text_of(content).read(LONGEST_HEADER), columns)
    lines = csv.reader(_text_of(content), delimiter=delimiter, skipinitialspace=True, strict=True)
    begun, line = False, 1
    try:
        for fields in lines:
            begun = begun or (any(map(trimmed, fields)) and not re.fullmatch(r"sep=.?", "".join(fields)))
            if begun:
                yield line, fields
            line = lines.line_num + 1
    except csv.Error as error:
        raise AnnotationError(f"{path}, row {line}: is not readable as CSV ({error}); is a quote unclosed?") from None
    if not begun:
        raise AnnotationError(f"{path} is empty; expected a CSV with the columns {', '.join(columns)}")


def _text_of(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")


def _content(path: str | Path) -> bytes:
    """A file's bytes, which are text in UTF-8."""
    try:
        content = read_bytes(str(path))
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except Exception as error:  # what reads a zip or gzip raises many types
        raise AnnotationError(f"{path} is not a readable CSV ({error}); save it as CSV in UTF-8") from error
    for start, what in NO_TABLES.items():
        if content[:200].lstrip().startswith(start):
            raise AnnotationError(f"{path} {what}, not a CSV file; save or download it again as CSV in UTF-8")
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text ({error}); save it as CSV in UTF-8") from None
    if b"\0" in content:  # pandas before 3.1 would end the field there, and the name would be another one
        row = content[: content.index(b"\0")].count(b"\n") + 1
        raise AnnotationError(f"{path}, row {row}: holds a NUL character; save it as CSV in UTF-8")
    return content


def _separator(text: str, columns: Sequence[str]) -> str:
    """The separator by which the header names most of `columns`, or else has most fields; a comma in doubt.

    Args:
        text: the first LONGEST_HEADER characters.
        columns: whose names are looked for.
    """
    line = next((line for line in text.splitlines() if trimmed(line).strip(SEPARATORS)), "")
    if announced := re.fullmatch(r"sep=(.)", trimmed(line)):  # a first line that Excel understands
        return announced[1]
    wanted = {column_key(column) for column in columns}

    def named(separator: str) -> tuple[int, int]:
        fields = next(csv.reader([line], delimiter=separator))
        return len(wanted & set(map(column_key, fields))), len(fields)

    return max(SEPARATORS, key=named)


def _column_names(header: list[str], wanted: Iterable[str], path: str | Path) -> list[str]:
    """The header's names, those of `wanted` in the spelling that is asked for."""
    names = [trimmed(name) for name in header]
    for column in wanted:
        alike = [position for position, name in enumerate(names) if column_key(name) == column_key(column)]
        if len(alike) > 1:
            both = " and ".join(repr(names[position]) for position in alike)
            raise AnnotationError(f"{path} has the column {column} twice, as {both}; take one out or rename it")
        for position in alike:
            names[position] = column
    return names


def _remedy(names: list[str], missing: list[str]) -> str:
    found = [next((name for name in names if column_key(name) in side), None) for side in BOX_BY_SIZE]
    if "x_max" in missing and all(found):
        x, y, width, height = found
        return (
            f"the boxes seem to be given by {', '.join(found)}; add x_max = {x} + {width} and y_max = {y} + {height}, "
            "and call the corner x_min, y_min"
        )
    return "rename or add them"
