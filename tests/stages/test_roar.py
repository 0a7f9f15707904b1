"""The list of trainings of notebook 11, of a cohort in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures import SMALL_RESNET, SmallNet, annotation_rows, noisy_cohort

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.removal import CONTROLS
from cxrlib.evaluate.retrained import WHOLE, retrained_table
from cxrlib.evaluate.trade_off import IOU, MAP_SCORES, map_cases, penalty_table, readers_ceiling
from cxrlib.explain.explanations import load_explanations
from cxrlib.explain.maps import normalise_maps
from cxrlib.model.checkpoint import checkpoint_path
from cxrlib.model.networks import build_network
from cxrlib.params import Model, Roar, load_params
from cxrlib.runtime import work_list as lists
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.show.figures import roar_figures as figures
from cxrlib.stages import retraining
from cxrlib.stages.guided_training import penalty, permute_weights
from cxrlib.stages.joint_maps import joint_maps
from cxrlib.stages.removed_pixels import removed_pictures
from cxrlib.stages.roar import has_closed_form, work_list
from cxrlib.stages.train import train_experiment

SMOKE = load_params("smoke")
RECIPE = SMOKE.training.model_copy(update={"epochs": 1, "batch_size": 12, "learning_rate": 0.001})
MODEL = Model(architecture=SMALL_RESNET, weights=None, input_size=32, output_stride=16)
ROAR = Roar(methods={"gradcam": {}, "gradient": {}}, modes=["remove"], shares=[0.3], seeds=[5], penalties=[2.0])
CLASSES = ["Cardiomegaly", "No finding"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def cohort(folder):
    """Forty studies; every second has the finding, boxed by two readers."""
    names = [f"image{number:02}" for number in range(40)]
    boxes = [(name, CLASSES[0], reader, 10, 20, 30, 40) for name in names[::2] for reader in ("R1", "R2")]
    healthy = [(name, CLASSES[1], reader) for name in names[1::2] for reader in ("R1", "R2")]
    return noisy_cohort(folder, (12, 8, 20), CLASSES, annotation_rows(*boxes, *healthy))


@pytest.fixture(scope="module")
def todo(cohort, folder):
    train_experiment(cohort, "main", MODEL, RECIPE, SMOKE.compute, folder / "models")
    return listed(cohort, folder)


@pytest.fixture(scope="module")
def finished(todo):
    todo.work()
    return todo


def listed(cohort, folder, **changes):
    roar = ROAR.model_copy(update=changes)
    return work_list(cohort, roar, MODEL, RECIPE, SMOKE.gradcam, SMOKE.compute, folder)


def test_the_list_holds_every_method_and_control_and_whole_pictures_come_first(todo):
    assert [*todo.whole] == [(0.0, 5), (2.0, 5)]
    assert [title for title, *_ in todo.removed] == [*CONTROLS, "Grad-CAM", "Gradient"]
    assert len({piece.identity for piece in todo.pieces}) == len({piece.path for piece in todo.pieces}) == 7
    assert todo.estimate().startswith("7 trainings, 7 of them to do, each of 12 images") and "about" in todo.estimate()


def test_the_map_of_a_study_is_that_of_all_classes_or_of_its_label(todo, cohort, folder, tmp_path):
    every = load_explanations(folder / "roar" / "maps" / "all classes.npz")
    own = todo.maps["Grad-CAM"]
    assert own.probabilities.index.tolist() == todo.given.image_ids and own.maps.shape[1] == 1
    torch.testing.assert_close(own.maps[:, 0], normalise_maps(every.maps).mean(1))
    model_path = checkpoint_path(folder / "models", cohort.experiment)
    labelled = joint_maps("gradcam", {}, "labels", cohort, every, model_path, SMOKE.compute, tmp_path / "labels.npz")
    assert labelled.identity != own.identity
    for row, column in ((0, 0), (1, 1)):
        torch.testing.assert_close(labelled.maps[row, 0], normalise_maps(every.maps[row, column]))


def test_each_picture_loses_its_share_of_pixels_to_its_own_mean(todo, tmp_path):
    inputs = todo.given.pictures()
    for title, maps in todo.maps.items():
        changed = removed_pictures(inputs, title, maps, "remove", 0.3, 5, tmp_path)[:]
        original = inputs[:]
        means = original.float().mean((1, 2, 3)).round()
        different = (changed != original).flatten(1)
        assert (different.sum(1) <= round(0.3 * 32**2)).all() and (different.sum(1) > 0.28 * 32**2).all()
        for picture, other, mean in zip(changed, original, means, strict=True):
            assert (picture[picture != other] == mean).all()
    seeds = [removed_pictures(inputs, "random", None, "remove", 0.3, seed, tmp_path)[:].clone() for seed in (5, 6)]
    assert not torch.equal(*seeds)


def test_every_result_is_there_and_nothing_is_trained_twice(finished, cohort, folder, monkeypatch):
    monkeypatch.setattr(retraining, "train", None)
    again = listed(cohort, folder)
    again.work()
    assert again.estimate() == "7 trainings, 0 of them to do, each of 12 images forward and backward."
    found = again.retrained()
    assert [one.method for one in found] == [WHOLE, *CONTROLS, "Grad-CAM", "Gradient"]
    assert all(one.probabilities.index.tolist() == cohort.of("test") for one in found)
    values = np.stack([one.probabilities for one in found])
    assert len(np.unique(values[:, 0, 0])) == len(found)  # no two networks are alike
    assert not list((folder / "roar").rglob("pictures.npy"))


def test_a_piece_made_again_has_the_same_bytes_and_another_seed_is_another_piece(finished, cohort, folder):
    piece = finished.removed["Gradient", "remove", 0.3, 5]
    before = piece.path.read_bytes()
    piece.path.unlink()
    finished.work()
    assert piece.path.read_bytes() == before
    other = listed(cohort, folder, seeds=[6])
    assert not {one.identity for one in other.pieces} & {one.identity for one in finished.pieces}
    with pytest.raises(Missing, match="wait for the other tasks"):
        other.guided()


def test_two_processes_share_the_list_by_position(finished, monkeypatch):
    names = [piece.path for piece in finished.pieces]
    monkeypatch.setattr(lists, "world_size", lambda: 2)
    taken = []
    for rank in (0, 1):
        monkeypatch.setattr(lists, "rank", lambda rank=rank: rank)
        taken.append([piece.path for piece in lists.own_pieces(finished.pieces)])
    assert taken == [names[::2], names[1::2]]


def test_tables_and_figures_of_what_was_trained(finished, cohort):
    test = cohort.of("test")
    weights = study_weights(test, 100, seed=0)
    table = retrained_table(finished.retrained(), cohort.labels.loc[test, CLASSES], weights)
    assert len(table) == 2 * (2 * 3 + 3 * 2)  # metrics; methods beside three controls, controls beside two
    models = [
        (one.weight, one.explanations, map_cases(cohort, one.explanations, one.randomised, None))
        for one in finished.guided()
    ]
    guided = penalty_table(cohort, models, weights)
    assert set(guided["metric"]) == {"micro F1", "macro AUROC", *MAP_SCORES} and set(guided["weight"]) == {0.0, 2.0}
    plain = guided[(guided["weight"] == 0) & guided["ours"].notna()]
    assert (plain["gain"] == 0).all() and plain["gain_low"].isna().all()
    assert guided.loc[guided["metric"] == IOU, "readers"].tolist() == [1.0, 1.0]
    assert len(figures.fall_panels(table).axes) == 2 and len(figures.trade_off_panels(guided).axes) == 6
    examples = figures.removal_examples(finished.given.pictures()[:2], finished.maps, 0.3)
    assert [ax.get_title() for ax in examples.axes[:2]] == ["whole", "random"]
    assert "No penalty" in figures.trade_off_panels(plain).texts[0].get_text()


def test_readers_who_agree_reach_1_and_nobody_alone_has_a_ceiling(cohort):
    assert readers_ceiling(cohort, cohort.of("test")) == {"micro F1": 1.0, IOU: 1.0}
    alone = replace(cohort, annotations=cohort.annotations[cohort.annotations["rad_id"] == "R1"])
    assert np.isnan([*readers_ceiling(alone, cohort.of("test")).values()]).all()


def test_the_penalty_gets_the_boxes_of_labels_that_are_there(todo):
    network = build_network("resnet18", 2, 16)
    term = penalty(todo.given, network, "auto", 2.0)
    side = term.covers.shape[-1]
    assert term.covers.shape == (12, 2, side, side) and not term.covers[1::2].any() and not term.covers[:, 1].any()
    # the box has 20 x 20 of 64 x 64 pixels
    assert term.covers[0, 0].float().mean() / 255 == pytest.approx(400 / 64**2, abs=0.002)


def test_permuted_weights_hold_the_same_values_elsewhere():
    network = SmallNet(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    permute_weights(network)
    for name, value in network.state_dict().items():
        assert torch.equal(value.flatten().sort().values, before[name].flatten().sort().values)
        assert torch.equal(value, before[name]) == (value.ndim < 2)


def test_a_network_without_a_closed_form_has_no_penalties():
    assert has_closed_form(MODEL, "auto")
    assert not has_closed_form(Model(architecture="mobilenet_v3_small", weights=None, input_size=64), "auto")


def test_what_cannot_be_trained_is_refused(cohort, folder):
    never = RECIPE.model_copy(update={"epochs": 0})
    with pytest.raises(Refusal, match="training.epochs=0"):
        work_list(cohort, ROAR, MODEL, never, SMOKE.gradcam, SMOKE.compute, folder)
    labels = cohort.labels.assign(**{CLASSES[0]: [0] * 12 + [1] * 28}).astype("uint8")
    with pytest.raises(Refusal, match=r"roar.n_studies: the first \d+ training studies have no Cardiomegaly"):
        listed(replace(cohort, labels=labels), folder)
