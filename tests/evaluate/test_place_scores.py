"""Localisation beside maps that know less: by hand, Otsu against scikit-image."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort

from cxrlib.data.annotations import union_labels
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.place_controls import (
    CENTRE,
    RANDOM_MAP,
    SWAPPED,
    USUAL_MAP,
    USUAL_PLACE,
    centre_prior,
    place_controls,
    swapped,
    usual_heatmap,
)
from cxrlib.evaluate.place_scores import (
    PLACE_SCORES,
    cases_with_boxes,
    hit_within,
    otsu_mask,
    place_cases,
    score_place,
    share_scores,
    validation_shares,
)
from cxrlib.explain.explanations import Explanations

SIZE, CLASSES, SHARES = 8, ["ILD", "Mass", "Nodule"], [0.125, 0.25, 0.5]


@pytest.fixture
def cohort():
    """Each ILD is a quarter at the upper right, each mass the left half; two studies are for training."""
    rows = [(name, "ILD", "R1", 4, 0, 8, 4) for name in "tva"] + [(name, "Mass", "R1", 0, 0, 4, 8) for name in "ub"]
    annotations = annotation_rows(*rows)
    labels = union_labels(annotations, CLASSES)
    studies = pd.DataFrame({"split": ["train", "train", "valid", "test", "test"]}, list("tuvab"))
    return small_cohort(CLASSES, annotations, labels.loc[studies.index], studies, size=SIZE)


def explained(maps, *image_ids):
    probabilities = pd.DataFrame(0.9, pd.Index(image_ids, name="image_id"), CLASSES)
    return Explanations(probabilities, maps, SIZE, identity="")


def perfect(*image_ids):
    """Of each study the same: the upper right quarter for ILD, the left half for the other classes."""
    maps = torch.zeros(len(image_ids), 3, SIZE, SIZE)
    maps[:, 0, :4, 4:] = 1
    maps[:, 1:, :, :4] = 1
    return explained(maps, *image_ids)


def test_otsu_is_scikit_images_and_a_flat_map_sets_nothing():
    filters = pytest.importorskip("skimage.filters")
    heatmap = torch.from_numpy(np.random.default_rng(0).gamma(1, size=(40, 40)).astype("float32")) - 0.2
    levels = (255 * heatmap.clamp(min=0) / heatmap.max()).round().byte().numpy()
    found = otsu_mask(heatmap)
    assert 0.05 < found.mean() < 0.6
    assert (found == (levels > filters.threshold_otsu(levels))).all()
    assert not otsu_mask(torch.ones(3, 3)).any() and not otsu_mask(-torch.ones(3, 3)).any()


def test_a_hit_is_measured_to_the_nearest_box():
    """The peak is at (1, 7) in a frame of 8: 3 pixels below the first box, and 3 right and 4 down of the other."""
    heatmap = torch.zeros(4, 4)
    heatmap[3, 0] = 1
    below, far = [0, 0, 2, 4], [-4, 0, -2, 3]
    assert hit_within(heatmap, np.array([below]), 8, 3.0) and not hit_within(heatmap, np.array([below]), 8, 2.9)
    assert hit_within(heatmap, np.array([far]), 8, 5.0) and not hit_within(heatmap, np.array([far]), 8, 4.9)
    assert hit_within(heatmap, np.array([far, below]), 8, 3.0)
    assert not hit_within(torch.zeros(4, 4), np.array([[0, 0, 8, 8]]), 8, 3.0)


def test_scores_by_hand(cohort):
    """Of 32 lit pixels in the upper half, 16 lie in the box; a quarter of the pixels are the first two rows."""
    maps = torch.zeros(1, 3, SIZE, SIZE)
    maps[:, :, :4] = 1
    maps[:, :, :2] = 2
    case = cases_with_boxes(cohort, explained(maps, "a").probabilities)
    row = score_place(cohort, case, explained(maps, "a"), {"ILD": 0.25}).iloc[0]
    assert row["iou"] == pytest.approx(8 / 24)
    assert row["energy"] == pytest.approx(24 / 48)
    assert row["average_precision"] == pytest.approx(0.5)
    assert row["hit"] == 0.0  # the first of equal cells is the corner at the left, 3.5 pixels from the box
    assert row["otsu_iou"] == pytest.approx(16 / 32)  # Otsu parts 0 from 1 and 2
    by_sum = score_place(cohort, case, explained(maps, "a"), {"ILD": 0.25}, "sum").iloc[0]
    assert by_sum["iou"] == pytest.approx(8 / 32)


def test_a_map_of_zeros_finds_nothing_and_a_constant_one_has_no_score(cohort):
    zeros, ones = (explained(torch.full((1, 3, 2, 2), value), "a") for value in (0.0, 1.0))
    case = cases_with_boxes(cohort, ones.probabilities)
    assert score_place(cohort, case, zeros, {"ILD": 0.25}).iloc[0][PLACE_SCORES].tolist() == [0, 0, 0.25, 0, 0]
    assert score_place(cohort, case, ones, {"ILD": 0.25})[PLACE_SCORES].isna().all(axis=None)


def test_the_share_is_chosen_on_other_studies(cohort):
    scores = share_scores(cohort, cases_with_boxes(cohort, perfect("v").probabilities), perfect("v"), SHARES)
    assert scores["all_pairs"].tolist() == [0.5, 1.0, 1.0]  # a map has no more than its positive pixels
    assert validation_shares(cohort, perfect("v"), SHARES) == dict.fromkeys(CLASSES, 0.25)
    assert validation_shares(cohort, perfect().of([]), SHARES) == dict.fromkeys(CLASSES, 0.125)


def test_the_usual_heatmap_counts_each_study_alike(cohort):
    maps = torch.tensor([[4.0, -2.0], [1.0, 2.0]])[None, None].repeat(2, 3, 1, 1)
    maps[1] = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    usual = usual_heatmap(explained(maps, "t", "v"), cohort.labels)
    assert usual[0].tolist() == [[0.5, 0.5], [0.125, 0.25]]
    assert usual[1:].eq(0).all()  # neither study has a mass


def test_a_swapped_map_is_of_a_class_that_the_image_does_not_have(cohort):
    maps = torch.arange(6.0).reshape(2, 3, 1, 1)
    labels = pd.DataFrame([[1, 1, 0], [0, 1, 0]], ["a", "b"], CLASSES)
    assert swapped(explained(maps, "a", "b"), labels, CLASSES).maps.flatten().tolist() == [2, 2, 0, 5, 5, 3]
    assert swapped(explained(maps, "a", "b"), labels, ["Mass"]).maps.eq(0).all()


def test_the_centre_prior_is_symmetric_and_highest_in_the_middle():
    prior = centre_prior(5, 3)
    assert prior.shape == (5, 3) and prior[2, 1] == prior.max() == 1
    assert torch.allclose(prior, prior.flip(0)) and torch.allclose(prior, prior.flip(1))
    assert float(prior[2, 0]) == pytest.approx(np.exp(-((1 / 3) ** 2) / (2 * 0.25**2)))


def test_a_map_that_follows_the_class_surpasses_those_that_know_less(cohort):
    """The usual place of ILD is its place here, so that nothing is gained over it."""
    methods = {title: {"valid": perfect("v"), "test": perfect("a", "b")} for title in ("CAM", "same")}
    cases, chosen = place_cases(cohort, methods, {"CAM": perfect("t", "u")}, SHARES, seed=0)
    assert list(cases) == CASE_COLUMNS and len(cases) == 2 * 5 * 5 * 2
    assert chosen[chosen["method"] == "CAM"]["share"].tolist() == [0.25] * 3
    iou = cases[(cases["measure"] == "energy") & (cases["method"] == "CAM") & (cases["class_name"] == "ILD")]
    iou = iou.set_index("control")
    assert (iou["score"] == 1).all()
    assert iou.loc[[USUAL_MAP, USUAL_PLACE], "control_score"].tolist() == [1, 1]
    assert iou.loc[SWAPPED, "control_score"] == 0  # the mass's map is the other half
    assert (iou.loc[[RANDOM_MAP, CENTRE], "control_score"] < 0.5).all()
    other = cases[(cases["method"] == "same") & (cases["control"] == USUAL_MAP) & (cases["class_name"] == "Mass")]
    assert other["score"].notna().all() and other["control_score"].isna().all()  # no validation study has a mass


def test_without_validation_studies_and_without_cases_there_is_still_an_answer(cohort):
    none = {"valid": perfect().of([]), "test": perfect().of([])}
    cases, chosen = place_cases(cohort, {"CAM": none}, {}, SHARES, seed=0)
    assert list(cases) == CASE_COLUMNS and cases.empty and (chosen["share"] == 0.125).all()
    assert place_cases(cohort, {}, {}, SHARES, seed=0)[0].empty
    assert set(place_controls(cohort, none, None, torch.zeros(3, SIZE, SIZE), 0)) == {
        RANDOM_MAP,
        CENTRE,
        USUAL_MAP,
        USUAL_PLACE,
        SWAPPED,
    }
