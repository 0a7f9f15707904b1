"""Which code computes something, and when it counts as changed."""

import subprocess
import sys

import pytest

from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.fingerprints import (
    COMPUTES_NOTHING,
    code_files,
    code_fingerprint,
    code_fingerprints,
    imported_names,
)

FILES = {
    "__init__.py": "",
    "model/__init__.py": "__getattr__ = attach(__name__, submod_attrs={'nets': ['build'], 'loss': ['bce', 'focal']})",
    "model/nets.py": "import torch",
    "model/loss.py": 'WEIGHTS = "weights.csv"',
    "model/weights.csv": "1",
    "model/notes.csv": "nobody names this",
    "show/__init__.py": "",
    "show/curves.py": "from cxrlib.runtime.progress import progress\n\n\ndef draw():\n    from cxrlib.model import bce",
    "show/unused.py": "",
    "runtime/__init__.py": "",
    "runtime/progress.py": "import cxrlib.runtime.device",
    "runtime/device.py": "",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "cxrlib" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch", set()),
        ("from cxrlib.show.curves import draw", {"show/curves.py", "model/loss.py", "model/weights.csv"}),
        ("import cxrlib.show.curves as c", {"show/curves.py", "model/loss.py", "model/weights.csv"}),
        ("from cxrlib.show import curves", {"show/curves.py", "model/loss.py", "model/weights.csv"}),
        ("from cxrlib.model import build", {"model/nets.py"}),
        ("from cxrlib.model import build, focal", {"model/nets.py", "model/loss.py", "model/weights.csv"}),
        ("from cxrlib.model.nets import build", {"model/nets.py"}),
        ("from cxrlib.model.nets import *", {"model/nets.py"}),
        ("from cxrlib.model import nothing", set()),
        ("from cxrlib import model", {"model/nets.py", "model/loss.py", "model/weights.csv"}),
        ("import cxrlib.model", {"model/nets.py", "model/loss.py", "model/weights.csv"}),
        ("from cxrlib.model import *", {"model/nets.py", "model/loss.py", "model/weights.csv"}),
        ("from cxrlib.runtime.progress import progress", set()),
        ("from cxrlib.runtime.device import pick", {"runtime/device.py"}),
        ("from cxrlib import __version__", set()),
        ("import cxrlib.absent.module", set()),
    ],
)
def test_code_is_followed_through_faces_and_functions_and_no_further(root, source, expected):
    found = code_files(imported_names(source), root=root)
    assert {path.relative_to(root / "cxrlib").as_posix() for path in found} == expected


def test_what_is_given_is_not_followed(root):
    found = code_files(["cxrlib.show.curves"], given=("cxrlib.model",), root=root)
    assert [path.name for path in found] == ["curves.py"]
    assert code_files(["cxrlib.model.nets"], given=("cxrlib.mod",), root=root)  # a folder, not a beginning of a name


BEFORE = '''
"""Module."""

LIMIT = 3
"""Attribute."""


class A:
    """Class."""

    def f(self, x):
        """Function."""
        return x + 1  # comment


def g():
    """Only words."""
'''


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("Module", "Other", False),
        ("Attribute", "Other", False),
        ("Class.", "Other.", False),
        ("Function", "Other", False),
        ("Only words", "Other words", False),
        ('"""Only words."""', '"""Only words."""\n    pass', False),
        ("# comment", "# other", False),
        ("x + 1", "(x\n                + 1)", False),
        ("x + 1", "x + 2", True),
        ("x + 1", "1 + x", True),
        ("LIMIT = 3", "LIMIT = 4", True),
        ("LIMIT = 3", 'LIMIT = "3"', True),
        ("return x", "yield x", True),
    ],
)
def test_words_do_not_count_and_code_does(root, old, new, counts):
    path = root / "cxrlib" / "model" / "nets.py"
    path.write_text(BEFORE)
    before = code_fingerprints(["cxrlib.model.nets"], root=root)
    assert old in BEFORE
    path.write_text(BEFORE.replace(old, new))
    assert (code_fingerprints(["cxrlib.model.nets"], root=root) != before) == counts


def test_a_data_file_counts_where_a_module_names_it(root):
    before = code_fingerprints(["cxrlib.show.curves"], root=root)
    (root / "cxrlib" / "model" / "notes.csv").write_text("other words")
    (root / "cxrlib" / "model" / "nets.py").write_text("import numpy")
    assert code_fingerprints(["cxrlib.show.curves"], root=root) == before
    (root / "cxrlib" / "model" / "weights.csv").write_text("2")
    after = code_fingerprints(["cxrlib.show.curves"], root=root)
    assert {name for name in before if before[name] != after[name]} == {"cxrlib/model/weights.csv"}


def test_versions_of_the_libraries_count(root, monkeypatch):
    (root / "cxrlib" / "model" / "nets.py").write_text("import pytest")
    before = code_fingerprint("cxrlib.model.nets", root=root)
    monkeypatch.setattr(pytest, "__version__", "another")
    code_fingerprint.cache_clear()
    assert code_fingerprint("cxrlib.model.nets", root=root) != before


STAGE = "cxrlib.stages.train"


def modules_loaded_by(name):
    code = f"import sys, {name}; print(*(m for m in sys.modules if m.startswith('cxrlib')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_python_s_own_importing_is_the_oracle():
    files = [path.relative_to(PROJECT_ROOT) for path in code_files([STAGE]) if path.suffix == ".py"]
    followed = {".".join(path.with_suffix("").parts) for path in files}
    loaded = modules_loaded_by(STAGE)
    faces = {name for name in loaded if PROJECT_ROOT.joinpath(*name.split(".")).is_dir()}
    assert len(followed) > 10
    assert loaded - faces - {*COMPUTES_NOTHING} <= followed


def test_a_file_that_comes_or_goes_is_seen_by_the_same_process(root):
    source = "from cxrlib.model import nets, extra"
    before = code_fingerprints(imported_names(source), root=root)
    extra = root / "cxrlib" / "model" / "extra.py"
    extra.write_text("import torch")
    assert code_fingerprints(imported_names(source), root=root).keys() - before.keys() == {"cxrlib/model/extra.py"}
    (root / "cxrlib" / "model" / "__init__.py").write_text("__getattr__ = attach('', submod_attrs={'loss': ['extra']})")
    extra.unlink()
    found = code_fingerprints(imported_names(source), root=root)
    assert {"cxrlib/model/loss.py", "cxrlib/model/weights.csv"} <= found.keys() and extra.name not in str(found)


def test_what_computes_nothing_exists():
    existing = {"cxrlib.runtime." + path.stem for path in (PROJECT_ROOT / "cxrlib" / "runtime").glob("*.py")}
    assert {*COMPUTES_NOTHING} - existing <= {"cxrlib.runtime.errors"}
