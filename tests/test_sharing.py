"""How several workers share the tests (`tests/sharing.py`)."""

import ast
from types import SimpleNamespace

import pytest
from import_graph import PROJECT
from sharing import FINISHED_RUN, group_of, in_order


def looks_at_the_finished_run(tree):
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return any(argument.arg == "smoke" for function in functions for argument in function.args.args)


def test_whatever_looks_at_the_finished_run_runs_in_the_worker_that_made_it():
    files = {path.name: ast.parse(path.read_text()) for path in (PROJECT / "tests").rglob("test_*.py")}
    assert {name for name, tree in files.items() if looks_at_the_finished_run(tree)} == {*FINISHED_RUN}


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("notebooks/01_data.ipynb::Cell 0", "notebooks"),
        ("notebooks/08_methods.ipynb::Cell 3", "notebooks"),
        ("tests/test_smoke.py::test_a", "finished run"),
        ("tests/show/test_report.py::test_a[1366-768]", "finished run"),
        ("tests/show/test_tables.py::test_a[tests/test_smoke.py::b]", "tests/show/test_tables.py"),
    ],
)
def test_notebooks_and_what_looks_at_the_finished_run_stay_together_and_files_whole(nodeid, group):
    assert group_of(nodeid) == group


def test_what_takes_long_begins_first_and_tests_of_a_group_keep_their_order():
    def item(nodeid, slow=False):
        return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: slow or None)

    named = [
        "tests/test_a.py::x",
        "tests/test_b.py::x",
        "tests/test_b.py::y",
        "tests/test_smoke.py::x",
        "n/01.ipynb::0",
    ]
    items = [item(nodeid, slow=nodeid == "tests/test_b.py::y") for nodeid in named]
    assert [one.nodeid for one in in_order(items)] == [named[place] for place in (3, 4, 1, 2, 0)]
