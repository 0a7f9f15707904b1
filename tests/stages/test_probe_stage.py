"""The stored probe: made once, again when anything changes that decides it, zero where nobody drew a box."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import SMALL_RESNET, annotation_rows

from cxrlib.data.cohort import Cohort
from cxrlib.data.provenance import Provenance
from cxrlib.evaluate.cells import study_covers
from cxrlib.explain.explanations import Explanations, load_explanations
from cxrlib.explain.linear_probe import add_cells, fit, layer_activations, no_moments, probe_maps
from cxrlib.model.checkpoint import Checkpoint, checkpoint_path, load_checkpoint, save_checkpoint
from cxrlib.model.networks import build_network, normalise, to_input
from cxrlib.params import load_params
from cxrlib.runtime.errors import Missing
from cxrlib.stages import probe as probing
from cxrlib.stages.probe import probe_studies

COMPUTE = load_params("smoke").compute
CLASSES = ["Cardiomegaly", "ILD", "No finding"]
SIZE, LAYER = 48, "layer4"


def write_model(folder, seed=0):
    """An untrained network of 0.4 million weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(SMALL_RESNET, len(CLASSES))
    checkpoint = Checkpoint(SMALL_RESNET, CLASSES, SIZE, output_stride=32)
    folder.mkdir(exist_ok=True)
    save_checkpoint(network, checkpoint, checkpoint_path(folder, "main"))


@pytest.fixture
def models(tmp_path):
    write_model(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def cohort(tmp_path):
    """Every second of 16 studies has a box; ILD is labelled and not boxed."""
    image_ids = [f"image{number:02}" for number in range(16)]
    labels = pd.DataFrame(1, image_ids, CLASSES, dtype="uint8")
    studies = pd.DataFrame({"patient_id": image_ids, "split": ["train"] * 8 + ["valid"] * 4 + ["test"] * 4}, image_ids)
    boxes = [(name, "Cardiomegaly", "R1", 2 * n, 20, 30, 40) for n, name in enumerate(image_ids) if n % 2 == 0]
    pixels = np.random.default_rng(0).integers(0, 256, (16, 64, 64), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    return Cohort(
        studies=studies,
        annotations=annotation_rows(*boxes, *[(name, "ILD", "R1") for name in image_ids]),
        labels=labels,
        pixels=pixels,
        folder=tmp_path,
        provenance=Provenance(source="drawn", rendered=True, data="first"),
        experiments={"main": CLASSES},
        experiment="main",
    )


@pytest.fixture
def explanations(cohort):
    image_ids = pd.Index(cohort.of("test"), name="image_id")
    return Explanations(pd.DataFrame(0.5, image_ids, CLASSES, "float32"), torch.rand(4, 3, 2, 2), SIZE, "any", LAYER)


def unboxed(cohort, split):
    """The cohort without the boxes of a split."""
    rows = cohort.annotations
    return replace(cohort, annotations=rows[~rows["image_id"].isin(cohort.of(split)) | rows["x_min"].isna()])


def test_the_stored_maps_are_those_of_all_cells_at_once(cohort, explanations, models, tmp_path):
    path = tmp_path / "maps" / "probe.npz"
    found = probe_studies(cohort, explanations, models, COMPUTE.model_copy(update={"batch_size": 3}), path)
    network, _ = load_checkpoint(checkpoint_path(models, "main"), torch.device("cpu"))

    def activations(image_ids):
        return layer_activations(network, normalise(to_input(cohort.images(image_ids), SIZE)), LAYER)

    moments = []
    for split in ("train", "valid"):
        seen = activations(cohort.of(split))
        moments.append(no_moments(3, seen.shape[1]))
        add_cells(moments[-1], seen, study_covers(cohort, cohort.of(split), CLASSES, 2, 2))
    expected = probe_maps(activations(cohort.of("test")), fit(*moments)[0])
    assert expected[:, 0].any()
    torch.testing.assert_close(found.maps, expected, atol=1e-4, rtol=1e-3)
    assert not found.maps[:, 1:].any()  # nobody boxed these
    pd.testing.assert_frame_equal(found.probabilities, explanations.probabilities)
    assert (found.input_size, found.layer) == (SIZE, LAYER)
    assert torch.equal(load_explanations(path).maps, found.maps)


def test_a_stored_probe_is_read_and_all_that_decides_it_makes_it_again(
    cohort, explanations, models, tmp_path, monkeypatch
):
    path = tmp_path / "probe.npz"

    def identity(cohort=cohort, explanations=explanations, compute=COMPUTE):
        return probe_studies(cohort, explanations, models, compute, path).identity

    first = identity()
    written = path.stat().st_mtime_ns
    assert identity() == identity(compute=COMPUTE.model_copy(update={"batch_size": 1})) == first
    assert path.stat().st_mtime_ns == written
    fewer = replace(explanations, probabilities=explanations.probabilities[:2], maps=explanations.maps[:2])
    finer = replace(explanations, layer="layer4.0.conv2")
    split = cohort.studies.assign(split=["train"] * 6 + ["valid"] * 6 + ["test"] * 4)
    seen = [
        first,
        identity(compute=COMPUTE.model_copy(update={"precision": "bfloat16"})),
        identity(explanations=fewer),
        identity(explanations=finer),
        identity(cohort=replace(cohort, provenance=replace(cohort.provenance, data="second"))),
        identity(cohort=replace(cohort, studies=split)),
        identity(cohort=unboxed(cohort, "train")),
        identity(cohort=unboxed(cohort, "valid")),
    ]
    monkeypatch.setattr(probing, "CODE", "another")
    seen.append(identity())
    monkeypatch.undo()
    write_model(models, seed=1)
    seen.append(identity())
    assert len(set(seen)) == len(seen)


def test_without_a_box_in_training_the_maps_are_zero_and_nothing_is_computed(
    cohort, explanations, models, tmp_path, monkeypatch
):
    for name in ("load_checkpoint", "moments_of", "probe_images"):
        monkeypatch.setattr(probing, name, None)
    found = probe_studies(unboxed(cohort, "train"), explanations, models, COMPUTE, tmp_path / "probe.npz")
    assert found.maps.shape == explanations.maps.shape and not found.maps.any()
    assert probe_studies(unboxed(cohort, "train"), explanations, models, COMPUTE, tmp_path / "probe.npz").maps.shape


def test_without_a_box_in_validation_there_is_a_probe(cohort, explanations, models, tmp_path):
    found = probe_studies(unboxed(cohort, "valid"), explanations, models, COMPUTE, tmp_path / "probe.npz")
    assert found.maps[:, 0].any() and found.maps.isfinite().all()


def test_a_pass_that_is_killed_leaves_nothing_and_a_damaged_store_is_made_again(
    cohort, explanations, models, tmp_path, monkeypatch
):
    path = tmp_path / "maps" / "probe.npz"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(probing, "probe_images", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        probe_studies(cohort, explanations, models, COMPUTE, path)
    assert not path.exists()
    whole = probe_studies(cohort, explanations, models, COMPUTE, path).maps
    content = path.read_bytes()
    path.write_bytes(b"half" + content[4:])
    assert torch.equal(probe_studies(cohort, explanations, models, COMPUTE, path).maps, whole)
    assert path.read_bytes() == content
    assert sorted(one.name for one in path.parent.iterdir()) == [".probe.npz.made.json", "probe.npz"]


def test_a_run_without_a_model_says_which_notebook_makes_it(cohort, explanations, tmp_path):
    with pytest.raises(Missing, match="02_training"):
        probe_studies(cohort, explanations, tmp_path / "none", COMPUTE, tmp_path / "probe.npz")
