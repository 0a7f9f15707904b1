"""What holds of every notebook before it runs; that it runs is checked by nbval and by the smoke profile."""

import ast
import re

import nbformat
import pytest

from cxrlib.params import ParameterError, load_params
from cxrlib.workflow.notebooks import code_of, declared_parameters, find_notebooks, sections_of, title_of

NOTEBOOKS = find_notebooks()
CHECKED = "NBVAL_CHECK_OUTPUT"
MOST_CODE_LINES = 110

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def is_checked(cell) -> bool:
    """Whether nbval --nbval-lax compares the cell's output."""
    lines = [line.strip().lstrip("# ") for line in cell.source.splitlines() if line.strip().startswith("#")]
    return CHECKED in lines or CHECKED.lower().replace("_", "-") in tags(cell)


@pytest.mark.parametrize("source", ["x = (", "names = !ls", "np.array?"])
def test_a_cell_that_is_no_python_is_named(write_notebook, source):
    with pytest.raises(ParameterError, match=r"01_first.ipynb: a cell cannot be read as Python; it begins with"):
        code_of(write_notebook("01_first", source))


def test_magics_are_left_out_and_python_is_not(write_notebook):
    assert code_of(write_notebook("01_first", "%matplotlib inline\nx = 1")).endswith("pass\nx = 1")
    assert "% 3" in code_of(write_notebook("02_second", 'text = ("a %s"\n    % 3)'))


def test_half_a_notebook_is_named(tmp_path):
    (tmp_path / "01_first.ipynb").write_text('{"cells": [')
    with pytest.raises(ParameterError, match="01_first.ipynb: not a readable notebook"):
        code_of(tmp_path / "01_first.ipynb")


def test_the_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_data",
        "02_training",
        "03_classification",
        "04_gradcam",
        "05_smoothgrad",
        "06_iou",
        "07_perturbation",
        "08_transfer",
    ]


@each_notebook
def test_format_and_title(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].cell_type == "markdown"
    assert title_of(path) != path.stem


@each_notebook
def test_parameters_are_the_smoke_profile(path):
    smoke = load_params("smoke").model_dump()
    expected = {"run_folder": "outputs/smoke"} | {name: smoke[name] for name in sections_of(path)}
    assert declared_parameters(path) == expected


@each_notebook
def test_parameters_come_first(path):
    assert "parameters" in tags(code_cells(path)[0])


@each_notebook
def test_functions_and_classes_live_in_the_library(path):
    for cell in code_cells(path):
        code = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source)
        defined = [node for node in ast.walk(ast.parse(code)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        assert not defined, f"defines {defined[0].name}"


@each_notebook
def test_code_is_short(path):
    lines = [line.strip() for cell in code_cells(path) for line in cell.source.splitlines()]
    assert sum(bool(line) and not line.startswith("#") for line in lines) <= MOST_CODE_LINES


@each_notebook
def test_only_kept_cells_store_output(path):
    for cell in code_cells(path):
        assert "keep_output" in tags(cell) or not cell.outputs, cell.source


@each_notebook
def test_some_cells_are_checked_and_each_has_something_to_compare(path):
    """Nbval passes a marked cell that stores nothing, and nbstripout empties one that is not tagged keep_output."""
    cells = code_cells(path)
    assert any(is_checked(cell) for cell in cells)
    for cell in cells:
        assert is_checked(cell) == ("keep_output" in tags(cell)), cell.source
        if is_checked(cell):
            text = "".join(
                output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs
            )
            assert text.strip(), f"marked but without stored text: {cell.source}"
