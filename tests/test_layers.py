"""The code keeps to docs/architecture.md: who imports whom, what faces hold, and how little the core needs."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter

import pytest
from import_graph import (
    BESIDE,
    PACKAGE,
    PAGE,
    PROJECT,
    ROOMS,
    arrows,
    diagram,
    may_import,
    modules,
    page_with,
    violations,
)

ARROWS = list(arrows())
NEVER = re.findall(r"^\d+\. `(\w+)` never imports `(\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
FACES = [name for name, path in modules().items() if path.stem == "__init__" and name != "cxrlib"]
EVERY = [*ROOMS, *BESIDE]
FORBIDDEN = [(room, other) for room in EVERY for other in EVERY if other not in {room, *may_import(room)}]
WAYS = [
    "from cxrlib.{other}.one import name",
    "import cxrlib.{other}.one",
    "from cxrlib import {other}",
    "from ..{other} import one",
    "def work():\n    from cxrlib.{other} import name\n",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cxrlib.{other}.one import Name\n",
]


# the rule


def test_every_folder_imports_only_folders_to_its_left():
    assert violations() == []


def test_every_folder_is_a_room():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert folders | files == {*ROOMS, *BESIDE}


@pytest.fixture
def tree(tmp_path):
    """A package with every room, in which each module imports all that it may."""
    for room in ROOMS + BESIDE:
        folder = tmp_path / "cxrlib" / room
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        allowed = [f"from cxrlib.{other}.one import name\n" for other in sorted(may_import(room))]
        (folder / "one.py").write_text("".join(["import cxrlib\n", f"from cxrlib.{room} import two\n", *allowed]))
    (tmp_path / "cxrlib" / "__init__.py").write_text("from cxrlib.workflow import filelog\n")
    return tmp_path / "cxrlib"


def test_what_is_allowed_is_not_reported(tree):
    assert violations(tree) == []


@pytest.mark.parametrize(("room", "other"), FORBIDDEN)
def test_every_planted_violation_is_found(tree, room, other):
    for number, way in enumerate(WAYS):
        planted = tree / room / f"planted{number}.py"
        planted.write_text("\n\n" + way.format(other=other))
    found = violations(tree)
    assert len(found) == len(WAYS)
    for number, way in enumerate(WAYS):
        line = 3 + next(row for row, text in enumerate(way.splitlines()) if "{other}" in text)
        (message,) = [text for text in found if f"planted{number}.py" in text]
        assert message.startswith(f"cxrlib/{room}/planted{number}.py:{line}: {room} imports cxrlib.{other}")


def test_the_package_itself_imports_the_file_log_alone(tree):
    (tree / "__init__.py").write_text("from cxrlib.data import one\n")
    assert violations(tree) == ["cxrlib/__init__.py:1: cxrlib imports cxrlib.data.one"]


# the page


def test_the_page_has_thirteen_nevers():
    assert len(set(NEVER)) == 13


@pytest.mark.parametrize(("room", "other"), NEVER)
def test_never_means_never(room, other):
    assert {room, other} <= {*ROOMS, *BESIDE}
    assert [arrow.place for arrow in ARROWS if arrow.rooms == (room, other)] == []


def test_the_import_graph_on_the_page_is_that_of_the_code():
    assert PAGE.read_text(encoding="utf-8") == page_with(diagram()), "run python tests/import_graph.py --write"


def test_another_import_is_another_graph(tree):
    before = diagram(tree)
    (tree / "show" / "planted.py").write_text("from cxrlib.model.one import name\n")
    assert diagram(tree) != before


# names and faces


def test_no_two_modules_share_a_name():
    counts = Counter(path.stem for path in modules().values() if path.stem not in {"__init__", "__main__"})
    assert [name for name, count in counts.items() if count > 1] == []


def written_in(path):
    """Names that a module itself defines."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            names |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)} if target else set()
    return names


@pytest.mark.parametrize("face", FACES)
def test_a_face_holds_a_docstring_and_the_names_that_it_lends(face):
    path = modules()[face]
    docstring, *rest = ast.parse(path.read_text()).body
    assert isinstance(docstring.value, ast.Constant)
    if not rest:
        return
    if face == "cxrlib.explain":  # the one room that can be called
        *_, room, assigned = rest
        assert room.name == "_Room" and ast.unparse(assigned) == "sys.modules[__name__].__class__ = _Room"
        rest = [node for node in rest[:-2] if ast.unparse(node) not in ("import sys", "from types import ModuleType")]
    imported, attached = rest
    assert ast.unparse(imported) == "from lazy_loader import attach"
    assert ast.unparse(attached.targets[0]) == "(__getattr__, __dir__, __all__)"
    assert ast.unparse(attached.value.func) == "attach" and ast.unparse(attached.value.args) == "__name__"
    (lent,) = [ast.literal_eval(keyword.value) for keyword in attached.value.keywords]
    for module, names in lent.items():
        assert set(names) <= written_in(path.parent.joinpath(*module.split(".")).with_suffix(".py")), module
    below = {child.stem for child in path.parent.iterdir() if child.is_dir() or child.suffix == ".py"}
    assert not below & set().union(*lent.values()), "a name that is a module's hides the module or the name"


def test_modules_import_from_modules():
    known = modules()
    through = [arrow for arrow in ARROWS if arrow.imported not in known and arrow.imported.rpartition(".")[0] in FACES]
    assert [f"{arrow.place}: {arrow.imported}" for arrow in through] == []


# the core


def loaded(module):
    """Modules of the project, and libraries, that a fresh interpreter has after importing one module."""
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    names = json.loads(done.stdout)
    return [name for name in names if name.split(".")[0] == "cxrlib"], {name.split(".")[0] for name in names}


@pytest.mark.parametrize(("module", "most"), [("explain.gradcam", 6), ("explain.smoothgrad", 8)])
def test_the_core_stands_on_few_modules(module, most):
    own, libraries = loaded(f"cxrlib.{module}")
    assert f"cxrlib.{module}" in own and len(own) <= most, own
    assert libraries & {"pandas", "pydicom", "matplotlib", "IPython", "pydantic"} == set()


def test_stored_maps_are_browsed_without_what_takes_seconds_to_import():
    own, libraries = loaded("cxrlib.show.browse.browser")
    assert "cxrlib.show.browse.heatmap" in own
    assert libraries & {"torchvision", "sklearn", "scipy", "seaborn", "iterstrat", "timm"} == set()


@pytest.mark.parametrize("module", ["boxes", "bootstrap"])
def test_scores_stand_on_nothing_outside_their_room(module):
    own, _ = loaded(f"cxrlib.evaluate.{module}")
    assert {name for name in own if not name.startswith("cxrlib.evaluate.")} == {"cxrlib", "cxrlib.evaluate"}
