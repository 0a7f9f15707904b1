"""Fresh or stale: notebooks of a few lines in real kernels, and the code, inputs and packages that they depend on."""

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from cxrlib.params import effective, load_params
from cxrlib.runtime.environment import environment
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.show.report.keep import keep_report
from cxrlib.workflow import freshness, kernels, runner
from cxrlib.workflow.freshness import has_run_with, input_files, predict, recipe_of, why_stale
from cxrlib.workflow.manifest import Manifest, verify
from cxrlib.workflow.notebooks import find_notebooks

NUMBERS = "import pathlib; pathlib.Path(run_folder, 'numbers.csv').write_text('a\\n1\\n')"
SUM = """\
import pandas as pd
total = pd.read_csv(f"{run_folder}/numbers.csv")["a"].sum()
"""
SAVE = "open(f'{run_folder}/sum.txt', 'w').write(str(total))"


def run(plan):
    """Execute a plan as run_all.py does."""
    return runner.run(plan, keep_report)


@pytest.fixture
def two(tmp_path, write_notebook):
    """A plan of two notebooks, the second of which reads what the first wrote; run once."""
    sources = [write_notebook("01_first", NUMBERS), write_notebook("02_second", SUM, SAVE)]
    plan = runner.Plan("smoke", load_params("smoke"), tmp_path / "out", sources)
    assert run(plan)
    return plan


def test_what_a_run_reads_and_writes_is_recorded_and_keeps_it_fresh(two, write_notebook, capfd):
    entries = Manifest(two.folder).notebooks
    assert [*entries["01_first"]["artefacts"]] == ["notebooks/01_first.ipynb", "numbers.csv"]
    assert [*entries["02_second"]["reads"]] == ["numbers.csv"]
    executed = json.loads((two.folder / "notebooks" / "02_second.ipynb").read_text())["cells"]
    maker = next(cell["id"] for cell in executed if "".join(cell["source"]) == SAVE)
    assert entries["02_second"]["artefacts"]["sum.txt"]["cell"] == maker
    assert entries["02_second"]["status"] == "done" and entries["02_second"]["seconds"] > 0
    assert [path.name for path in (two.folder / ".files").iterdir()] == []

    assert runner.reasons(two) == {"01_first": None, "02_second": None}
    capfd.readouterr()
    assert run(two)
    assert capfd.readouterr().out.startswith("[1/2] 01_first is fresh\n[2/2] 02_second is fresh\n")

    # the first notebook says the same in other words: it runs again, the second sees the same bytes
    write_notebook("01_first", NUMBERS, "print('now with a word')")
    assert runner.reasons(two) == {"01_first": "the notebook changed", "02_second": "upstream 01_first runs again"}
    assert run(two)
    assert "01_first (the notebook changed) ... " in (out := capfd.readouterr().out) and "02_second is fresh" in out

    write_notebook("01_first", NUMBERS.replace("1", "5"))
    assert run(two)
    assert "02_second (upstream 01_first: numbers.csv changed) ... " in capfd.readouterr().out
    assert (two.folder / "sum.txt").read_text() == "5"


def test_what_could_be_used_before_is_not_checked_again_when_only_the_code_changes(two, write_notebook):
    asked = []

    def run_again(plan, **changes):
        asked.clear()
        assert runner.run(replace(plan, **changes), keep_report, lambda params, sections: asked.append(sections))
        return asked

    write_notebook("01_first", NUMBERS, "print('now with a word')")
    assert run_again(two) == [] and run_again(two, force=True) == []
    assert run_again(two, params=load_params("smoke", ["iou.union=sum"])) == [{"iou"}]
    assert run_again(two, params=load_params("smoke", ["iou.union=sum"]), force=True) == []


def test_a_notebook_has_run_with_the_same_only_if_nothing_but_its_code_differs(two, monkeypatch):
    manifest, recipe = Manifest(two.folder), two.recipes()["01_first"]
    entry = manifest.notebooks["01_first"]

    def same(**changes):
        return has_run_with("01_first", recipe | changes, manifest)

    assert same() and same(code={"other.py": "new"}, notebook="new")
    assert not has_run_with("03_third", recipe, manifest)
    assert not same(parameters={"iou": {"union": "sum"}}) and not same(inputs={"data.root": "others"})
    for status, expected in (("failed", False), ("running", False), ("edited", True), ("done", True)):
        entry["status"] = status
        assert same() == expected
    for device, expected in (("cuda", False), ("cpu", True)):
        recipe["parameters"] = entry["recipe"]["parameters"] = {"compute": {"device": device}}
        assert same() == expected
    monkeypatch.setattr(freshness, "environment", lambda: {"torch": "another"})
    assert not same()
    monkeypatch.undo()
    entry["machine"] = {"system": "another"}
    assert not same()


def test_what_the_report_needs_is_imported_while_notebooks_run_and_not_for_fresh_ones(two, write_notebook):
    called = []
    ready = functools.partial(called.append, "ready")
    assert runner.run(two, keep_report, meanwhile=ready) and not called
    write_notebook("01_first", NUMBERS, "print('now with a word')")
    assert runner.run(two, lambda *_: called.append("report"), meanwhile=ready) and called == ["ready", "report"]


def test_where_nothing_can_be_forked_kernels_start_from_nothing(tmp_path, write_notebook, monkeypatch):
    monkeypatch.setattr(kernels, "FORKS", False)
    plan = runner.Plan("smoke", load_params("smoke"), tmp_path / "out", [write_notebook("01_first", NUMBERS)])
    assert run(plan)
    assert "numbers.csv" in Manifest(plan.folder).notebooks["01_first"]["artefacts"]


def test_damage_is_found_and_mended(two):
    table = two.folder / "sum.txt"
    table.write_text("7")
    assert runner.reasons(two)["02_second"] == "sum.txt was changed by hand"
    lines = verify(Manifest(two.folder))
    assert len(lines) == 1 and lines[0].startswith("sum.txt has changed since 02_second made it in cell ")
    table.unlink()
    assert runner.reasons(two) == {"01_first": None, "02_second": "sum.txt is missing"}
    (two.folder / "numbers.csv").touch()  # a new time alone is no change
    assert run(two) and table.read_text() == "1" and verify(Manifest(two.folder)) == []
    forced = runner.Plan(two.profile, two.params, two.folder, two.notebooks, force=True)
    assert set(runner.reasons(forced).values()) == {"forced"}


def test_damage_is_not_taken_up_as_finished_work(tmp_path, write_notebook):
    store = (
        "import pathlib; store = pathlib.Path(run_folder, 'models', 'store.txt'); store.parent.mkdir(exist_ok=True)\n"
        "if not store.exists(): store.write_text('right')"
    )
    plan = runner.Plan("smoke", load_params("smoke"), tmp_path / "out", [write_notebook("01_first", store)])
    assert run(plan)
    path = plan.folder / "models" / "store.txt"
    path.write_text("wrong")
    assert run(plan) and path.read_text() == "right"


def test_what_a_notebook_makes_no_longer_is_deleted(tmp_path, write_notebook):
    table = "import pathlib; path = pathlib.Path(run_folder, 'tables', 'NAME.csv'); path.parent.mkdir(exist_ok=True)\n"
    table += "path.write_text('a')"
    plan = runner.Plan("smoke", load_params("smoke"), tmp_path / "out", [write_notebook("01_first", table)])
    assert run(plan)
    write_notebook("01_first", table.replace("NAME", "other"))
    assert run(plan)
    assert not (plan.folder / "tables" / "NAME.csv").exists()
    tables = {path for path in Manifest(plan.folder).hashes() if path.startswith("tables/")}
    assert tables - {f"tables/{name}.csv" for name in ("claims", "coverage", "errata")} == {"tables/other.csv"}


def test_what_is_edited_while_it_runs_runs_again(tmp_path, write_notebook):
    path = tmp_path / "edit.py"
    notebook = write_notebook("01_first", f"exec(open({str(path)!r}).read())")
    path.write_text(f"p = {str(notebook)!r}; t = open(p).read(); open(p, 'w').write(t.replace('exec(', 'exec( '))")
    plan = runner.Plan("smoke", load_params("smoke"), tmp_path / "out", [notebook])
    assert run(plan)
    assert runner.reasons(plan) == {"01_first": "something was edited while it ran"}
    path.write_text("")
    assert run(plan) and runner.reasons(plan) == {"01_first": None}


def test_what_a_command_made_is_its_own_and_notebooks_follow(two):
    manifest, numbers = Manifest(two.folder), two.folder / "numbers.csv"
    manifest.claim("cxrlib.stages.train", [numbers])
    assert manifest.makers()["numbers.csv"] == "01_first"  # as recorded: nothing to claim
    numbers.write_text("a\n5\n")
    manifest.claim("cxrlib.stages.train", [numbers])
    assert Manifest(two.folder).makers()["numbers.csv"] == "cxrlib.stages.train"
    expected = "upstream cxrlib.stages.train: numbers.csv changed"
    assert runner.reasons(two) == {"01_first": expected, "02_second": expected}
    assert verify(Manifest(two.folder)) == []
    numbers.write_text("a\n6\n")
    assert verify(Manifest(two.folder)) == ["numbers.csv has changed since cxrlib.stages.train made it"]


def test_parameters_are_recorded_of_what_ran(tmp_path, write_notebook):
    def plan(*names, **changes):
        params = load_params("smoke", [f"{section}={value}" for section, value in changes.items()])
        return runner.Plan("smoke", params, tmp_path / "out", [paths[name] for name in names])

    other = "run_folder = ''\nsmoothgrad = {}"
    paths = {"01_a": write_notebook("01_a", "pass"), "02_b": write_notebook("02_b", "pass", parameters=other)}
    assert run(plan("01_a", "02_b"))
    record = tmp_path / "out" / "params.json"
    first = json.loads(record.read_text())["parameters"]
    assert run(plan("01_a", **{"smoothgrad.samples": 7}))
    assert json.loads(record.read_text())["parameters"] == first
    assert run(plan("01_a", "02_b", **{"smoothgrad.samples": 7}))
    assert json.loads(record.read_text())["parameters"]["smoothgrad"]["samples"] == 7


def test_a_failed_or_interrupted_notebook_is_stale(two):
    manifest = Manifest(two.folder)
    recipe = two.recipes()["01_first"]
    for status, reason in (("failed", "failed last time"), ("running", "was interrupted"), ("done", None)):
        manifest.notebooks["01_first"]["status"] = status
        assert why_stale("01_first", recipe, manifest) == reason
    assert why_stale("03_third", recipe, manifest) == "not run yet"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parameters": {"iou": {"union": "sum", "seed": 1}}}, "iou.union changed"),
        ({"parameters": {"iou": {"union": "areas"}}}, "iou changed"),
        ({"parameters": {}}, "its parameters changed"),
        ({"code": {"cxrlib/a.py": "1", "cxrlib/b.py": "3"}}, "cxrlib/b.py changed"),
        ({"code": {"cxrlib/a.py": "1"}}, "cxrlib/b.py changed"),
        ({"inputs": {"data.root": "6"}}, "the files of data.root changed"),
        ({"formats": ["png", "pdf"]}, "report.formats changed"),
        ({"notebook": "9"}, "the notebook changed"),
        ({}, None),
    ],
)
def test_every_part_of_the_recipe_counts(tmp_path, change, reason):
    before = {
        "notebook": "1",
        "parameters": {"iou": {"union": "areas", "seed": 1}},
        "code": {"cxrlib/a.py": "1", "cxrlib/b.py": "2"},
        "inputs": {"data.root": "5"},
        "formats": ["png"],
    }
    manifest = Manifest(tmp_path)
    manifest.environments["e"] = environment()
    entry = {"status": "done", "recipe": before, "environment": "e", "reads": {}, "artefacts": {}}
    manifest.notebooks["01_a"] = entry
    assert why_stale("01_a", before | change, manifest) == reason
    assert predict({"01_a": before | change, "02_b": before}, manifest) == {"01_a": reason, "02_b": "not run yet"}
    manifest.environments["e"] = environment() | {"torch": "0.1"}
    assert why_stale("01_a", before, manifest) == f"torch 0.1 became {environment()['torch']}"


def test_files_behind_linked_folders_count(tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "a.dicom").write_text("1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "train").symlink_to(tmp_path / "big")
    (tmp_path / "big" / "round").symlink_to(tmp_path / "root")
    parameters = {"data": {"root": str(tmp_path / "root")}}
    before = input_files(parameters)
    (tmp_path / "big" / "a.dicom").write_text("12")
    assert input_files(parameters) != before


def test_a_folder_named_by_a_parameter_counts_by_names_sizes_and_times(tmp_path):
    folder = tmp_path / "data"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a.dicom").write_bytes(b"12")
    os.symlink(tmp_path / "nowhere", folder / "broken")
    parameters = {"data": {"root": str(folder), "source": "nih", "n": 3}, "model": {"weights": str(tmp_path / "no")}}

    def identity():
        return input_files(parameters)

    before = identity()
    assert [*before] == ["data.root"] and identity() == before
    (folder / "train" / "a.dicom").write_bytes(b"123")
    longer = identity()
    assert longer != before
    shutil.move(folder / "train" / "a.dicom", folder / "train" / "b.dicom")
    assert identity() != longer


@pytest.mark.parametrize(("name", "counts"), [(".DS_Store", False), ("train/.DS_Store", False), ("train/a", True)])
def test_hidden_files_of_a_data_set_do_not_count(tmp_path, name, counts):
    parameters = {"data": {"root": str(tmp_path)}}
    (tmp_path / "train").mkdir()
    before = input_files(parameters)
    (tmp_path / name).write_text("1")
    assert (input_files(parameters) != before) == counts


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (".lock", False),
        (".pictures/report.json", False),
        ("data/.pixels.npy.made.json", False),
        ("report.html", False),
        ("interactive/04_gradcam.ipynb", False),
        ("models/seeds/1/7_labels.safetensors", False),
        ("data/inputs-48.npy", False),
        ("models/7_labels.safetensors", True),
        ("data/cohort.json", True),
    ],
)
def test_of_another_run_only_its_data_and_its_models_count(tmp_path, name, counts):
    parameters = {"transfer": {"run": str(tmp_path)}}
    before = input_files(parameters)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("1")
    assert (input_files(parameters) != before) == counts


def test_the_environment_is_what_is_installed():
    found = environment()
    assert found["python"] == sys.version.split()[0]
    import torch

    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert found["pyzmq"]  # nobody names it: jupyter-client brings it
    assert "captum" not in found and "ruff" not in found


def test_the_number_of_workers_is_no_reason():
    params = load_params("smoke").model_dump()
    more = load_params("smoke", ["compute.workers=7"]).model_dump()
    threads = load_params("smoke", ["compute.threads=7"]).model_dump()
    assert effective(params) == effective(more) != effective(threads)
    notebook = find_notebooks()[0]
    sections = ("data", "labels", "compute")
    recipes = [recipe_of(notebook, {name: values[name] for name in sections}) for values in (params, more)]
    assert recipes[0] == recipes[1]


def test_all_fresh_loads_neither_torch_nor_papermill(two):
    code = (
        "import sys, pathlib\n"
        "from cxrlib.params import load_params\n"
        "from cxrlib.show.report.keep import keep_report\n"
        "from cxrlib.workflow import runner\n"
        "folder, *paths = map(pathlib.Path, sys.argv[1:])\n"
        "assert runner.run(runner.Plan('smoke', load_params('smoke'), folder, paths), keep_report)\n"
        "slow = {'torch', 'papermill', 'matplotlib', 'pandas', 'nbformat'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    arguments = [sys.executable, "-c", code, str(two.folder), *map(str, two.notebooks)]
    done = subprocess.run(arguments, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is fresh") == 2
