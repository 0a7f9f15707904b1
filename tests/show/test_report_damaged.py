"""A damaged file of a run stops its report with one line that names it; what the report only keeps stops nothing."""

import base64
import io
import json

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from cxrlib.params import load_params
from cxrlib.runtime.errors import Refusal
from cxrlib.show.report.kept_pictures import PICTURES
from cxrlib.show.report.page import write_report
from cxrlib.show.run_answer import answer_of

NOTEBOOK, FIGURE, TABLE = "notebooks/01_data.ipynb", "figures/figure_01.png", "tables/numbers.csv"


def picture():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_notebook_with(path, png):
    cell = new_code_cell("1 + 1")
    cell.outputs = [new_output("display_data", {"image/png": base64.b64encode(png).decode()})]
    nbformat.write(new_notebook(cells=[cell]), path)


@pytest.fixture
def run_folder(tmp_path):
    """The folder of a run with one notebook, one figure and one table, without a report."""
    for name in ("data", "figures", "notebooks", "tables"):
        (tmp_path / name).mkdir()
    stored = {"profile": "smoke", "parameters": load_params("smoke").model_dump()}
    (tmp_path / "params.json").write_text(json.dumps(stored))
    write_notebook_with(tmp_path / NOTEBOOK, picture())
    (tmp_path / FIGURE).write_bytes(picture())
    (tmp_path / TABLE).write_text("label,n\nMass,1\nNodule,2\n")
    return tmp_path


DAMAGES = {
    "empty figure": (FIGURE, b""),
    "figure cut short": (FIGURE, picture()[:2000]),
    "no figure": (FIGURE, b"label,n\n"),
    "empty table": (TABLE, b""),
    "table cut short": (TABLE, b'label,n\n"Mass'),
    "no table": (TABLE, picture()),
    "empty table of cases": ("tables/iou_cases.csv", b""),
    "grid without its columns": ("tables/table_03.csv", b"label,n\nMass,1\n"),
    "empty notebook": (NOTEBOOK, b""),
    "notebook cut short": (NOTEBOOK, b'{"cells": ['),
    "notebook that is a list": (NOTEBOOK, b"[]"),
    "notebook without anything": (NOTEBOOK, b"{}"),
    "empty caption": ("figures/figure_01.json", b""),
    "caption that is a list": ("figures/figure_01.json", b"[]"),
    "caption without its fields": ("tables/numbers.json", b"{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_what_to_do(run_folder, damage):
    name, content = DAMAGES[damage]
    (run_folder / name).write_bytes(content)
    with pytest.raises(Refusal, match="delete it and run") as refused:
        write_report(run_folder)
    assert str(refused.value).startswith(f"{run_folder / name}: ")
    assert not (run_folder / "report.html").exists()


@pytest.mark.parametrize("png", [b"", picture()[:2000]])
def test_a_damaged_picture_in_a_notebook_names_the_notebook(run_folder, png):
    write_notebook_with(run_folder / NOTEBOOK, png)
    with pytest.raises(Refusal, match="delete it and run") as refused:
        write_report(run_folder)
    assert str(refused.value).startswith(f"{run_folder / NOTEBOOK}: ")


@pytest.mark.parametrize("content", [b"", b"label,n\nMass,1\n", b"method,n\nGrad-CAM,1\n"])
def test_a_damaged_verdict_is_named_at_the_end_of_the_command(run_folder, content):
    path = run_folder / "tables" / "verdict.csv"
    path.write_bytes(content)
    with pytest.raises(Refusal, match=r"verdict\.csv: cannot be read .*; delete it and run"):
        answer_of(run_folder)


def test_a_report_is_the_same_where_its_pictures_cannot_be_kept(run_folder):
    before = [path.read_bytes() for path in write_report(run_folder)]
    for folder in (run_folder, run_folder / "notebooks"):
        for path in (folder / PICTURES).iterdir():
            path.unlink()
        (folder / PICTURES).rmdir()
        (folder / PICTURES).touch()
    (run_folder / "notebooks" / "01_data.html").unlink()
    assert [path.read_bytes() for path in write_report(run_folder)] == before
    assert (run_folder / PICTURES).is_file() and (run_folder / "notebooks" / PICTURES).is_file()
