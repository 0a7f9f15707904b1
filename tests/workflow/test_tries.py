"""Every "Try this" names what is there: code of the cell above, parameters, controls of the browser, notebooks.

Parameters with a value are tried in test_notebooks.py.
"""

import ast
import builtins
import importlib
import inspect
import re

import pytest

from cxrlib.explain.methods import find, names
from cxrlib.params import load_params
from cxrlib.workflow.notebooks import NOTEBOOKS, START, cells_of, find_notebooks, sections_of, source_of

ABOVE = {"in the cell above": 1, "two cells above": 2}
BROWSER = "".join(path.read_text() for path in sorted((NOTEBOOKS.parent / "cxrlib/show/browse").glob("*.py")))


def tries() -> list:
    """Each sentence to try: its notebook, the code cells above it, the nearest last, and the sentence on one line."""
    found = []
    for path in [NOTEBOOKS / f"{START}.ipynb", *find_notebooks()]:
        code = []
        for cell in cells_of(path):
            source = source_of(cell)
            if cell["cell_type"] == "code":
                code.append(source)
            elif "**Try this.**" in source:
                tried = source.partition("**Try this.**")[2].partition("<details>")[0]
                found.append(pytest.param(path, tuple(code), " ".join(tried.split()), id=f"{path.stem} {cell['id']}"))
    return found


def names_of(code: str) -> dict[str, object]:
    """Every name that code defines; where it imports it, what it is, otherwise None."""
    found = dict.fromkeys(dir(builtins))
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            room = importlib.import_module(node.module)
            for alias in node.names:
                found[alias.asname or alias.name] = getattr(room, alias.name, None) or importlib.import_module(
                    f"{node.module}.{alias.name}"
                )
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = None
    return found


def require_runnable(code: str, names: dict[str, object]) -> None:
    """Every name is defined, every attribute of an imported module is there, and takes so many arguments."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            assert node.id in names, node.id
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and names[called.value.id]:
                function = getattr(names[called.value.id], called.attr)
            else:
                function = names[called.id] if isinstance(called, ast.Name) else None
            if function is not None:
                inspect.signature(function).bind(*node.args, **{word.arg: word.value for word in node.keywords})


def code_snippets(tried: str) -> list[str]:
    """What stands in backticks and is code: a call or an assignment."""
    return [one for one in re.findall(r"`([^`]+)`", tried) if re.match(r"[\w.]+(\(| = )", one)]


@pytest.mark.parametrize("path, code, tried", tries())
def test_what_is_to_be_written_in_place_of_something_fits_there(path, code, tried):
    for new, old in re.findall(r"`([^`]+)`[^`]* in place of `([^`]+)`", tried):
        place = next((number for words, number in ABOVE.items() if words in tried), None)
        if place is None:
            figure = re.search(r"the cell of Figure (\d+)", tried)[1]
            (source,) = [one for one in code if f'"figure_{figure}"' in one]
        else:
            source = code[-place]
        assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {source}"
        require_runnable(source.replace(old, new), names_of("\n".join(code)))


@pytest.mark.parametrize("path, code, tried", tries())
def test_code_to_try_belongs_into_the_cell_above_and_can_run(path, code, tried):
    for snippet in code_snippets(tried):
        if snippet.startswith("run_folder = "):
            continue
        (first,) = ast.parse(snippet).body
        begins = f"{first.targets[0].id} = " if isinstance(first, ast.Assign) else f"{ast.unparse(first.value.func)}("
        assert begins in code[-1], f"{begins!r} is not in {code[-1]}"
        require_runnable(snippet, names_of("\n".join(code)))


@pytest.mark.parametrize("path, code, tried", tries())
def test_a_parameter_or_notebook_to_try_is_there(path, code, tried):
    smoke, titles = load_params("smoke").model_dump(), [find(name).title for name in names()]
    for name in re.findall(r'`"([^"`]+)"`', tried):
        taken = [key for section in sections_of(path) for key in smoke[section]] if path.stem != START else []
        assert name in taken or name in titles, name
    for name in re.findall(r"`(\d\d_\w+)`", tried):
        assert (NOTEBOOKS / f"{name}.ipynb").exists()


@pytest.mark.parametrize("path, code, tried", tries())
def test_a_control_to_try_is_one_of_the_browser(path, code, tried):
    if re.search("show_browser|play_last_run", code[-1]) or "browser" in tried:
        for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", tried):
            assert f'"{name}"' in BROWSER, name
