"""Tables that are stored with every bit of their numbers: a column is an array of its own kind in an npz file."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.runtime.files import whole_file
from cxrlib.runtime.store import keep

NAMES = "names"
"""The member that holds the names of the columns; the columns are called by their position."""


def save_table(table: pd.DataFrame, path: Path, identity: str) -> None:
    """Write a table of numbers and text without missing text, and the record of what made it (`cxrlib.runtime.store`).

    Args:
        table: its index is not kept.
        path: of the npz file.
        identity: fingerprint of all that decides it.
    """
    columns = {str(number): _array(table[name]) for number, name in enumerate(table.columns)}
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, **{NAMES: np.array(table.columns.tolist(), np.str_)}, **columns)
    keep(path, identity)


def load_table(path: Path) -> pd.DataFrame:
    """Read what `save_table` wrote."""
    with np.load(path) as arrays:
        names = arrays[NAMES].tolist()
        columns = [arrays[str(number)] for number in range(len(names))]
    return pd.DataFrame({name: _values(column) for name, column in zip(names, columns, strict=True)}, columns=names)


def join_tables(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One table after another; the first is the result where no other has a row."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _array(column: pd.Series) -> np.ndarray:
    return column.to_numpy() if column.dtype.kind in "fiub" else column.to_numpy(np.str_)


def _values(column: np.ndarray) -> np.ndarray | pd.Series:
    return column if column.dtype.kind != "U" else pd.Series(column.tolist(), dtype=object if not len(column) else None)
