"""Every list of a run, made by the tasks of job arrays one after the other: the same bytes, whoever made which part."""

import contextlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from fixtures import SMALL_RESNET, noisy_cohort

from cxrlib.data import convert
from cxrlib.data.convert import convert_images
from cxrlib.data.render.studies import render_cohort
from cxrlib.data.render.twin_files import write_twins
from cxrlib.data.sources.demo import public_annotations
from cxrlib.params import Bootstrap, Iou, Methods, Model, Perturbation, Sanity, load_params
from cxrlib.runtime.processes import TASK
from cxrlib.runtime.work_list import Unfinished
from cxrlib.stages import compared, explain, replaced_pixels
from cxrlib.stages.compared import explain_by_methods
from cxrlib.stages.controlled import explain_with_controls
from cxrlib.stages.explain import explain_split
from cxrlib.stages.replaced_pixels import curves_beside_controls, perturbed_studies
from cxrlib.stages.sanity_checks import sanity_checks
from cxrlib.stages.sanity_models import explain_by_seeds
from cxrlib.stages.train import train_experiment

SMOKE = load_params("smoke")
COMPUTE, GRADCAM = SMOKE.compute, SMOKE.gradcam
RECIPE = SMOKE.training.model_copy(update={"epochs": 1})
MODEL = Model(architecture=SMALL_RESNET, weights=None, input_size=32, output_stride=16)
METHODS = Methods(compared={"gradcam": {}, "gradient": {}, "rise": {"n_masks": 4}}, n_studies=3)
SANITY = Sanity(compared=[], n_studies=2, layers=1, seeds=[1, 2], epochs=1, samples=1)
PERTURBATION = Perturbation(
    threshold=0.0, shares=[0.1, 0.2], kernels=[5], n_studies=5, controls_n_studies=3, controls_methods=["gradient"]
)
CLASSES = ["Cardiomegaly", "No finding"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Twenty-four noisy studies, every second with the finding, the network and its maps."""
    folder = tmp_path_factory.mktemp("run")
    cohort = noisy_cohort(folder, (12, 6, 6), CLASSES)
    train_experiment(cohort, "main", MODEL, RECIPE, COMPUTE, folder / "models")
    maps = explain_split(cohort, "test", folder / "models", GRADCAM, COMPUTE, folder / "maps" / "test.npz")
    return cohort, maps, folder


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    for module in (compared, explain, replaced_pixels):
        monkeypatch.setattr(module, "SHARD", 1)
    monkeypatch.setattr(convert, "BLOCK", 1)
    monkeypatch.setattr(convert, "_read_all", lambda paths, read, *_: (read(path) for path in paths))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Five pictures of one grey each; the third cannot be read."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 256, (40, 30)).astype(np.uint8))
    paths[2].write_bytes(b"no picture")
    return pd.DataFrame({"image_id": [path.stem for path in paths], "path": [*map(str, paths)]})


def with_models(run, folder):
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "models").symlink_to(run[2] / "models")


def render(run, pictures, folder):
    render_cohort(public_annotations()[0].head(3000), folder / "source", 3, 0.3, 9, workers=1)


def twins(run, pictures, folder):
    annotations = public_annotations()[0].head(3000)
    boxed = annotations.dropna(subset="x_min")["image_id"].unique()[:3].tolist()
    write_twins(annotations, folder / "phantom", boxed, 9, 64, workers=1)


def convert_all(run, pictures, folder):
    convert_images(pictures, folder / "data", 32, 1)


def explain_test(run, pictures, folder):
    with_models(run, folder)
    explain_split(run[0], "test", folder / "models", GRADCAM, COMPUTE, folder / "maps" / "test.npz")


def methods(run, pictures, folder):
    with_models(run, folder)
    return explain_by_methods(*run[:2], METHODS, GRADCAM, COMPUTE, folder)


def checks(run, pictures, folder):
    with TASK_OF_ONE:
        explained = methods(run, pictures, folder)
    return sanity_checks(run[0], explained, METHODS, SANITY, COMPUTE, None, folder)


def networks(run, pictures, folder):
    explain_by_seeds(run[0], METHODS, MODEL, RECIPE, SANITY, GRADCAM, COMPUTE, folder)


def perturb(run, pictures, folder):
    with_models(run, folder)
    return perturbed_studies(*run[:2], PERTURBATION, COMPUTE, folder)


def controlled(run, folder):
    with_models(run, folder)
    return explain_with_controls(*run[:2], PERTURBATION, Iou(usual_studies=3), METHODS, GRADCAM, COMPUTE, folder)


def curves(run, pictures, folder):
    with TASK_OF_ONE:
        given = controlled(run, folder)
    return curves_beside_controls(run[0], given, None, PERTURBATION, Bootstrap(), COMPUTE, folder)


class _Task:
    """Within, this is one task of a job array."""

    def __init__(self, number, count):
        self.task = number, count

    def __enter__(self):
        self.token = TASK.set(self.task)

    def __exit__(self, *_):
        TASK.reset(self.token)


TASK_OF_ONE = _Task(0, 1)
LISTS = [render, twins, convert_all, explain_test, methods, checks, networks, perturb, curves]


def as_tasks(work, numbers, count):
    """Whether each task left something to others."""
    left = []
    for number in numbers:
        with _Task(number, count):
            try:
                work()
                left.append(False)
            except Unfinished:
                left.append(True)
    return left


def stored(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".turn"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.parent.name != "models"}


@pytest.mark.parametrize("work", LISTS, ids=lambda work: work.__name__)
def test_the_bytes_depend_neither_on_who_makes_them_nor_on_the_order(work, run, pictures, tmp_path):
    work(run, pictures, tmp_path / "one")
    expected = stored(tmp_path / "one")

    def two():
        work(run, pictures, tmp_path / "two")

    rounds = 1
    while any(as_tasks(two, (1, 0), 2)):  # a list that needs another waits for the next round
        rounds += 1
        assert rounds < 9
    assert stored(tmp_path / "two") == expected

    def stopped():
        work(run, pictures, tmp_path / "stopped")

    assert as_tasks(stopped, (2,), 4) == [True]
    assert as_tasks(stopped, (0,), 1) == [False]
    assert stored(tmp_path / "stopped") == expected
