"""The interface of a data source."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


class SourceError(ValueError):
    """A folder that does not hold the data set; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Source:
    """A data set before conversion.

    Attributes:
        name: as in `data.source`.
        description: one line for captions and the report.
        rendered: True where the images are drawn, not taken from patients.
        classes: all class names, "No finding" last.
        annotations: rows of `cxrlib.annotations.COLUMNS`, boxes in pixels of `box_size` or, where that is None,
            of the image file.
        images: columns image_id, path, patient_id.
        box_size: side in pixels of the square frame of the boxes, where the image files were resized since.
        skipped: what was set aside while reading: columns image_id, row, reason.
    """

    name: str
    description: str
    rendered: bool
    classes: list[str]
    annotations: pd.DataFrame
    images: pd.DataFrame
    box_size: float | None
    skipped: pd.DataFrame


def require(root: Path, expected: list[str]) -> None:
    """Raise SourceError unless every path of `expected` exists below `root`."""
    if not root.is_dir():
        raise SourceError(f"data.root: {root} is not a folder")
    missing = [name for name in expected if not (root / name).exists()]
    if missing:
        found = sorted(path.name for path in root.iterdir())[:8]
        raise SourceError(
            f"data.root: {root} lacks {', '.join(missing)}; expected {', '.join(expected)}, "
            f"found {', '.join(found) or 'nothing'}"
        )
