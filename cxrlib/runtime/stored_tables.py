"""The tables that a run stores, read back: names stay the text that was written."""

from pathlib import Path

import pandas as pd

NAMES = frozenset(
    {
        "image_id",
        "patient_id",
        "rad_id",
        "class_name",
        "label",
        "heatmap_class",
        "experiment",
        "first",
        "second",
        "transform",
        "split",
        "reason",
    }
)
"""Columns of a run's tables that are text, whatever the text is: a reader can be called NA, an image 007."""


def read_stored(path: Path, index: str | None = None) -> pd.DataFrame:
    """Read a CSV file that the suite wrote.

    Args:
        path: of the file; an empty field is a missing value, except in the columns of NAMES.
        index: the column that becomes the index.

    Returns:
        Columns of NAMES as text, every other column as pandas takes it.
    """
    others = {name: [""] for name in pd.read_csv(path, nrows=0).columns if name not in NAMES}
    return pd.read_csv(
        path, index_col=index, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=others or None
    )
