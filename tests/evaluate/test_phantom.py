"""Heatmaps, effects and replacements against a cause that is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from torch import nn

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.phantom import (
    AGAINST,
    BOXES,
    CAUSE,
    TWIN,
    TwinCases,
    box_as_stand_in,
    estimated_effects,
    not_needed,
    score_against,
    score_on_truth,
    true_effects,
)
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import explain
from cxrlib.model.networks import normalise

SIZE, CLASSES = 8, ["ILD", "Mass"]
EXACT = {
    "gradient": {},
    "input_x_gradient": {},
    "smoothgrad": {"samples": 2},
    "integrated_gradients": {"steps": 2},
    "lrp": {"rule": "epsilon"},
    "occlusion": {"window": 1, "stride": 1, "fill": 0.0},
    "kernelshap": {"cells": 4, "samples": 200, "fill": 0.0},
}
"""Methods whose map of a linear network is exact, with a baseline that is darker than any radiograph."""


@pytest.fixture
def twins():
    """Two studies with an ILD in the upper left quarter, and one with a Mass in the lower right corner."""
    image = torch.full((3, 1, SIZE, SIZE), 200, dtype=torch.uint8)
    twin = image.clone()
    twin[:2, :, :4, :4] = 150
    twin[2, :, 6:, 6:] = 100
    return TwinCases(pd.DataFrame({"image_id": ["a", "b", "c"], "class_name": ["ILD", "ILD", "Mass"]}), image, twin)


@pytest.fixture
def cohort():
    """A reader's box of twice the height of the ILD's cause, and one that is the Mass's cause."""
    boxes = [("a", "ILD", "R1", 0, 0, 4, 8), ("b", "ILD", "R1", 0, 0, 4, 8), ("c", "Mass", "R1", 6, 6, 8, 8)]
    return small_cohort(CLASSES, annotation_rows(*boxes), size=SIZE)


def reader_of(*places):
    """A linear network, one logit for each mask: the mean of the pixels that are set, as the network takes them."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, len(places)))
    weights = torch.stack([place.float() / place.sum() / 3 for place in places])
    network[1].weight.data = weights[:, None].expand(-1, 3, -1, -1).reshape(len(places), -1).clone()
    network[1].bias.data.zero_()
    return network.eval()


def explained(network, twins, name, **parameters):
    maps = explain(network, normalise(twins.images), method=name, **parameters)
    probabilities = pd.DataFrame(0.9, pd.Index(twins.cases["image_id"], name="image_id"), CLASSES)
    return Explanations(probabilities, maps.detach(), SIZE, identity="")


def test_the_cause_is_where_the_twins_differ_by_more_than_one_level():
    images = torch.tensor([[[[10, 11], [12, 200]]]], dtype=torch.uint8)
    cases = TwinCases(pd.DataFrame({"image_id": ["a"], "class_name": ["ILD"]}), images, torch.full_like(images, 10))
    assert cases.cause.tolist() == [[[False, False], [True, True]]]


@pytest.mark.parametrize("name", EXACT)
def test_a_network_that_reads_the_cause_gets_perfect_scores_from_every_exact_method(twins, cohort, name):
    network = reader_of(twins.cause[0], twins.cause[2])
    scores = score_on_truth(cohort, twins, explained(network, twins, name, **EXACT[name]))
    np.testing.assert_allclose(scores.loc[scores["against"] == CAUSE, AGAINST], 1, atol=1e-6)
    ild = scores[(scores["against"] == BOXES) & (scores["class_name"] == "ILD")]
    assert (ild["iou"] < 1).all() and (ild["average_precision"] < 1).all()  # the box is larger than the cause


@pytest.mark.parametrize("name", EXACT)
def test_a_network_that_reads_a_cue_elsewhere_is_exposed(twins, cohort, name):
    cue = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    cue[0, 7] = True
    network = reader_of(cue, cue)
    scores = score_on_truth(cohort, twins, explained(network, twins, name, **EXACT[name]))
    on_cause = scores[scores["against"] == CAUSE]
    np.testing.assert_allclose(on_cause[["hit", "energy", "iou"]], 0, atol=1e-6)
    effects = true_effects(network, twins, CLASSES, batch_size=2)
    assert effects["effect"].tolist() == pytest.approx([0, 0, 0])
    assert not_needed(effects, 0.5).tolist() == [True] * 3


def test_a_true_effect_is_the_fall_to_the_twin(twins):
    network = reader_of(twins.cause[0], twins.cause[2])
    effects = true_effects(network, twins, CLASSES, batch_size=2)
    grey = normalise(torch.tensor([200, 150, 100], dtype=torch.uint8).view(3, 1, 1, 1)).mean((1, 2, 3)).sigmoid()
    expected = [grey[0] - grey[1], grey[0] - grey[1], grey[0] - grey[2]]
    assert effects["effect"].tolist() == pytest.approx([float(one) for one in expected], abs=1e-6)
    assert not not_needed(effects, 0.5).any()  # the odds more than double


def test_replacing_the_cause_by_the_twin_is_the_true_effect_and_by_the_mean_is_not(twins):
    network = reader_of(twins.cause[0], twins.cause[2])
    effects = true_effects(network, twins, CLASSES, batch_size=4)["effect"].tolist()
    estimates = estimated_effects(
        network, twins, explained(network, twins, "gradient"), [0.0625, 1.0], [3], batch_size=5
    )
    exact = estimates[(estimates["pixels"] == CAUSE) & (estimates["replacement"] == TWIN)]
    assert exact["fall"].tolist() == pytest.approx(effects, abs=1e-6)
    assert exact["share"].tolist() == [0.25, 0.25, 0.0625]
    mean = estimates[(estimates["pixels"] == CAUSE) & (estimates["replacement"] == "mean")]
    assert mean["fall"].tolist() == pytest.approx([0, 0, 0], abs=1e-6)  # the images are grey throughout
    top = estimates[(estimates["pixels"] == "top") & (estimates["replacement"] == TWIN)].pivot_table(
        "fall", "image_id", "share"
    )
    assert top[1.0].tolist() == pytest.approx(effects, abs=1e-6)
    assert top.loc["c", 0.0625] == pytest.approx(effects[2], abs=1e-6)  # exactly the cause
    assert 0 < top.loc["a", 0.0625] < effects[0]  # a quarter of it


def test_a_map_without_a_positive_cell_finds_nothing():
    mask = torch.tensor([[True, False], [False, False]])
    zeros = torch.zeros(2, 2)
    assert score_against(zeros, zeros, mask) == {"hit": 0, "energy": 0, "average_precision": 0.25, "iou": 0}


def test_a_case_whose_twin_does_not_differ_has_no_cause_to_find(twins, cohort):
    same = TwinCases(twins.cases, twins.images, twins.images)
    maps = explained(reader_of(twins.cause[0], twins.cause[2]), twins, "gradient")
    assert score_on_truth(cohort, same, maps).empty


def test_no_case_has_no_effects(twins):
    none = twins.of([])
    network = reader_of(twins.cause[0], twins.cause[2])
    maps = explained(network, twins, "gradient")
    assert true_effects(network, none, CLASSES, 2).empty
    assert estimated_effects(network, none, maps, [0.1], [], 2).empty
    assert twins.of(["c"]).cases["class_name"].tolist() == ["Mass"]


def test_the_core_is_what_differs_most():
    """A tenth of the greatest difference, 100 levels, are 10."""
    images = torch.tensor([[[[0, 2], [10, 100]]]], dtype=torch.uint8)
    cases = TwinCases(pd.DataFrame({"image_id": ["a"], "class_name": ["ILD"]}), images, torch.zeros_like(images))
    assert cases.cause.tolist() == [[[False, True], [True, True]]]
    assert cases.core.tolist() == [[[False, False], [True, True]]]


def test_a_finding_is_needed_where_it_doubles_the_odds():
    odds = pd.DataFrame({"p_with": [0.9] * 3 + [0.6], "p_without": [0.83, 0.81, 0.6, 0.6]})  # odds 9; 4.9, 4.3, 1.5
    assert not_needed(odds, 0.7).to_dict() == {0: True, 1: False, 2: False}


def test_boxes_stand_in_for_the_cause_as_far_as_the_scores_have_the_same_order():
    """Within each finding the order is reversed; together the sizes of the findings would make it alike."""
    studies = [f"s{number}" for number in range(12)]
    random = np.random.default_rng(0).random((12, 4)) + np.repeat([0, 9], 6)[:, None]
    about = {"image_id": studies, "class_name": ["ILD"] * 6 + ["Mass"] * 6}
    cause = pd.DataFrame(random, columns=AGAINST).assign(against=CAUSE, **about)
    reverse = 2 * np.repeat([0.5, 9.5], 6)[:, None] - random
    boxes = pd.DataFrame(reverse, columns=AGAINST).assign(against=BOXES, **about)
    weights = study_weights(studies, 100, seed=0)
    found = box_as_stand_in(pd.concat([cause, boxes[::-1]]), [*CLASSES, "Nodule"], weights).set_index("class_name")
    assert found.loc[CLASSES, "ours"].round(6).tolist() == [-1] * 8 and (found.loc[CLASSES, "n"] == 6).all()
    assert found.loc["Nodule", ["ours", "low", "high"]].isna().all(axis=None)
    same = box_as_stand_in(pd.concat([cause, cause.assign(against=BOXES, hit=0.0)]), CLASSES, weights)
    assert same["ours"].round(6).fillna(9).tolist() == [9, 9] + [1] * 6
    noise = cause.assign(against=BOXES, energy=np.random.default_rng(1).random(12))
    some = box_as_stand_in(pd.concat([cause, noise]), CLASSES, weights).set_index(["metric", "class_name"])
    low, ours, high = some.loc[("energy", "ILD"), ["low", "ours", "high"]]
    assert low < ours < high
