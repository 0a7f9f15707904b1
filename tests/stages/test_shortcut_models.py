"""Networks that learn planted cues, of a cohort in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures import SMALL_RESNET, noisy_cohort

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.shortcut import NO_PLACE, NOTHING, UNKNOWN
from cxrlib.model.networks import to_input
from cxrlib.params import Methods, Model, Phantom, load_params
from cxrlib.runtime.errors import Refusal
from cxrlib.show.shortcut_tables import cue_tests_table, shortcut_table
from cxrlib.stages import shortcut_models as stage
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.shortcut_models import mixed_cohort, planted_cohort, shortcut_models, tied_studies

SMOKE = load_params("smoke")
RECIPE = SMOKE.training.model_copy(update={"epochs": 1})
MODEL = Model(architecture=SMALL_RESNET, weights=None, input_size=32, output_stride=16)
METHODS = Methods(compared={"gradcam": {}, "gradient": {}})
GRADCAM = SMOKE.gradcam.model_copy(update={"threshold": 0.0})
CLASSES = ["Cardiomegaly", "No finding"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def cohort(folder):
    """Forty studies; every second has the finding."""
    return noisy_cohort(folder, (24, 8, 8), CLASSES)


def phantom(**values) -> Phantom:
    return Phantom(**{"n_studies": 3, "shortcut_label": CLASSES[0], "strengths": [0.0, 1.0], **values})


def models_of(cohort, folder, **values):
    settings = (MODEL, RECIPE, METHODS, GRADCAM, SMOKE.compute)
    return shortcut_models(cohort, phantom(**values), *settings, 7, folder / "shortcuts")


def test_a_planted_cohort_differs_by_the_cue_and_by_nothing_else(cohort, folder):
    planted = planted_cohort(cohort, "marker", CLASSES[0], 7, 32, folder / "planted")
    plain, with_cue = (network_inputs(one, cohort.of("test"), 32)[:] for one in (cohort, planted))
    assert torch.equal(plain, to_input(cohort.images(cohort.of("test")), 32))
    different = (plain != with_cue)[:, 0]
    assert different.flatten(1).any(1).all() and different.float().mean() < 0.05
    assert planted.explained == [CLASSES[0], f"no {CLASSES[0]}"]
    assert (planted.labels.sum(axis=1) == 1).all() and planted.labels[CLASSES[0]].equals(cohort.labels[CLASSES[0]])
    assert planted.provenance.data != cohort.provenance.data and planted.annotations.empty and planted.size == 32
    assert (
        planted_cohort(cohort, "corner", CLASSES[0], 7, 32, folder / "other").provenance.data != planted.provenance.data
    )


def test_only_tied_studies_carry_the_cue_in_every_split(cohort, folder):
    planted = planted_cohort(cohort, "marker", CLASSES[0], 7, 32, folder / "planted")
    carries = tied_studies(cohort, CLASSES[0], 1.0, 7)
    assert (carries == (cohort.labels[CLASSES[0]] > 0)).all()
    half = tied_studies(cohort, CLASSES[0], 0.0, 7)
    for split in ("train", "valid", "test"):
        chosen = half[cohort.of(split)]
        assert chosen.mean() == 0.5 == chosen[cohort.labels.loc[chosen.index, CLASSES[0]] > 0].mean()
    mixed = mixed_cohort(cohort, planted, half, folder / "mixed")
    ids = cohort.studies.index.tolist()
    every, some, none = (network_inputs(one, ids, 32)[:] for one in (planted, mixed, cohort))
    carrying = torch.tensor(half.to_list())
    assert torch.equal(some[carrying], every[carrying]) and torch.equal(some[~carrying], none[~carrying])


def test_every_kind_and_strength_is_trained_explained_and_stored(cohort, folder, monkeypatch):
    found = models_of(cohort, folder, shortcuts=["corner", "noise"])
    assert [(model.kind, model.strength) for model in found] == [
        ("corner", 0.0),
        ("corner", 1.0),
        ("noise", 0.0),
        ("noise", 1.0),
    ]
    corner, noise = found[1], found[3]
    assert corner.cases.index.tolist() == cohort.of("test") and corner.cases["tied"].tolist() == [True, False] * 4
    assert corner.cases["healthy"].tolist() == [False, True] * 4
    assert [*corner.maps] == ["Grad-CAM", "Gradient"] and noise.maps == {}
    for maps in corner.maps.values():
        assert maps.probabilities.index.tolist() == cohort.of("test")[:3]
        assert np.allclose(maps.probabilities[CLASSES[0]], corner.cases["with_cue"][:3], atol=1e-4)
    assert 0 < corner.cues.float().mean() < 0.05 and noise.cues.float().mean() > 0.3
    assert not np.allclose(corner.cases["with_cue"], found[0].cases["with_cue"])  # another network

    weights = study_weights(cohort.of("test"), 100, seed=0)
    assert len(cue_tests_table(found, 0.5, weights)) == 4 * 6
    table = shortcut_table(found, weights, seed=0)
    assert set(table["verdict"]) <= {NO_PLACE, NOTHING, UNKNOWN} and len(table) == 2 * 2 + 2

    monkeypatch.setattr("cxrlib.stages.train.train", None)
    monkeypatch.setattr(stage, "plant", None)
    again = models_of(cohort, folder, shortcuts=["corner", "noise"])
    assert all(one.cases.equals(other.cases) for one, other in zip(found, again, strict=True))


def test_maps_are_those_of_the_pictures_for_which_the_label_is_predicted(cohort, folder):
    found = models_of(cohort, folder, shortcuts=["corner"], strengths=[1.0])[0]
    highest = found.cases["with_cue"].nlargest(2)
    surest = GRADCAM.model_copy(update={"threshold": float(highest.min())})
    settings = (MODEL, RECIPE, METHODS, surest, SMOKE.compute, 7, folder / "shortcuts")
    (one,) = shortcut_models(cohort, phantom(shortcuts=["corner"], strengths=[1.0]), *settings)
    assert sorted(one.maps["Gradient"].probabilities.index) == sorted(highest.index)


def test_without_shortcuts_nothing_is_made(cohort, folder):
    assert models_of(cohort, folder / "nothing", shortcuts=[]) == [] and not (folder / "nothing").exists()


def test_real_radiographs_and_unknown_labels_are_refused(cohort, folder):
    real = replace(cohort, provenance=replace(cohort.provenance, rendered=False, description="real ones"))
    with pytest.raises(Refusal, match="nobody knows"):
        models_of(real, folder, shortcuts=["corner"])
    with pytest.raises(Refusal, match=r"phantom.shortcut_label: .* learns no 'No finding'; choose Cardiomegaly"):
        models_of(cohort, folder, shortcuts=["corner"], shortcut_label="No finding")
