"""Sanity checks of a run in miniature: what is trained, checked and stored, and what is not made twice."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from fixtures import SMALL_RESNET, noisy_cohort

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.controls import CASE_COLUMNS, beside_controls
from cxrlib.evaluate.sanity import with_verdicts, without_score
from cxrlib.explain.methods import find
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.networks import normalise
from cxrlib.params import Methods, Model, Sanity, load_params
from cxrlib.show.figures.sanity_figures import cascade_panels, verdict_matrix
from cxrlib.stages import compared
from cxrlib.stages import sanity_checks as stage
from cxrlib.stages.compared import explain_by_methods
from cxrlib.stages.explain import explain_split
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.sanity_checks import checked_methods, sanity_checks
from cxrlib.stages.sanity_models import explain_by_seeds, methods_by_seeds, permuted_labels, permuted_model
from cxrlib.stages.train import train_experiment

SMOKE = load_params("smoke")
RECIPE = SMOKE.training.model_copy(update={"epochs": 1})
MODEL = Model(architecture=SMALL_RESNET, weights=None, input_size=32, output_stride=16)
METHODS = Methods(
    compared={"gradcam": {}, "input_x_gradient": {}, "occlusion": {"window": 16, "stride": 16}}, n_studies=3
)
SANITY = Sanity(
    compared=[], n_studies=3, layers=2, permuted_epochs=1, seeds=[1, RECIPE.seed], epochs=1, samples=1, squares=4
)
CLASSES = ["Cardiomegaly", "No finding"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A cohort of forty noisy studies, every second with the finding, its network and its maps."""
    folder = tmp_path_factory.mktemp("run")
    cohort = noisy_cohort(folder, (24, 8, 8), CLASSES)
    train_experiment(cohort, "main", MODEL, RECIPE, SMOKE.compute, folder / "models")
    maps = explain_split(cohort, "test", folder / "models", SMOKE.gradcam, SMOKE.compute, folder / "maps" / "test.npz")
    return cohort, explain_by_methods(cohort, maps, METHODS, SMOKE.gradcam, SMOKE.compute, folder), folder


@pytest.fixture(scope="module")
def permuted(run):
    cohort, _, folder = run
    return permuted_model(cohort, MODEL, RECIPE, SANITY, SMOKE.compute, folder)


def test_labels_move_together_within_their_split(run):
    cohort = run[0]
    moved = permuted_labels(cohort, 0)
    for split in ("train", "valid"):
        before, after = (one.labels.loc[cohort.of(split)] for one in (cohort, moved))
        assert not before.equals(after) and (before.sum() == after.sum()).all() and (after.sum(axis=1) == 1).all()
    assert moved.labels.loc[cohort.of("test")].equals(cohort.labels.loc[cohort.of("test")])
    assert not moved.labels.equals(permuted_labels(cohort, 1).labels)


def test_permuted_labels_train_another_network_which_is_not_trained_twice(run, permuted, monkeypatch):
    cohort, _, folder = run
    own = checkpoint_path(folder / "models", "main")
    assert permuted != own and permuted.read_bytes() != own.read_bytes()
    made = permuted.stat().st_mtime_ns
    assert permuted_model(cohort, MODEL, RECIPE, SANITY, SMOKE.compute, folder) == permuted
    assert permuted.stat().st_mtime_ns == made
    for training, sanity in [(RECIPE.model_copy(update={"epochs": 0}), SANITY), (RECIPE, Sanity(permuted_epochs=0))]:
        assert permuted_model(cohort, MODEL, training, sanity, SMOKE.compute, folder) is None


def test_other_seeds_are_trained_and_the_run_s_own_is_not_trained_again(run):
    cohort, _, folder = run
    settings = (SMOKE.gradcam, SMOKE.compute, folder)
    found = explain_by_seeds(cohort, METHODS, MODEL, RECIPE, SANITY, *settings)
    assert list(found) == ["seed 1"]
    assert found["seed 1"]["test"].probabilities.index.tolist() == cohort.of("test")
    assert explain_by_seeds(cohort, METHODS, MODEL, RECIPE.model_copy(update={"epochs": 0}), SANITY, *settings) == {}


def test_other_seeds_are_explained_by_every_checked_method_on_the_checked_studies(run, monkeypatch):
    cohort, explained, folder = run
    seeds = explain_by_seeds(cohort, METHODS, MODEL, RECIPE, SANITY, SMOKE.gradcam, SMOKE.compute, folder)
    checked = {title: maps["test"].first(2) for title, maps in explained.items()}
    settings = (METHODS, SANITY, SMOKE.compute, folder)
    found = methods_by_seeds(cohort, seeds, checked, *settings)
    assert {title: len(maps) for title, maps in found.items()} == dict.fromkeys(checked, 1)

    network = load_checkpoint(checkpoint_path(folder / "models" / "seeds" / "1", "main"), torch.device("cpu"))[0]
    image_ids = next(iter(checked.values())).probabilities.index.tolist()
    images = normalise(network_inputs(cohort, image_ids, 32)[:])
    for name, parameters in METHODS.compared.items():
        (maps,) = found[find(name).title]
        assert maps.probabilities.equals(seeds["seed 1"]["test"].probabilities.loc[image_ids])
        assert not torch.equal(maps.maps, checked[find(name).title].maps)
        torch.testing.assert_close(maps.maps, find(name)(network, images, **parameters), atol=1e-5, rtol=1e-4)

    monkeypatch.setattr(compared, "maps_by", lambda *_: pytest.fail("explained again"))
    methods_by_seeds(cohort, seeds, checked, *settings)


def test_every_method_is_checked_stored_and_not_checked_again(run, permuted, monkeypatch):
    cohort, explained, folder = run
    settings = (METHODS, SANITY, SMOKE.compute, permuted, folder)
    checks = sanity_checks(cohort, explained, *settings)
    assert set(CASE_COLUMNS) < set(checks.cases) and checks.cases["method"].nunique() == 3 == len(checks.maps)
    assert checks.cases["image_id"].unique().tolist() == cohort.of("test")[::2][:3]
    measures = checks.cases["measure"].unique().tolist()
    assert len(measures) == 6 + 6 + 2 and measures[-2:] == ["input shifted", "max-sensitivity"]
    shifted = checks.cases[checks.cases["measure"] == "input shifted"].groupby("method")["score"].min()
    assert shifted["Grad-CAM"] > 0.99 > shifted["Input x gradient"] and shifted["Occlusion"] > 0.9
    assert set(checks.layers["layers"]) == {1, 31} and not checks.layers["control"].isna().all()

    monkeypatch.setattr(stage, "check_method", lambda *_: pytest.fail("checked again"))
    again = sanity_checks(cohort, explained, *settings)
    pd.testing.assert_frame_equal(again.cases, checks.cases)
    pd.testing.assert_frame_equal(again.layers, checks.layers)
    fewer = SANITY.model_copy(update={"seeds": [5], "epochs": 7, "squares": 9, "compared": ["gradcam"]})
    assert (
        sanity_checks(cohort, explained, METHODS, fewer, SMOKE.compute, permuted, folder).layers["method"].nunique()
        == 1
    )

    table = with_verdicts(beside_controls(checks.cases, ["Cardiomegaly"], study_weights(cohort.of("test"), 100, 0)))
    assert (table["verdict"] == "open").all()  # three cases
    assert len(verdict_matrix(table).axes[0].texts) == 3 * 14
    assert sum(ax.axison for ax in cascade_panels(checks.layers, "absolute").axes) == 3


def test_a_method_that_cannot_explain_the_shifted_network_is_listed(run, monkeypatch, tmp_path):
    cohort, explained, folder = run
    (tmp_path / "models").symlink_to(folder / "models")
    true = stage.maps_by

    def refuse(method, parameters, network, *rest):
        if isinstance(network, stage.Shifted):
            raise ValueError("no rule for sub")
        return true(method, parameters, network, *rest)

    monkeypatch.setattr(stage, "maps_by", refuse)
    one = METHODS.model_copy(update={"compared": {"gradcam": {}}})
    checks = sanity_checks(cohort, explained, one, SANITY, SMOKE.compute, None, tmp_path)
    assert not checks.cases["measure"].str.startswith("labels").any()
    missing = without_score(checks.cases)
    assert missing["because"].tolist() == ["the method cannot explain the compensated network: no rule for sub"]


def test_without_a_boxed_finding_there_are_tables_of_no_rows(run, tmp_path):
    cohort, explained, folder = run
    bare = replace(cohort, annotations=cohort.annotations.iloc[:0])
    (tmp_path / "models").symlink_to(folder / "models")
    checks = sanity_checks(bare, explained, METHODS, SANITY, SMOKE.compute, None, tmp_path)
    assert checks.cases.empty and checks.layers.empty and without_score(checks.cases).empty
    table = with_verdicts(beside_controls(checks.cases, ["Cardiomegaly"], study_weights(["a"], 100, 0)))
    assert table.empty and len(verdict_matrix(table).texts) == 1 == len(cascade_panels(checks.layers, "raw").texts)


def test_methods_that_are_not_compared_are_not_checked():
    compared = {"gradcam": {}, "rise": {"n_masks": 20}}
    methods = Methods(compared=compared)
    assert checked_methods(methods, Sanity(compared=["lrp", "rise"])) == {"rise": {"n_masks": 20}}
    assert (
        checked_methods(methods, Sanity(compared=["lrp"])) == compared == checked_methods(methods, Sanity(compared=[]))
    )
    assert checked_methods(methods, Sanity()) == {"gradcam": {}}
