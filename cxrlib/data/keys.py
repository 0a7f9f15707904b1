"""Names that people type: images, readers, patients and findings, equal up to case, blanks and the suffix of a file."""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

import pandas as pd

INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060"
"""Characters that show nothing and that Python does not take for blanks: byte order marks, joiners, directions."""


BLANKS = INVISIBLE + "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
"""What is cut off both ends of a field, the non-breaking space among it."""


IMAGE_SUFFIXES = (".dicom", ".dcm", ".png", ".jpg", ".jpeg")
"""Suffixes of files that hold radiographs, in any case."""


def trimmed(text: str) -> str:
    r"""A field without what surrounds it.

    >>> trimmed("\ufeff Cardiomegaly\xa0")
    'Cardiomegaly'
    """
    return text.strip(BLANKS)


def name_key(text: str) -> str:
    """What names that differ only in case, blanks or the form of accented letters have in common.

    >>> name_key("Pleural  Effusion ") == name_key("pleural effusion")
    True
    """
    return " ".join(unicodedata.normalize("NFC", text.casefold()).strip(BLANKS).split())


def without_suffix(name: str) -> str:
    """The name of an image without the suffixes of image files.

    >>> without_suffix("0005.dcm.PNG"), without_suffix("1.2.840.113619"), without_suffix(".png")
    ('0005', '1.2.840.113619', '.png')
    """
    while name.lower().endswith(IMAGE_SUFFIXES) and name.rpartition(".")[0]:
        name = name.rpartition(".")[0]
    return name


def image_key(image_id: str) -> str:
    """`name_key` of an image's name without its suffix."""
    return name_key(without_suffix(image_id.strip(BLANKS)))


def respelled(values: pd.Series, known: Iterable[str] = ()) -> dict[str, str]:
    """Spellings that are read as another spelling of the same name.

    Names are the same if `name_key` is. Of its spellings the one in `known` counts, otherwise the most frequent, and of
    equally frequent ones the first.

    Args:
        values: names as they were written.
        known: spellings that are right.

    Returns:
        Spelling -> what it is read as; only those that change.

    >>> respelled(pd.Series(["mass", "Mass", "Mass", "cyst ", "Cyst"]), known=["Cyst"])
    {'mass': 'Mass', 'cyst ': 'Cyst'}
    """
    written = values.unique().tolist()
    known = list(known)
    right = set(known)
    spelling = {name_key(name): name for name in reversed(known)}
    if len({name_key(name) for name in written}) < len(written):
        counts = values.value_counts()
        written.sort(key=lambda name: -counts[name])  # equally frequent ones keep their order
    for name in written:
        spelling.setdefault(name_key(name), name)
    changed = {name: spelling[name_key(name)] for name in written if name not in right}
    return {name: other for name, other in changed.items() if name != other}


def respell(values: pd.Series, changed: dict[str, str]) -> pd.Series:
    """Names in the spelling that `respelled` found for them."""
    return values.map(lambda name: changed.get(name, name)) if changed else values


def list_respelled(values: pd.Series, changed: dict[str, str], what: str) -> pd.DataFrame:
    """What `respelled` changed, one row for each spelling: image_id (empty), row (its first), reason.

    Args:
        values: names as they were written; the index is the line in the file.
        changed: from `respelled`.
        what: what the names are, e.g. "class".

    >>> values = pd.Series(["mass", "Mass", "Mass"], index=[2, 3, 4])
    >>> list_respelled(values, {"mass": "Mass"}, "class")["reason"].item()
    "class 'mass' read as 'Mass' (rows: 1)"
    """
    concerned = values[values.isin(list(changed))]
    counts, first = concerned.value_counts(), concerned.drop_duplicates()
    reasons = [f"{what} {name!r} read as {changed[name]!r} (rows: {counts[name]:,})" for name in first]
    return pd.DataFrame({"image_id": "", "row": first.index, "reason": reasons}, columns=["image_id", "row", "reason"])


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or nothing where none is near.

    >>> did_you_mean("efusion", ["Effusion", "Mass"]), did_you_mean("Hiccup", ["Effusion", "Mass"])
    ("did you mean 'Effusion'? ", '')
    """
    spelling = {name_key(other): other for other in names}
    near = get_close_matches(name_key(name), list(spelling), n=1)
    return f"did you mean {spelling[near[0]]!r}? " if near else ""
