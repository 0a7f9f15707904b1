"""One process, two and four that torchrun starts do everything of a run that takes long, and leave the same bytes."""

import os
import shutil
import subprocess
import sys

import pytest
from fixtures import SMALL_RESNET

from cxrlib.runtime.files import PROJECT_ROOT, read_json
from cxrlib.stages.share import LISTS

pytestmark = pytest.mark.slow

TINY = {
    "data.n_studies": 40,
    "data.image_size": 64,
    "labels.experiments": "{few: [Aortic enlargement, Cardiomegaly, No finding]}",
    "labels.explained": "few",
    "model.architecture": SMALL_RESNET,
    "model.input_size": 32,
    "methods.compared": "{gradcam: {}, gradient: {}, rise: {n_masks: 4}}",
    "methods.n_studies": 3,
    "perturbation.n_studies": 12,
    "perturbation.threshold": 0.2,
    "perturbation.kernels": "[5]",
    "perturbation.shares": "[0.1, 0.2]",
    "phantom.n_studies": 3,
    "sanity.layers": 1,
    "sanity.samples": 1,
    "iou.usual_studies": 5,
    "compute.workers": 1,
    "compute.threads": 1,
}
SETTINGS = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
OWN = ("few.safetensors", "few.csv", ".few.safetensors.made.json")
"""What `train` makes: processes train this network together, so that its last bits depend on their number."""


def share(processes, folder, *arguments, **environment):
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*start, "-m", "cxrlib.stages.share", "smoke", *SETTINGS, "--out", str(folder), *arguments]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def stored(folder):
    """Every file but the manifest, the lock, and the record of the pixels, which knows when the files were rendered."""
    left_out = {"manifest.json", ".lock", ".pixels.npy.made.json"}
    files = [path for path in folder.rglob("*") if path.is_file() and not left_out & {path.name}]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "1"
    share(1, folder)
    return folder


def begun(alone, folder):
    """A folder that holds nothing but the explained network."""
    (folder / "models").mkdir(parents=True)
    for name in OWN:
        shutil.copy(alone / "models" / name, folder / "models")
    return folder


@pytest.mark.parametrize("processes", [2, 4])
def test_the_bytes_do_not_depend_on_the_number_of_processes(alone, tmp_path, processes):
    folder = begun(alone, tmp_path / "run")
    share(processes, folder)
    expected, found = stored(alone), stored(folder)
    assert {"maps/test-RISE.npz", "perturbation/curves-0.npz", "sanity/rise.csv", "data/pixels.npy"} < set(expected)
    assert [name for name in sorted({*expected, *found}) if found.get(name) != expected.get(name)] == []


def test_a_task_of_a_job_array_does_its_part_of_one_list(alone, tmp_path):
    folder = begun(alone, tmp_path / "run")
    shutil.copytree(alone / "data", folder / "data")
    array = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in {"ID": 3, "MIN": 2, "COUNT": 2}.items()}
    said = share(1, folder, "--list", "explain", **array)
    assert "cxrlib.stages.share: Grad-CAM: this task's part is done, 1 of 1 pieces are left to other tasks" in said
    assert not (folder / "maps" / "test.npz").exists() and not (folder / "manifest.json").exists()


def test_the_manifest_knows_who_made_the_files(alone):
    made = read_json(alone / "manifest.json")["commands"]["cxrlib.stages.share"]["artefacts"]
    assert {"data/cohort.json", "models/few.safetensors", "maps/valid-RISE.npz", "sanity/rise.csv"} < set(made)
    assert not [name for name in made if "/." in name]


def test_every_list_but_the_last_is_done_in_its_order():
    assert [*LISTS] == ["prepare", "train", "explain", "methods", "networks", "checks", "seeds", "perturb", "retrain"]
