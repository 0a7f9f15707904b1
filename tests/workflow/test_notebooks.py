"""What holds of every notebook before it runs; that it runs is checked by nbval and by the smoke profile."""

import ast
import re

import nbformat
import pytest

from cxrlib.explain.methods import find
from cxrlib.params import ParameterError, check_params, load_params
from cxrlib.runtime.fingerprints import code_files
from cxrlib.workflow.notebooks import START, code_of, declared_parameters, find_notebooks, sections_of, title_of

NOTEBOOKS = find_notebooks()
START_HERE = NOTEBOOKS[0].with_name(f"{START}.ipynb")
CHECKED = "NBVAL_CHECK_OUTPUT"
MOST_CODE_LINES, MOST_IN_A_CELL, MOST_IMPORTS = 80, 15, 6

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
        "08_methods",
        "09_phantom",
        "10_sanity",
        "11_roar",
        "12_shortcuts",
        "13_verdict",
        "14_transfer",
    ]


@each_notebook
def test_format_and_title(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].cell_type == "markdown"
    assert title_of(path) != path.stem


@each_notebook
def test_a_notebook_opened_by_hand_changes_no_parameter_unless_its_cell_says_so(path):
    assert declared_parameters(path) == {"run_folder": "outputs/smoke"} | dict.fromkeys(sections_of(path), {})


@each_notebook
def test_every_parameter_shown_has_the_value_of_the_smoke_profile(path):
    smoke, shown = load_params("smoke").model_dump(), {}
    exec(code_cells(path)[0].source.replace("    # ", "    "), shown)
    for name in sections_of(path):
        assert shown[name] == {key: smoke[name][key] for key in shown[name]}, name


@each_notebook
def test_every_parameter_shown_is_explained_by_a_sentence(path):
    lines = [line for line in code_cells(path)[0].source.splitlines() if ":" in line and not line.startswith(" " * 8)]
    for line in [line for line in lines if not line.rstrip().endswith("{")]:
        assert re.search(r'  # ["{A-Z].*[.]$', line), line


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
    lengths = []
    for cell in code_cells(path):
        lines = [line.strip() for line in cell.source.splitlines()]
        lengths.append(sum(bool(line) and not line.startswith("#") for line in lines))
    assert sum(lengths) <= MOST_CODE_LINES and max(lengths) <= MOST_IN_A_CELL


@each_notebook
def test_few_imports_and_each_leads_to_code(path):
    """A folder imported as a whole hides what the notebook depends on, so that an edit would not make it stale."""
    tree = ast.parse(code_of(path))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import) and "cxrlib" in ast.unparse(node)]
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    own = [node for node in imports if node.module.startswith("cxrlib")]
    assert len(own) <= MOST_IMPORTS
    for node in own:
        for alias in node.names:
            assert code_files([f"{node.module}.{alias.name}", node.module]), alias.name


@each_notebook
def test_no_notebook_builds_a_path(path):
    assert not re.search(r"\.path\(|PROJECT_ROOT|pathlib|open\(", code_of(path))


@pytest.mark.parametrize("path", [START_HERE, *NOTEBOOKS], ids=lambda path: path.stem)
def test_after_each_figure_stands_what_to_see_what_to_try_and_a_question(path):
    cells = nbformat.read(path, as_version=4).cells
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type == "code" and re.search(r"save_figure\(|show_browser\(|play_last_run\(", cell.source):
            assert following is not None and following.cell_type == "markdown", cell.source
            seen, tried, *question = following.source.split("\n\n")
            assert re.fullmatch(r"\*\*What you see\.\*\* [A-Z](?s:.)*\.", seen), seen
            assert re.fullmatch(r"\*\*Try this\.\*\* (?s:.)*\.", tried), tried
            assert question and question[0].startswith("<details><summary>Question: "), following.source


@pytest.mark.parametrize("path", [START_HERE, *NOTEBOOKS], ids=lambda path: path.stem)
def test_every_answer_is_folded_below_its_question(path):
    """Markdown in the fold is drawn only where blank lines part it from the tags."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            folds = re.findall(
                r"(?s)<details><summary>Question: [^<>]+\?</summary>\n\n[^<>]+\.\n\n</details>", cell.source
            )
            tags = re.findall(r"</?(?:details|summary)>", cell.source)
            assert len(tags) == 4 * len(folds), cell.source


@each_notebook
def test_every_parameter_to_try_is_one_that_the_notebook_takes(path):
    """`"name": value` in the parameters cell, `section: dict = {...}`, or a method to compare."""
    smoke = load_params("smoke").model_dump()
    for cell in nbformat.read(path, as_version=4).cells:
        tried = cell.source.partition("**Try this.**")[2].partition("<details>")[0]
        for snippet in re.findall(r"`([^`]+)`", tried):
            if section := re.fullmatch(r"(?s)(\w+): dict = (\{.+\})", snippet):
                assert section[1] in sections_of(path), snippet
                check_params({section[1]: smoke[section[1]] | ast.literal_eval(section[2])}, path.stem)
            elif re.match(r'"\w+": ', snippet):
                values = ast.literal_eval(f"{{{snippet}}}")
                sections = [name for name in sections_of(path) if values.keys() <= smoke[name].keys()]
                assert sections or find(*values), snippet
                for name in sections:
                    check_params({name: smoke[name] | values}, path.stem)


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


@each_notebook
def test_what_an_answer_says_is_wrapped_between_words(path):
    """Notebooks break a printed line that is too long for the screen within a word; run.say does not."""
    answer = ast.parse(code_cells(path)[-1].source)
    calls = [ast.unparse(node.func) for node in ast.walk(answer) if isinstance(node, ast.Call)]
    assert "run.say" in calls
