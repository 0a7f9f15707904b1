"""Wrong parameters, profiles, devices and places: one clear line, exit code 2, nothing run, nothing lost."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import run_all
from cxrlib import params
from cxrlib.data.cohort import load_cohort
from cxrlib.explain.explanations import load_explanations
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.runtime.files import PROJECT_ROOT, read_json
from cxrlib.stages.explain import explain_studies
from cxrlib.workflow.manifest import Manifest

LONG_MESSAGE = 1200


def refusal(capsys, *arguments: str) -> str:
    """What run_all.py says on standard error when it refuses: one line, exit code 2."""
    assert run_all.main([*arguments]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.count("\n") == 1 and len(errors) < LONG_MESSAGE, errors
    return errors


BOMB = (
    "[&a [x, x, x, x, x, x, x, x], "
    + ", ".join(f"&{new} [{', '.join(['*' + old] * 8)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + "]"
)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.epochs=three", "training.epochs"),
        ("training.epochs=2.5", "training.epochs"),
        ("training.epochs=true", "training.epochs"),
        ("training.epochs=null", "training.epochs"),
        ("training.batch_size=1", "training.batch_size"),
        ("training.learning_rate=0", "training.learning_rate"),
        ("training.learning_rate=-0.1", "training.learning_rate"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("training.learning_rate=.inf", "training.learning_rate"),
        ("training.learning_rate=0,001", "training.learning_rate"),
        ("training.momentum=1", "training.momentum"),
        ("training.seed=-1", "training.seed"),
        ("data.seed=99999999999999999999", "data.seed"),
        ("data.n_studies=0", "data.n_studies"),
        ("data.valid_share=1", "data.valid_share"),
        ("data.valid_share=0.95", "valid_share + test_share"),
        ("data.source=somewhere", "data.source"),
        ("data.root=[1, 2]", "data.root"),
        ("model.input_size=1", "model.input_size"),
        ("gradcam.threshold=1.5", "gradcam.threshold"),
        ("iou.shares=[]", "iou.shares"),
        ("iou.shares=[0.1, 2]", "iou.shares.1"),
        ("perturbation.kernels=[10]", "kernels must be odd"),
        ("labels.explained=11 labels", "explained '11 labels' is none of"),
        ("labels.experiments={../../x: [a, b]}", "labels.experiments"),
        ('labels.experiments={"a/b": [a, b]}', "labels.experiments"),
        ("labels.experiments={7 labels: [a, a]}", "'a' stands there twice"),
        ("labels.experiments={7 labels: [a]}", "labels.experiments.7 labels"),
        ("compute.workers=0", "compute.workers"),
        ("compute.device=tpu", "compute.device"),
        ("compute.threds=2", "compute.threds"),
        ("compte.threads=2", "compte"),
        ("compute.threads", "expected section.name=value"),
        (".=1", "expected section.name=value"),
        ("data.root=[1, 2", "data.root"),
        ("data.root=2020-02-31", "data.root"),
        ("data.root=\x00", "data.root"),
        ("data.root=" + "[" * 5000, "data.root"),
        ("data.root=" + BOMB, "data.root"),
        ("labels.experiments=" + BOMB, "labels.experiments"),
        ('data.root=!!python/object/apply:os.mkdir ["ran"]', "data.root"),
        ("data.root=!!python/name:os.system", "data.root"),
        ('labels.experiments=!!python/object/apply:os.mkdir ["ran"]', "labels.experiments"),
    ],
)
def test_a_wrong_parameter(capsys, tmp_path, monkeypatch, override, named):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    assert named in refusal(capsys, "smoke", "--out", str(out), "--set", override)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"- data\n", "expected sections"),
        (b"data\n", "expected sections"),
        (b"data: 3\n", "expected sections"),
        (b"data: [demo]\n", "expected sections"),
        (b"daat: {source: demo}\n", "daat: unknown section; did you mean data?"),
        (b"data: {sauce: demo}\n", "data.sauce: unknown parameter; did you mean source?"),
        (b"a: [1\n", "not valid YAML"),
        (b"\xff\xfe\x00", "utf-8"),
        (b"data: !!python/object/apply:os.mkdir ['ran']\n", "expected sections"),
    ],
)
def test_a_wrong_profile(capsys, tmp_path, monkeypatch, content, named):
    (tmp_path / "mine.yaml").write_bytes(content)
    monkeypatch.setattr(params, "PROFILES", tmp_path)
    monkeypatch.chdir(tmp_path)
    message = refusal(capsys, "mine")
    assert named in message and "mine" in message and not Path("ran").exists()


@pytest.mark.parametrize("content", [b"", b"# only words\n"])
def test_an_empty_profile_is_the_thesis(tmp_path, monkeypatch, content):
    (tmp_path / "mine.yaml").write_bytes(content)
    monkeypatch.setattr(params, "PROFILES", tmp_path)
    assert params.load_params("mine") == params.Params()


NOTEBOOK = """\
from cxrlib.params import Compute
from cxrlib.runtime.device import use_device
use_device(Compute(**compute).device)
"""
COMPUTE = 'run_folder = "x"\ncompute = {}\n'


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_absent_is_one_line(capsys, tmp_path, write_notebook, monkeypatch):
    notebook = write_notebook("01_first", NOTEBOOK, parameters=COMPUTE)
    monkeypatch.setattr(run_all, "find_notebooks", lambda: [notebook])
    assert run_all.main(["smoke", "--out", str(tmp_path / "out"), "--set", "compute.device=cuda"]) == 2
    errors = capsys.readouterr().err
    assert errors == "run_all.py: compute.device: cuda is not available here; choose auto or cpu\n"
    assert not (tmp_path / "out" / "notebooks").exists()  # refused before a notebook runs


def test_a_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (str(tmp_path / "file"), "/proc/nowhere"):
        message = refusal(capsys, "smoke", "--out", place)
        assert f"{place}: cannot work there" in message and "choose another folder with --out" in message


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, write_notebook, monkeypatch):
    """A limit on the size of files stands in for the disk: writing fails half way, with an error of the system."""
    saves = "import numpy as np\nfrom cxrlib.runtime.files import whole_file\nfrom pathlib import Path\n"
    saves += "with whole_file(Path(run_folder, 'a.npy')) as path:\n    np.save(path, np.zeros(size))"
    code = (
        "import resource, sys, pathlib, run_all\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))\n"
        "run_all.find_notebooks = lambda: [pathlib.Path(sys.argv[1])]\n"
        "sys.exit(run_all.main(['smoke', '--out', sys.argv[2]]))"
    )
    for size, expected in ((10, 0), (1_000_000, 2)):
        notebook = write_notebook("01_first", f"size = {size}", saves, parameters='run_folder = "x"')
        arguments = [sys.executable, "-c", code, str(notebook), str(tmp_path / "out")]
        done = subprocess.run(arguments, cwd=PROJECT_ROOT, capture_output=True, text=True)
        assert done.returncode == expected, done.stderr
    assert done.stderr.startswith("run_all.py: 01_first: ") and done.stderr.count("\n") == 1, done.stderr
    assert "free space there, or work in another folder with --out" in done.stderr
    assert len(np.load(tmp_path / "out" / "a.npy")) == 10
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".a")]


@pytest.mark.parametrize(
    ("read", "remedy"),
    [
        (read_json, "not a readable JSON file (Expecting property name"),
        (load_cohort, "delete the folder and run notebook 01_data again"),
        (load_explanations, "delete it and run again the notebook that made it"),
        (lambda path: Manifest(path.parent), "delete it and run again"),
    ],
    ids=["parameters", "cohort", "heatmaps", "manifest"],
)
def test_a_damaged_result_is_named_with_its_remedy(tmp_path, read, remedy):
    if read is load_cohort:
        path = tmp_path / "data"
        path.mkdir()
        (path / "cohort.json").write_text("{}")
    else:
        path = tmp_path / "manifest.json"
        path.write_text("{ half")
    with pytest.raises(Refusal) as refused:
        read(path)
    assert str(path) in str(refused.value) and remedy in str(refused.value)


def test_maps_without_a_model_name_the_notebook_that_trains_it(tmp_path):
    with pytest.raises(Missing, match=r"7_labels\.safetensors is missing; run notebook 02_training first"):
        explain_studies(None, [], tmp_path / "7_labels.safetensors", None, None, tmp_path / "test.npz")
