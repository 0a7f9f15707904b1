"""Edits of the project, and which stages and notebooks each of them makes stale.

A stage that is stale without need costs hours; a stage that is fresh in spite of a change gives results that no code
gives any more. So each edit is made in a copy of the project, and the stages that it makes stale are all named.
"""

import json
import shutil
import subprocess
import sys

import pytest

from cxrlib.data import convert
from cxrlib.data.render import studies
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.stages import explain, inputs, probe, train
from cxrlib.workflow.freshness import recipe_of
from cxrlib.workflow.notebooks import find_notebooks

pytestmark = pytest.mark.slow

STAGES = {
    "render": (studies, "cxrlib.data.render.studies", studies.GIVEN),
    "convert": (convert, "cxrlib.data.images", ()),
    "inputs": (inputs, "cxrlib.model.networks", ()),
    "train": (train, "cxrlib.stages.train", train.GIVEN),
    "explain": (explain, "cxrlib.stages.explain", explain.GIVEN),
    "probe": (probe, "cxrlib.stages.probe", probe.GIVEN),
}
"""Stage -> the module that holds its fingerprint, CODE, and what CODE is the fingerprint of."""

NOTEBOOKS = {f"{number:02}" for number in range(1, 15)}
NONE = set()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of what counts, and of what must not."""
    root = tmp_path_factory.mktemp("project")
    for name in ("cxrlib", "notebooks"):
        shutil.copytree(PROJECT_ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT_ROOT / "README.md", root)
    return root


def fingerprints(root):
    """Everything that can become stale -> its fingerprint."""
    code_fingerprint.cache_clear()
    found = {name: code_fingerprint(module, given=given, root=root) for name, (_, module, given) in STAGES.items()}
    for notebook in find_notebooks(root / "notebooks"):
        found[notebook.name[:2]] = recipe_of(notebook, {}, root)
    return found


@pytest.fixture(scope="module")
def before(project):
    return fingerprints(project)


def test_the_table_is_about_what_the_stages_use():
    for module, name, given in STAGES.values():
        assert code_fingerprint(name, given=given) == module.CODE
    assert {path.name[:2] for path in find_notebooks()} == NOTEBOOKS


def replaced(path, old, new):
    def edit(root):
        file = root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r} any more: write the edit anew"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        return file

    return edit


def added(path, text):
    def edit(root):
        file = root / path
        file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
        return file

    return edit


def other_docstring(path):
    """Another first docstring."""
    return replaced(path, '"""', '"""Other words. ')


def other_code(path):
    return added(path, "\n\nADDED = 1\n")


def word_in_notebook(name):
    def edit(root):
        (file,) = (root / "notebooks").glob(f"{name}_*.ipynb")
        content = json.loads(file.read_text(encoding="utf-8"))
        cell = next(cell for cell in content["cells"] if "run.save_" in "".join(cell["source"]))
        cell["source"] = "".join(cell["source"]).replace("run.save_", "caption = 'other words'\nrun.save_", 1)
        file.write_text(json.dumps(content), encoding="utf-8")
        return file

    return edit


CSV, PROGRESS = "cxrlib/thesis/claims.csv", "cxrlib/runtime/progress.py"
TRAINING, NETWORKS, GRADCAM = (f"cxrlib/{name}.py" for name in ("model/training", "model/networks", "explain/gradcam"))
EDITS = {
    # edit: (what changes, stages that are stale, notebooks that must be stale, notebooks that must not)
    "a word of a claim": (replaced(CSV, "a", "b"), NONE, NONE, NOTEBOOKS),
    "the code of the claims": (other_code("cxrlib/thesis/claims.py"), NONE, NONE, NOTEBOOKS),
    "README": (added("README.md", "more"), NONE, NONE, NOTEBOOKS),
    "a caption in notebook 03": (word_in_notebook("03"), NONE, {"03"}, NOTEBOOKS - {"03"}),
    "a docstring of training": (other_docstring(TRAINING), NONE, NONE, NOTEBOOKS),
    "a docstring of the stage": (other_docstring("cxrlib/stages/train.py"), NONE, NONE, NOTEBOOKS),
    "a comment on Grad-CAM": (added(GRADCAM, "# a comment\n"), NONE, NONE, NOTEBOOKS),
    "a docstring of parameters": (other_docstring("cxrlib/params.py"), NONE, NONE, NOTEBOOKS),
    "a default of parameters": (other_code("cxrlib/params.py"), NONE, NONE, NOTEBOOKS),
    "the progress bar": (replaced(PROGRESS, '"mininterval": 5', '"mininterval": 7'), NONE, NONE, NOTEBOOKS),
    "the store": (other_code("cxrlib/runtime/store.py"), NONE, NONE, NOTEBOOKS),
    "the list that processes share": (other_code("cxrlib/runtime/work_list.py"), NONE, NONE, NOTEBOOKS),
    "the worker pool": (other_code("cxrlib/runtime/workers.py"), NONE, NONE, NOTEBOOKS),
    "the runner": (other_code("cxrlib/workflow/runner.py"), NONE, NONE, NOTEBOOKS),
    "the report": (other_code("cxrlib/show/report/page.py"), NONE, NONE, NOTEBOOKS),
    "a plot": (other_code("cxrlib/show/figures/iou_figures.py"), NONE, {"06"}, {"01", "02", "03", "12", "14"}),
    "the style of all plots": (other_code("cxrlib/show/figures/style.py"), NONE, NOTEBOOKS, NONE),
    "a metric": (other_code("cxrlib/evaluate/stability.py"), NONE, {"05"}, NOTEBOOKS - {"05"}),
    "a sanity check": (other_code("cxrlib/evaluate/sanity.py"), NONE, {"10"}, NOTEBOOKS - {"10"}),
    "a union of labels": (other_code("cxrlib/data/annotations.py"), NONE, {"01"}, NONE),
    "the split": (other_code("cxrlib/data/split.py"), NONE, {"01"}, {"02"}),
    "the loss": (
        replaced(TRAINING, "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss"),
        {"train"},
        {"02", "08", "10", "11", "12"},
        NOTEBOOKS - {"02", "08", "10", "11", "12"},
    ),
    "the rotation": (
        replaced("cxrlib/model/augmentation.py", "torch.deg2rad(degrees)", "torch.deg2rad(2 * degrees)"),
        {"train"},
        {"02", "08", "10", "11", "12"},
        NOTEBOOKS - {"02", "08", "10", "11", "12"},
    ),
    "the schedule of the stage": (
        replaced("cxrlib/stages/train.py", "recipe.learning_rate * recipe.end_factor", "recipe.learning_rate"),
        {"train"},
        {"02", "08", "10", "11", "12"},
        NOTEBOOKS - {"02", "08", "10", "11", "12"},
    ),
    "the sum over processes": (
        other_code("cxrlib/runtime/distributed.py"),
        {"train"},
        {"02", "08", "10", "11", "12"},
        NOTEBOOKS - {"02", "08", "10", "11", "12"},
    ),
    "the resize to the network": (
        replaced(NETWORKS, "antialias=True", "antialias=False"),
        {"inputs", "train", "explain", "probe"},
        {"02", "03", "04", "05", "06", "07", "08", "14"},
        {"01"},
    ),
    "the resize of files": (
        replaced("cxrlib/data/images.py", "cv2.INTER_AREA if", "cv2.INTER_CUBIC if"),
        {"convert"},
        {"01"},
        {"02", "03"},
    ),
    "the map formula": (
        replaced(GRADCAM, ".relu().unflatten", ".abs().unflatten"),
        {"explain", "probe"},
        {"03", "04", "05", "06", "08", "12", "14"},
        {"01", "02"},
    ),
    "SmoothGrad": (other_code("cxrlib/explain/smoothgrad.py"), NONE, {"05", "07"}, {"01", "02"}),
    "a method": (
        other_code("cxrlib/explain/occlusion.py"),
        NONE,
        {"06", "07", "08", "09", "10", "11", "12"},
        NOTEBOOKS - {"06", "07", "08", "09", "10", "11", "12"},
    ),
    "the faithfulness of maps": (
        other_code("cxrlib/evaluate/deletion.py"),
        NONE,
        {"07", "09"},
        NOTEBOOKS - {"07", "09"},
    ),
    "fast inference": (other_code("cxrlib/model/pooling.py"), {"explain", "probe"}, {"03", "05", "06", "07"}, NONE),
    "the probe": (other_code("cxrlib/explain/linear_probe.py"), {"probe"}, {"06"}, NOTEBOOKS - {"06"}),
    "the boxes on cells": (
        other_code("cxrlib/evaluate/cells.py"),
        {"probe"},
        {"06", "07", "08", "09", "10", "11", "12"},
        NOTEBOOKS - {"06", "07", "08", "09", "10", "11", "12"},
    ),
    "a rendered vessel": (
        other_code("cxrlib/data/render/vessels.py"),
        {"render"},
        {"01", "07", "09", "11", "12"},
        NOTEBOOKS - {"01", "07", "09", "11", "12"},
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_makes_stale_what_it_changes_and_nothing_else(project, before, edit):
    change, stages, notebooks, not_notebooks = EDITS[edit]
    assert before.keys() == STAGES.keys() | NOTEBOOKS
    file = change(project)
    try:
        after = fingerprints(project)
    finally:
        shutil.copy(PROJECT_ROOT / file.relative_to(project), file)
    stale = {name for name in before if before[name] != after[name]}
    assert stale & STAGES.keys() == stages
    assert notebooks <= stale
    assert not stale & not_notebooks


@pytest.mark.slow
def test_a_stage_has_the_same_fingerprint_in_every_process():
    """Whatever else is loaded: versions of libraries that only some processes load must not count."""
    names = [module.__name__ for module, *_ in STAGES.values()]
    for name in names:
        # under another name, as `python -m` gives it "__main__"
        command = [sys.executable, "-c", f"import runpy; print(runpy.run_module({name!r}, run_name='started')['CODE'])"]
        done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == sys.modules[name].CODE, name
