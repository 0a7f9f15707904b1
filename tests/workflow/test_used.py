"""Which part of a notebook's run its results depend on."""

import pytest

from cxrlib.workflow.used import code_behind

RUN = """\
from cxrlib.data.cohort import load
from cxrlib.params import check
from cxrlib.show.style import set_style
from cxrlib.stages.prepare import prepare
from cxrlib.stages.train import train as train_all

DPI = 200


class Run:
    def __init__(self):
        check()
        set_style()

    def cohort(self):
        return load()

    def prepare_data(self):
        return prepare()

    def train(self):
        return train_all(self.cohort)

    def save_figure(self):
        self._save()

    def _save(self):
        return DPI
"""
FILES = {
    "__init__.py": "",
    "run.py": RUN,
    "params.py": "",
    "data/cohort.py": "",
    "show/style.py": "",
    "show/panel.py": "def show(run):\n    run.prepare_data()",
    "stages/prepare.py": "",
    "stages/train.py": "",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "cxrlib" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path


START = "from cxrlib.run import Run\nrun = Run()\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch", set()),
        ("from cxrlib.data.cohort import load", {"data/cohort.py"}),
        (START, {"run.py", "show/style.py"}),
        (START + "run.save_figure()", {"run.py", "show/style.py"}),
        (START + "run.cohort", {"run.py", "show/style.py", "data/cohort.py"}),
        (START + "r = run\nr.prepare_data()", {"run.py", "show/style.py", "stages/prepare.py"}),
        (START + "run.train()", {"run.py", "show/style.py", "data/cohort.py", "stages/train.py"}),
        (
            START + "from cxrlib.show.panel import show\nshow(run)",
            {"run.py", "show/style.py", "show/panel.py", "stages/prepare.py"},
        ),
    ],
)
def test_methods_count_where_they_are_named_and_bring_what_they_need(root, source, expected):
    assert code_behind(source, root).keys() == {f"cxrlib/{name}" for name in expected}


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("DPI = 200", "DPI = 300", {"figure", "train", "none"}),
        ("return DPI", "return 2 * DPI", {"figure"}),
        ("train_all(self.cohort)", "train_all(self.cohort, 1)", {"train"}),
        ("return load()", "return load(1)", {"train"}),
        ("return prepare()", "return prepare(1)", set()),
        ("        check()", '        """Words."""\n        check()', set()),
        ("        check()\n", "", {"figure", "train", "none"}),
    ],
)
def test_an_edit_of_the_run_concerns_those_who_use_what_changed(root, old, new, stale):
    sources = {"figure": START + "run.save_figure()", "train": START + "run.train()", "none": START}
    before = {name: code_behind(source, root) for name, source in sources.items()}
    (root / "cxrlib" / "run.py").write_text(RUN.replace(old, new))
    assert {name for name, source in sources.items() if code_behind(source, root) != before[name]} == stale
