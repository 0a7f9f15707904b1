"""What two files or runs differ in, and what is no difference of results."""

import json

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

import run_all
from cxrlib.workflow.compare import Comparison, compare, difference
from cxrlib.workflow.manifest import Manifest


def write_table(path, changed, run):
    text = "name,value,n\na,1.0,\nb,2.5,1\n" if changed else "name,value,n\na,1.0,\nb,2.0,1\n"
    path.write_text(text if run == 1 else text.replace("1.0", "1"))


def write_times(path, changed, run):
    path.write_text(f"name,n,seconds\na,{1 + changed},0.{run}\n")


def write_picture(path, changed, run):
    text = PngImagePlugin.PngInfo()
    text.add_text("Source", f"run {run}")
    Image.fromarray(np.full((2, 3), 7 if changed else 5, np.uint8)).save(path, pnginfo=text)


def write_archive(path, changed, run):
    identity = {"identity": np.array(f"of run {run}")} if run == 1 else {}  # only earlier versions stored one
    np.savez(path, maps=np.array([1.0, np.nan]), classes=np.array(["a", "c" if changed else "b"]), **identity)


def write_array(path, changed, run):
    np.lib.format.write_array(path.open("wb"), np.zeros(2 + changed), version=(run, 0))


def write_model(path, changed, run):
    checkpoint = {"epoch": 3} | ({"data": "1", "recipe": "1"} if run == 1 else {})
    tensors = {"w": torch.tensor([1.0, 3.0 if changed else 1.0]), "b": torch.zeros(1)}
    save_file(tensors, path, {"checkpoint": json.dumps(checkpoint)})


def write_description(path, changed, run):
    save_file({"w": torch.zeros(1)}, path, {"checkpoint": json.dumps({"epoch": 3 + changed, "recipe": str(run)})})


def write_json(path, changed, run):
    provenance = {"run": str(run), "code": str(run), "parameters": {"iou": {"seed": run}}, "data": {"data": str(run)}}
    path.write_text(json.dumps(provenance | {"caption": "y" if changed else "x"}))


def write_cohort(path, changed, run):
    text = json.dumps({"data": "a", "split": "c" if changed else "b"}, indent=run)
    path.write_text(text)


def write_pdf(path, changed, run):
    figure = Figure(figsize=(1, 1))
    figure.text(0.1, 0.1, "b" if changed else "a")
    figure.savefig(path, metadata={"CreationDate": None, "Creator": f"cxr-explained, run {run}"})


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        ("a.csv", write_table, "column value differs in 1 of 2, at most by 0.5"),
        ("a.csv", write_times, "column n differs in 1 of 1, at most by 1"),
        ("a.png", write_picture, "pixels differs in 6 of 6, at most by 2"),
        ("a.npz", write_archive, "classes differs in 1 of 2"),
        ("a.npy", write_array, "array has shape (3,), not (2,)"),
        ("a.safetensors", write_model, "w differs in 1 of 2, at most by 2"),
        ("a.safetensors", write_description, "epoch differs in 1 of 1"),
        ("a.json", write_json, "caption differs in 1 of 1"),
        ("a.json", write_cohort, "split differs in 1 of 1"),
        ("a.pdf", write_pdf, "the bytes differ"),
    ],
)
def test_contents_differ_and_provenance_does_not(tmp_path, name, write, expected):
    first, second = tmp_path / "first" / name, tmp_path / "second" / name
    for path, changed, run in ((first, True, 1), (second, False, 2)):
        path.parent.mkdir()
        write(path, changed, run)
    assert difference(first, second) == expected
    write(first, False, 1)
    assert first.read_bytes() != second.read_bytes()
    assert difference(first, second) is None


def test_a_column_more_and_the_same_numbers_in_other_words(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x\n1.0\n")
    assert difference(tmp_path / "a.csv", tmp_path / "b.csv") == "column y is only in one"


def test_tables_of_unequal_length_differ_in_their_rows(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "1,2\n" * 1000)
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    assert difference(tmp_path / "a.csv", tmp_path / "b.csv") == "1,000 rows, not 1"


def test_other_kinds_of_files_are_compared_by_their_bytes(tmp_path):
    (tmp_path / "a.dicom").write_bytes(b"1")
    (tmp_path / "b.dicom").write_bytes(b"2")
    assert difference(tmp_path / "a.dicom", tmp_path / "b.dicom") == "the bytes differ"


def run_of(folder, contents):
    """A run that made files, by name."""
    manifest = Manifest(folder)
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    artefacts = {name: {"sha256": text} for name, text in contents.items()}
    artefacts["notebooks/01_data.ipynb"] = {"sha256": str(folder)}
    manifest.notebooks = {"01_data": {"artefacts": artefacts, "environment": "e"}}
    return manifest


def test_runs_are_compared_without_their_executed_notebooks(tmp_path):
    ours = run_of(tmp_path / "ours", {"tables/same.csv": "x\n", "tables/other.csv": "x\n1\n", "tables/own.csv": "x\n"})
    theirs = run_of(tmp_path / "theirs", {"tables/same.csv": "x\n", "tables/other.csv": "x\n2\n", "tables/new.csv": ""})
    expected = [
        f"tables/new.csv is only in {tmp_path / 'theirs'}",
        "tables/other.csv: column x differs in 1 of 1, at most by 1",
        f"tables/own.csv is only in {tmp_path / 'ours'}",
    ]
    assert compare(ours, theirs) == Comparison(expected, [])
    (tmp_path / "theirs" / "tables" / "other.csv").unlink()
    assert "a file is gone" in compare(ours, theirs).differences[1]


def test_names_and_records_of_earlier_versions_are_no_difference_and_what_they_name_is_compared(tmp_path):
    first, second = ({"tables/a.json": json.dumps({"caption": "", "run": run})} for run in "12")
    earlier = first | {"data/sizes-0123456789ab.csv": "x\n1\n", "source/render.json": "{}"}
    ours = run_of(tmp_path / "ours", second | {"data/sizes.csv": "x\n1\n"})
    theirs = run_of(tmp_path / "theirs", earlier)
    assert compare(ours, theirs) == Comparison([], ["tables/a.json"])
    theirs = run_of(tmp_path / "theirs", earlier | {"data/sizes-0123456789ab.csv": "x\n3\n"})
    assert compare(ours, theirs).differences == ["data/sizes.csv: column x differs in 1 of 1, at most by 2"]
    ours = run_of(tmp_path / "ours", second | {"tables/a-0123456789ab.csv": "x\n"})
    assert len(compare(ours, theirs).differences) == 2  # only these names are known to hold a fingerprint


def test_names_that_are_numbers_to_pandas_alone_differ(tmp_path):
    for name, text in (("own.csv", "rad_id,n\n007,1\nNA,2\n"), ("other.csv", "rad_id,n\n7,1\nnan,2\n")):
        (tmp_path / name).write_text(text)
    assert difference(tmp_path / "own.csv", tmp_path / "other.csv") == "column rad_id differs in 2 of 2"


def test_the_command_counts_what_differs_in_provenance_only(tmp_path, capsys):
    for name in ("1", "2", "3"):
        caption = "other" if name == "3" else "same"
        run_of(tmp_path / name, {"tables/a.json": json.dumps({"run": name, "caption": caption})}).save()
    for other, code in (("2", 0), ("3", 1)):
        assert run_all.main(["smoke", "--out", str(tmp_path / "1"), "--compare", str(tmp_path / other)]) == code
    assert capsys.readouterr().out.splitlines() == [
        f"the same results as {tmp_path / '2'}",
        "files that differ in their provenance or measured times only: 1",
        "tables/a.json: caption differs in 1 of 1",
        f"all of it: {tmp_path / '1' / 'compare.html'}",
    ]
