"""What two files or runs differ in."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cxrlib.workflow.compare import compare, difference
from cxrlib.workflow.manifest import Manifest


def write_table(path, changed):
    pd.DataFrame({"name": ["a", "b"], "value": [1.0, 2.5 if changed else 2.0], "n": [np.nan, 1]}).to_csv(path)


def write_picture(path, changed):
    Image.fromarray(np.full((2, 3), 7 if changed else 5, np.uint8)).save(path)


def write_archive(path, changed):
    np.savez(path, maps=np.array([1.0, np.nan]), classes=np.array(["a", "c" if changed else "b"]))


def write_model(path, changed):
    save_file({"w": torch.tensor([1.0, 3.0 if changed else 1.0]), "b": torch.zeros(1)}, path)


def write_json(path, changed):
    path.write_text(json.dumps({"caption": "x", "run": "2" if changed else "1"}))


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        ("a.csv", write_table, "column value differs in 1 of 2, at most by 0.5"),
        ("a.png", write_picture, "pixels differs in 6 of 6, at most by 2"),
        ("a.npz", write_archive, "classes differs in 1 of 2"),
        ("a.npy", lambda path, changed: np.save(path, np.zeros(2 + changed)), "array has shape (3,), not (2,)"),
        ("a.safetensors", write_model, "w differs in 1 of 2, at most by 2"),
        ("a.json", write_json, "run differs in 1 of 1"),
        ("a.pdf", lambda path, changed: path.write_bytes(b"%PDF" + bytes(changed)), "the bytes differ"),
    ],
)
def test_the_difference_is_named_and_measured(tmp_path, name, write, expected):
    first, second = tmp_path / "first" / name, tmp_path / "second" / name
    for path, changed in ((first, True), (second, False)):
        path.parent.mkdir()
        write(path, changed)
    assert difference(first, second) == expected
    write(first, False)
    assert difference(first, second) in ("the same contents in other bytes", "the bytes differ")


def test_a_column_more_and_the_same_numbers_in_other_words(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x\n1.0\n")
    assert difference(tmp_path / "a.csv", tmp_path / "b.csv") == "column y is only in one"


def run_with(folder, **contents):
    manifest = Manifest(folder)
    for name, text in contents.items():
        path = folder / "tables" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    artefacts = {f"tables/{name}.csv": {"sha256": text} for name, text in contents.items()}
    artefacts["notebooks/01_data.ipynb"] = {"sha256": str(folder)}
    manifest.notebooks = {"01_data": {"artefacts": artefacts, "environment": "e"}}
    return manifest


def test_runs_are_compared_without_their_executed_notebooks(tmp_path):
    ours = run_with(tmp_path / "ours", same="x\n1\n", other="x\n1\n", own="x\n")
    theirs = run_with(tmp_path / "theirs", same="x\n1\n", other="x\n2\n", new="x\n")
    assert compare(ours, theirs) == [
        f"tables/new.csv is only in {tmp_path / 'theirs'}",
        "tables/other.csv: column x differs in 1 of 1, at most by 1",
        f"tables/own.csv is only in {tmp_path / 'ours'}",
    ]
    (tmp_path / "theirs" / "tables" / "other.csv").unlink()
    assert "a file is gone" in compare(ours, theirs)[1]
