"""The interface of a data source, and the steps that sources share."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd

from cxrlib.data.archive import Root, files_below, open_root
from cxrlib.runtime.errors import Refusal

PICTURES = (".png", ".jpg", ".jpeg")


SHOWN = 8
"""Number of names that an error lists of the content of a wrong folder."""


class SourceError(Refusal):
    """A folder that does not hold the data set; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Source:
    """A data set before conversion.

    Attributes:
        name: as in `data.source`.
        description: one line for captions and the report.
        rendered: True where the images are drawn, not taken from patients.
        classes: all class names, "No finding" last; the suite's where there is a counterpart (`cxrlib.data.labels`).
        annotations: rows of `cxrlib.data.annotations.COLUMNS`, boxes in pixels of `box_frame` or, where that is None,
            of the image file.
        images: columns image_id, path (of a file, or of a zip's member), patient_id.
        skipped: what was set aside while reading: columns image_id, row, reason.
        box_frame: columns width and height by image_id, the pixels of the boxes, where the image files were resized.
        official_test: image ids of the data set's own test split; None where it has none.
    """

    name: str
    description: str
    rendered: bool
    classes: list[str]
    annotations: pd.DataFrame
    images: pd.DataFrame
    skipped: pd.DataFrame
    box_frame: pd.DataFrame | None = None
    official_test: frozenset[str] | None = None


def open_data_set(path: Path, expected: list[str]) -> Root:
    """The folder or zip at `path`, or its only subfolder, if every name of `expected` is in it.

    Raises:
        SourceError: says what is missing, and what was found instead.
    """
    try:
        root = open_root(path)
    except BadZipFile as error:
        raise SourceError(f"data.root: {path} is a damaged zip file ({error}); download or copy it again") from error
    if root is None:
        raise SourceError(f"data.root: {path} is neither a folder nor a zip file; give the one that holds the data set")
    folders = [child for child in root.iterdir() if child.is_dir() and not child.name.startswith((".", "__"))]
    for candidate in [root, *folders[:1]] if len(folders) == 1 else [root]:
        if all((candidate / name).exists() for name in expected):
            return candidate
    require(root, expected)
    return root


def require(root: Root, expected: list[str]) -> None:
    """Raise SourceError unless every name of `expected` is in `root`; say what is missing, and what was found."""
    missing = [name for name in expected if not (root / name).exists()]
    if missing:
        raise SourceError(
            f"data.root: {root} lacks {', '.join(missing)}; expected {', '.join(expected)}, found {found_in(root)}"
        )


def found_in(root: Root) -> str:
    """The first names in a folder or zip, for messages."""
    names = sorted(child.name for child in root.iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more or "nothing"


def image_paths(root: Root, suffixes: tuple[str, ...], whole_name: bool = False) -> dict[str, str]:
    """Every image below `root`: its path by its name, with (`whole_name`) or without its suffix.

    Raises:
        SourceError: two images have the same name.
    """
    paths = {}
    for name in files_below(root):
        if name.lower().endswith(suffixes):
            file = name.rpartition("/")[2]
            key = file if whole_name else file.rpartition(".")[0]
            path = f"{root}/{name}".replace("//", "/")
            if key in paths:
                raise SourceError(f"data.root: two images are called {key!r}, {paths[key]} and {path}; remove one")
            paths[key] = path
    return paths


def images_of_patients(image_ids: pd.Series, paths: list[str], patients: pd.Series | None = None) -> pd.DataFrame:
    """The table `Source.images`; without `patients` every image counts as another patient."""
    patients = image_ids if patients is None else patients
    return pd.DataFrame({"image_id": image_ids, "path": paths, "patient_id": patients}).reset_index(drop=True)
