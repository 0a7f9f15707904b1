"""`pytest -n 2 -m "not slow"`, the habit of every commit, covers every folder of cxrlib."""

import ast

import pytest
import yaml
from fixtures import SLOW_FIXTURES
from import_graph import PACKAGE, PROJECT, ROOMS

TESTS = PROJECT / "tests"
HABIT = 'pytest -n 2 -m "not slow"'
FOLDERS = sorted({path.parent.relative_to(PROJECT) for path in PACKAGE.rglob("*.py")} - {PACKAGE.relative_to(PROJECT)})
SLOW = "pytest.mark.slow"


def quick_tests(tree):
    """Names of a module's tests that are not slow: neither marked nor with a fixture that is."""
    marks = [ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign) and is_mark(node)]
    if any(SLOW in mark for mark in marks):
        return []
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        if not any(ast.unparse(decorator) == SLOW for decorator in node.decorator_list)
        if not SLOW_FIXTURES & {argument.arg for argument in node.args.args}
    ]


def is_mark(node):
    return ast.unparse(node.targets[0]) == "pytestmark"


@pytest.fixture(scope="module")
def quick_modules():
    """The syntax of every test module with a test that is not slow, by its path."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(TESTS.rglob("test_*.py"))}
    return {path: tree for path, tree in trees.items() if quick_tests(tree)}


@pytest.mark.parametrize("room", [*ROOMS, "workflow"])
def test_every_room_has_a_test_module_that_is_not_slow(quick_modules, room):
    assert any(path.parent == TESTS / room for path in quick_modules)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_folder_is_imported_by_a_test_that_is_not_slow(quick_modules, folder):
    sources = {node.module for tree in quick_modules.values() for node in ast.walk(tree) if is_import(node)}
    assert any(name.startswith(f"{'.'.join(folder.parts)}.") for name in sources)


def is_import(node):
    return isinstance(node, ast.ImportFrom) and node.module is not None


def test_what_is_slow_is_told_apart():
    quick = quick_tests(ast.parse("def test_a(): ...\n@pytest.mark.slow\ndef test_b(): ...\ndef test_c(smoke): ..."))
    assert quick == ["test_a"]
    assert quick_tests(ast.parse("pytestmark = [pytest.mark.slow]\ndef test_a(): ...")) == []


def test_the_habit_is_named_and_stands_before_every_push():
    assert HABIT in (PROJECT / "README.md").read_text()
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (habit,) = [hook for hook in hooks if "pytest" in hook["entry"]]
    assert habit["entry"] == HABIT and habit["stages"] == ["pre-push"]
