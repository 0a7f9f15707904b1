"""Tables that come back as they were stored, to the last bit."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.runtime.exact_tables import (
    as_stored,
    join_tables,
    load_table,
    load_tables,
    save_table,
    save_tables,
)
from cxrlib.runtime.store import is_kept, keep

TABLE = pd.DataFrame(
    {
        "image_id": ["007", "NA", ""],
        "Nodule/Mass": np.array([0.1, 1 / 3, np.nan], np.float32),
        "share": [0.1, 1 / 3, 1e-300],
        "file": [1, -2, 2**40],
        "hit": [True, False, True],
    }
)


@pytest.mark.parametrize("rows", [3, 1, 0])
def test_a_table_comes_back_as_it_was(tmp_path, rows):
    table, path = TABLE[:rows], tmp_path / "table.npz"
    save_table(table, path, "first")
    assert is_kept(path, "first") and not is_kept(path, "second")
    loaded = load_table(path)
    assert loaded.columns.tolist() == table.columns.tolist()
    for name in table.columns:
        assert loaded[name].to_numpy().tobytes() == table[name].to_numpy().tobytes() or name == "image_id"
        assert rows == 0 or loaded[name].dtype == table[name].dtype
    assert loaded["image_id"].tolist() == table["image_id"].tolist()
    before = path.read_bytes()
    save_table(loaded, path, "first")
    assert path.read_bytes() == before


def test_what_another_process_has_written_meanwhile_is_not_taken_for_ones_own(tmp_path):
    path = tmp_path / "tables.npz"
    save_tables({"a": TABLE, "b": (TABLE[:1],)}, path, "first")
    assert load_tables(path, "first")["a"].equals(as_stored({"a": TABLE})["a"])
    save_tables({"a": TABLE[:2]}, tmp_path / "other.npz", "second")
    (tmp_path / "other.npz").replace(path)
    keep(path, "first")  # as where the other process wrote its file just before
    assert is_kept(path, "first") and load_tables(path, "first") is None and len(load_tables(path, "second")["a"]) == 2


@pytest.mark.parametrize("other", ["first", "second"])
def test_what_another_process_writes_meanwhile_stops_nobody(tmp_path, monkeypatch, other):
    path, write = tmp_path / "tables.npz", np.savez_compressed

    def written_between(file, **arrays):
        write(file, **arrays)
        monkeypatch.undo()
        with monkeypatch.context() as process:
            process.setattr("os.getpid", lambda: 1)
            save_tables({"a": TABLE[:2]}, path, other)

    monkeypatch.setattr(np, "savez_compressed", written_between)
    save_tables({"a": TABLE}, path, "first")
    assert is_kept(path, "first") and len(load_tables(path, "first")["a"]) == 3


@pytest.mark.parametrize("column", [["a", None], ["a", 1.0], [True, np.nan], pd.to_datetime(["2026-01-01"] * 2)])
def test_what_a_table_cannot_hold_is_refused(tmp_path, column):
    with pytest.raises(TypeError, match="column why"):
        save_table(pd.DataFrame({"why": column}), tmp_path / "table.npz", "first")


def test_tables_are_joined_in_their_order_and_empty_ones_change_no_kind_of_number():
    parts = [TABLE[:0].astype(object), TABLE[:2], TABLE[:0].astype(object), TABLE[2:]]
    pd.testing.assert_frame_equal(join_tables(parts), TABLE)
    assert join_tables(parts[:1]).empty
