"""Measures of explanations are tried on maps whose worth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from torch import nn

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.controls import CASE_COLUMNS, beside_controls
from cxrlib.evaluate.faithfulness import CurveSettings
from cxrlib.evaluate.known_truth import (
    TRUTH,
    score_by_all,
    score_methods_on_truth,
    score_usual,
    true_maps,
    truth_beside,
)
from cxrlib.evaluate.phantom import AGAINST, TwinCases
from cxrlib.evaluate.trusted_measures import FIT, OPEN, UNFIT, fitness
from cxrlib.explain.explanations import Explanations
from cxrlib.model.networks import normalise

NAMES = [f"study {number}" for number in range(8)]
CLASSES = ["ILD", "Mass"]


@pytest.fixture
def twins():
    """Every study has a Mass in one of 4 x 4 cells of 2 pixels, a little stronger in each study."""
    images = torch.full((len(NAMES), 1, 8, 8), 90, dtype=torch.uint8)
    for row, image in enumerate(images[:, 0]):
        image[2 * (row % 4) : 2 * (row % 4) + 2, 2:4] += 10 + row
    cases = pd.DataFrame({"image_id": NAMES, "class_name": "Mass"})
    return TwinCases(cases, images, torch.full_like(images, 90))


@pytest.fixture
def explanations():
    others = [*NAMES, "without a twin"]
    probabilities = pd.DataFrame(0.5, pd.Index(others, name="image_id"), CLASSES)
    return Explanations(probabilities, torch.zeros(9, 2, 4, 4), input_size=8, identity="")


def test_the_true_map_holds_the_cause_in_the_cells_of_the_method(twins, explanations):
    truth = true_maps(twins, explanations)
    assert truth.probabilities.index.tolist() == NAMES
    maps = truth.maps.numpy()
    assert maps.shape == (8, 2, 4, 4) and not maps[:, 0].any()
    for row in range(8):
        expected = np.zeros((4, 4))
        expected[row % 4, 1] = 10 + row
        assert np.array_equal(maps[row, 1], expected)


def strength_inside(maps):
    """A measure that can be trusted: how much of a Mass's map lies in the cell where it was put."""
    shares = [float(one[1, row % 4, 1] / one[1].sum().clamp(min=1e-9)) for row, one in enumerate(maps.maps)]
    return pd.DataFrame({"image_id": NAMES, "class_name": "Mass", "inside": shares})


def spread(maps):
    """A measure that cannot: it prefers maps without a peak."""
    values = [-float(one[1].max() / one[1].sum()) for one in maps.maps]
    return pd.DataFrame({"image_id": NAMES, "class_name": "Mass", "spread": values})


def coin(maps):
    """A measure that does not say: the truth is ahead in all but one case, in which it is far behind."""
    one = 0.1 if maps.maps[0, 1].max() == 10 else 0.0  # only of the truth
    return pd.DataFrame({"image_id": NAMES, "class_name": "Mass", "coin": [one] * 7 + [-5 * one]})


def scored(**compared):
    """Every measure's scores of every map."""
    key = ["image_id", "class_name"]
    return {
        name: strength_inside(maps).merge(spread(maps), on=key).merge(coin(maps), on=key)
        for name, maps in compared.items()
    }


def test_a_measure_is_fit_where_the_truth_is_above_every_control(twins, explanations):
    truth = true_maps(twins, explanations)
    usual = truth.with_maps(truth.maps.mean(0).expand(8, -1, -1, -1))
    cases = truth_beside(scored(**{TRUTH: truth, "random map": truth.with_random_maps(1), "usual": usual}))
    assert list(cases) == CASE_COLUMNS and set(cases["method"]) == {TRUTH} and len(cases) == 3 * 2 * 8
    table = beside_controls(cases, CLASSES, study_weights(NAMES, 300, seed=0))
    assert fitness(table, "Mass").to_dict() == {"inside": FIT, "spread": UNFIT, "coin": OPEN}
    inside = table.set_index(["measure", "control", "class_name"]).loc[("inside", "usual", "Mass")]
    own = truth.maps[:, 1, :, 1].sum(0) / truth.maps[:, 1].sum()
    assert inside["ours"] == 1 and inside["control_score"] == pytest.approx(float(own.mean()), abs=1e-6)


def test_a_finding_without_a_case_is_open(twins, explanations):
    truth = true_maps(twins, explanations)
    cases = truth_beside(scored(**{TRUTH: truth, "same": truth}))
    table = beside_controls(cases[cases["measure"] == "inside"], CLASSES, study_weights(NAMES, 100, 0))
    assert fitness(table, "ILD").to_dict() == {"inside": OPEN} and fitness(table, "Mass").to_dict() == {"inside": UNFIT}


class Reader(nn.Module):
    """Reads the brightness that Masses add: the logit for ILD never changes, that for Mass grows with the mean."""

    def __init__(self):
        super().__init__()
        self.grows = nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        grey = (images * 0.224 + 0.45).mean((1, 2, 3)) * 255
        return torch.stack([torch.full_like(grey, -9.0), self.grows * (grey - 90)], dim=1)


def test_a_network_that_reads_the_cause_makes_the_falls_trustworthy(twins, explanations):
    """By hand: the cause is one of 16 cells, and the only one whose replacement by the twin lowers the probability."""
    boxes = [(name, "Mass", "R1", 2, 2 * (row % 4), 4, 2 * (row % 4) + 2) for row, name in enumerate(NAMES)]
    labels = pd.DataFrame({"ILD": 0, "Mass": 1}, NAMES)
    cohort = small_cohort(CLASSES, annotation_rows(*boxes), labels, size=8)
    p = Reader()(normalise(twins.images)).sigmoid().detach().numpy()
    predicted = pd.DataFrame(p, pd.Index(NAMES, name="image_id"), CLASSES)
    truth = replace(true_maps(twins, explanations), probabilities=predicted)
    compared = {TRUTH: truth, "random map": truth.with_random_maps(1)}
    settings = CurveSettings(threshold=0.5, shares=[0.05, 0.1], kernels=[3], batch_size=16, seed=0)
    compared["blank"] = compared[TRUTH].with_maps(torch.zeros_like(compared[TRUTH].maps))
    found = score_by_all(cohort, Reader(), twins.images, twins, compared, settings)
    assert found["blank"].drop(columns=["image_id", "class_name"]).isna().all(axis=None)
    own = found[TRUTH]
    assert own[["image_id", "class_name"]].equals(twins.cases)
    assert (own["energy"] > 0.5).all() and (own["hit"] == 1).all()
    without = Reader()(normalise(twins.twins)).sigmoid()[0, 1].item()
    assert own["fall twin 10 %"].to_numpy() == pytest.approx(p[:, 1] - without, abs=1e-6)  # 6 pixels, 4 are the cause
    assert own["fall twin 10 %"].mean() > found["random map"]["fall twin 10 %"].mean()
    assert {"deletion", "AOPC", "fall mean 5 %", "fall ROAD 10 %"} <= set(own)


def test_the_mean_heatmap_of_the_class_is_scored_in_place_of_each_patient_s(twins, explanations):
    boxes = [(name, "Mass", "R1", 2, 2 * (row % 4), 4, 2 * (row % 4) + 2) for row, name in enumerate(NAMES)]
    labels = pd.DataFrame({"ILD": 0, "Mass": 1}, NAMES)
    cohort, truth = small_cohort(CLASSES, annotation_rows(*boxes), labels, size=8), true_maps(twins, explanations)
    methods = {name: {"valid": truth, "test": truth} for name in ("CAM", "Random 4 x 4")}
    found = score_usual(cohort, twins, methods | {"Cause in 4 x 4 cells": {"test": truth}}, {})
    assert list(found) == ["CAM"]  # a random map has no patient to follow
    own = found["CAM"][found["CAM"]["against"] == "cause"]
    assert len(own) == len(NAMES) and own["energy"].between(0.05, 0.4).all()  # the causes lie in four cells by turns
    unlearned = truth.with_maps(torch.zeros_like(truth.maps))
    blank = score_usual(cohort, twins, {"CAM": {"valid": unlearned, "test": truth}}, {})["CAM"]
    assert blank[AGAINST].isna().all(axis=None) and len(blank) == len(found["CAM"])  # what is blank is no rival
    both = {"right": {"test": truth}, "wrong": {"test": truth.with_maps(truth.maps.flip(-1))}}
    right, wrong = score_methods_on_truth(cohort, twins, both).values()
    assert (right["average_precision"] > wrong["average_precision"])[right["against"] == "cause"].all()
