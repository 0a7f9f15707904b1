"""Tables that are stored with every bit of their numbers: a column is an array of its own kind in an npz file."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.runtime.files import whole_file
from cxrlib.runtime.store import keep

NAMES = "names"
"""The member that holds the names of the columns; the columns are called by their position."""


ORDER = "order"
"""The member of several tables that says where each stands: JSON with a number for a table, a list for a tuple."""


MADE_BY = "identity"
"""The member of several tables that says what made them, in case that another process writes the same file."""


Tables = pd.DataFrame | tuple["Tables", ...] | dict[str, "Tables"]
"""A table, or tuples and dicts of such."""


def save_table(table: pd.DataFrame, path: Path, identity: str) -> None:
    """Write a table of numbers and text without missing text, and the record of what made it (`cxrlib.runtime.store`).

    Args:
        table: its index is not kept.
        path: of the npz file.
        identity: fingerprint of all that decides it.
    """
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, **_arrays(table))
    keep(path, identity)


def load_table(path: Path) -> pd.DataFrame:
    """Read what `save_table` wrote."""
    with np.load(path) as arrays:
        return _table(arrays)


def save_tables(tables: Tables, path: Path, identity: str) -> None:
    """`save_table` of several tables in one file, which holds `identity` too."""
    found = []
    order = json.dumps(_numbered(tables, found))
    members = {f"{number}/{name}": array for number, one in enumerate(found) for name, array in _arrays(one).items()}
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, **{ORDER: np.array(order), MADE_BY: np.array(identity)}, **members)
    keep(path, identity)


def load_tables(path: Path, identity: str) -> Tables | None:
    """Read what `save_tables` wrote; None where something else than `identity` has written there since."""
    with np.load(path) as arrays:
        return _in_order(json.loads(str(arrays[ORDER])), arrays) if arrays[MADE_BY] == identity else None


def as_stored(tables: Tables) -> Tables:
    """The tables as `load_tables` would give them."""
    found = []
    order = _numbered(tables, found)
    return _in_order(
        order, {f"{n}/{name}": array for n, one in enumerate(found) for name, array in _arrays(one).items()}
    )


def join_tables(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One table after another; the first is the result where no other has a row."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _numbered(tables: Tables, found: list[pd.DataFrame]) -> object:
    """Where each table stands; the tables themselves are appended to `found`."""
    if isinstance(tables, dict):
        return {name: _numbered(one, found) for name, one in tables.items()}
    if isinstance(tables, tuple):
        return [_numbered(one, found) for one in tables]
    found.append(tables)
    return len(found) - 1


def _in_order(order: object, arrays: Mapping[str, np.ndarray]) -> Tables:
    if isinstance(order, dict):
        return {name: _in_order(one, arrays) for name, one in order.items()}
    if isinstance(order, list):
        return tuple(_in_order(one, arrays) for one in order)
    return _table(arrays, f"{order}/")


def _arrays(table: pd.DataFrame) -> dict[str, np.ndarray]:
    columns = {str(number): _array(table[name]) for number, name in enumerate(table.columns)}
    return {NAMES: np.array(table.columns.tolist(), np.str_), **columns}


def _array(column: pd.Series) -> np.ndarray:
    if column.dtype.kind in "fiub":
        return column.to_numpy()
    if not all(isinstance(one, str) for one in column):
        raise TypeError(f"column {column.name}: a table is kept with numbers, or text without missing text")
    return column.to_numpy(np.str_)


def _table(arrays: Mapping[str, np.ndarray], prefix: str = "") -> pd.DataFrame:
    names = arrays[prefix + NAMES].tolist()
    columns = {name: _values(arrays[f"{prefix}{number}"]) for number, name in enumerate(names)}
    return pd.DataFrame(columns, columns=names)


def _values(column: np.ndarray) -> np.ndarray | pd.Series:
    return column if column.dtype.kind != "U" else pd.Series(column.tolist(), dtype=object if not len(column) else None)
