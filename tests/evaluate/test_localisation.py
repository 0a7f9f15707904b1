import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from peaks import peak_of
from torchvision.ops import box_iou

from cxrlib.data.annotations import BOX_COLUMNS, union_labels
from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.localisation import (
    boxed_cases,
    correct_cases,
    hit,
    no_finding_places,
    score_boxed,
    score_cases,
    score_maps,
    score_mask,
    shared_regions,
)
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels
from cxrlib.show.figures.iou_figures import box_grid, iou_curves
from cxrlib.show.figures.panels import explanation_grid
from cxrlib.show.tables import iou_table
from cxrlib.thesis.reported import thesis_iou

SIZE = 20
CLASSES = ["Cardiomegaly", "ILD", "No finding"]


@pytest.fixture
def cohort():
    annotations = annotation_rows(
        ("a", "Cardiomegaly", "R1", 2, 3, 8, 7),
        ("a", "Cardiomegaly", "R2", 4, 3, 10, 9),
        ("a", "ILD", "R1", 12, 12, 18, 18),
        ("b", "ILD", "R1"),  # seen, not boxed
        ("b", "Cardiomegaly", "R1", 1, 1, 2, 2),
    )
    labels = union_labels(annotations, CLASSES)
    return small_cohort(CLASSES, annotations, labels, pd.DataFrame(index=labels.index), size=SIZE)


def falling(x0, y0, x1, y1):
    """A map that is zero outside a rectangle and falls in reading order inside."""
    heatmap = torch.zeros(SIZE, SIZE)
    heatmap[y0:y1, x0:x1] = torch.arange((y1 - y0) * (x1 - x0), 0, -1).view(y1 - y0, x1 - x0)
    return heatmap


def test_maps_are_scored_against_all_readers(cohort):
    cases = pd.DataFrame({"image_id": ["a", "a"], "class_name": ["Cardiomegaly", "ILD"]})
    maps = torch.stack([falling(2, 3, 10, 8), falling(12, 12, 15, 15)])
    scores = score_maps(cohort, cases, maps, SIZE, [0.04, 0.5])
    # 0.04 of 400 pixels are 16: two rows of 8; 0.5 would be 200, but only the lit pixels count
    predicted = {
        ("Cardiomegaly", 0.04): [[2, 3, 10, 5]],
        ("Cardiomegaly", 0.5): [[2, 3, 10, 8]],
        ("ILD", 0.04): [[12, 12, 15, 15]],
        ("ILD", 0.5): [[12, 12, 15, 15]],
    }
    true = {"Cardiomegaly": [[2, 3, 8, 7], [4, 3, 10, 9]], "ILD": [[12, 12, 18, 18]]}
    assert list(zip(scores["class_name"], scores["share"], strict=True)) == list(predicted)
    for row, ((class_name, _), boxes) in zip(scores.itertuples(), predicted.items(), strict=True):
        iou = box_iou(torch.tensor(boxes).double(), torch.tensor(true[class_name]).double()).numpy()
        assert (row.image_id, row.predicted_boxes, row.true_boxes) == ("a", len(boxes), len(true[class_name]))
        assert row.all_pairs == pytest.approx(iou.mean())
        assert row.best_match == pytest.approx(iou.max(axis=0).mean())
        assert row.all_pairs_sum == pytest.approx((iou / (1 + iou)).mean())
        assert row.best_match_sum == pytest.approx((iou / (1 + iou)).max(axis=0).mean())


def test_masks_are_made_in_the_frame_of_the_input(cohort):
    """A 2 x 2 map, 4 pixels of input, 20 of the boxes: its lit quarter covers the upper left."""
    cases = pd.DataFrame({"image_id": ["a"], "class_name": ["Cardiomegaly"]})
    (score,) = score_maps(cohort, cases, torch.tensor([[[1.0, 0], [0, 0]]]), 4, [1 / 16]).itertuples()
    # one pixel of 4 x 4; bilinear resizing by 5 lights j with (j + 0.5) / 5 - 0.5 < 1, j = 0 to 6
    iou = box_iou(torch.tensor([[0, 0, 7, 7]]), torch.tensor([[2, 3, 8, 7], [4, 3, 10, 9]])).double()
    assert score.all_pairs == pytest.approx(iou.mean().item(), abs=1e-6)


def test_one_mask_in_every_protocol_by_hand():
    """The mask is one box of 8 x 2 pixels; the readers' boxes, 6 x 4 and 6 x 6, cover 24 + 36 - 4 * 4 = 44."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[3:5, 2:10] = True
    scores = score_mask(mask, np.array([[2, 3, 8, 7], [4, 3, 10, 9]]), SIZE)
    expected = {
        "all_pairs": (12 / 28 + 12 / 40) / 2,
        "best_match": (12 / 28 + 12 / 40) / 2,
        "mask_iou": 16 / 44,
        "all_pairs_sum": (12 / 40 + 12 / 52) / 2,
        "best_match_sum": (12 / 40 + 12 / 52) / 2,
        "mask_iou_sum": 16 / 60,
        "iobb": 12 / 16,
        "predicted_boxes": 1,
        "predicted_area": 16,
        "true_boxes": 2,
    }
    assert scores == pytest.approx(expected)


def test_the_scored_mask_keeps_its_share_of_the_pixels():
    """Boxes surround all that resizing touches, as in the thesis; the mask itself must not grow."""
    heatmap = torch.rand(1, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    mask = top_pixels(upscale(heatmap, 72)[0, 0], 0.05).numpy()
    whole = np.array([[0, 0, 512, 512]])
    assert score_mask(mask, whole, 512)["mask_iou"] == pytest.approx(0.05, rel=0.03)


def test_a_sliver_of_a_box_can_be_scored():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[5:15, 5:15] = True
    assert score_mask(mask, np.array([[10.6, 5, 11.4, 15]]), SIZE)["mask_iou"] == pytest.approx(10 / 100)


def test_a_hit_does_not_know_left_from_right():
    heatmap = torch.zeros(7, 7)
    heatmap[3, 0] = 1
    box = np.array([[0.05, 0.4, 0.25, 0.6]]) * SIZE
    assert hit(heatmap, box, SIZE)
    assert hit(heatmap.flip(1), np.array([[SIZE - box[0, 2], box[0, 1], SIZE - box[0, 0], box[0, 3]]]), SIZE)
    assert hit(heatmap.T, box[:, [1, 0, 3, 2]], SIZE)


def test_a_hit_is_the_strongest_cell_inside_a_box():
    heatmap = torch.zeros(4, 4)
    heatmap[1, 2] = 1  # its centre lies at x = 12.5, y = 7.5 of 20
    assert hit(heatmap, np.array([[0, 0, 1, 1], [12, 7, 13, 8]]), SIZE)
    assert not hit(heatmap, np.array([[13, 7, 14, 8]]), SIZE)
    assert not hit(heatmap, np.array([[12, 8, 13, 9]]), SIZE)
    assert not hit(torch.zeros(4, 4), np.array([[0, 0, SIZE, SIZE]]), SIZE)


def test_an_empty_map_scores_zero(cohort):
    cases = pd.DataFrame({"image_id": ["a"], "class_name": ["ILD"]})
    (score,) = score_maps(cohort, cases, torch.zeros(1, 2, 2), SIZE, [0.1]).itertuples()
    scores = ("all_pairs", "best_match", "mask_iou", "mask_iou_sum", "iobb", "hit", "predicted_boxes")
    assert [getattr(score, name) for name in scores] == [0] * 7


def test_a_cohort_without_boxes_has_tables_of_no_rows_and_figures_that_say_so(cohort):
    cases = pd.DataFrame({"image_id": [], "class_name": []})
    scores = score_maps(cohort, cases, torch.zeros(0, 2, 2), SIZE, [0.1])
    assert scores.empty and scores["all_pairs"].dtype == float
    weights = study_weights(["a"], 10, 0)
    table = iou_table(scores, scores, thesis_iou("table_06"), ["Cardiomegaly"], weights, "areas")
    assert "n = 0" in iou_curves(table, thesis_iou("table_06")).texts[0].get_text()
    assert "n = 0" in explanation_grid(cohort, None, []).texts[0].get_text()
    cohort.annotations[BOX_COLUMNS] = np.nan
    assert "n = 0" in box_grid(cohort, None, "a", [0.1]).texts[0].get_text()


def test_correct_cases_are_true_predicted_and_boxed(cohort):
    probabilities = pd.DataFrame(
        [[0.7, 0.8, 0.9], [0.6, 0.9, 0.9]], index=["b", "a"], columns=["Cardiomegaly", "ILD", "No finding"]
    )
    first, second, third = ["b", "Cardiomegaly", 0.7], ["a", "Cardiomegaly", 0.6], ["a", "ILD", 0.9]
    # b's ILD was seen but not boxed, "No finding" has no place
    assert boxed_cases(cohort, probabilities).to_numpy().tolist() == [first, second, third]
    assert correct_cases(cohort, probabilities, threshold=0.7).to_numpy().tolist() == [first, third]
    assert correct_cases(cohort, probabilities, threshold=0.95).empty
    cohort.labels.loc["b", "Cardiomegaly"] = 0
    assert boxed_cases(cohort, probabilities).to_numpy().tolist() == [second, third]


def test_cases_are_scored_by_their_own_maps_in_the_frame_of_the_explanations(cohort):
    probabilities = pd.DataFrame(0.9, ["b", "a"], CLASSES)
    explanations = Explanations(probabilities, torch.rand(2, 3, 4, 4), 8, "")
    cases = boxed_cases(cohort, probabilities)
    assert cases[["image_id", "class_name"]].to_numpy().tolist() == [
        ["b", "Cardiomegaly"],
        ["a", "Cardiomegaly"],
        ["a", "ILD"],
    ]
    maps = torch.stack([explanations.maps[0, 0], explanations.maps[1, 0], explanations.maps[1, 1]])
    expected = score_maps(cohort, cases, maps, 8, [0.1, 0.5])
    pd.testing.assert_frame_equal(score_cases(cohort, explanations, cases, [0.1, 0.5]), expected)


def test_false_positives_are_looked_up_among_the_other_findings(cohort):
    probabilities = pd.DataFrame([[0.2, 0.9, 0.9], [0.9, 0.9, 0.1]], index=["b", "a"], columns=CLASSES)
    cohort.labels.loc["b", "ILD"] = cohort.labels.loc["a", "ILD"] = 0
    explanations, random = (Explanations(probabilities, torch.zeros(2, 3, SIZE, SIZE), SIZE, "") for _ in range(2))
    explanations.maps[0, 1, 1, 1] = 1  # inside b's Cardiomegaly
    explanations.maps[1, 1, 0, 0] = 1
    random.maps[1, 1, 13, 13] = 1  # inside a box of a
    found = shared_regions(cohort, explanations, random, 0.7)
    assert found.to_numpy().tolist() == [["b", "ILD", True, False], ["a", "ILD", False, True]]
    assert shared_regions(cohort, explanations, random, 0.95).empty


def test_all_boxed_findings_of_some_classes_are_scored_whether_predicted_or_not(cohort):
    probabilities = pd.DataFrame([[0.1, 0.9, 0.9], [0.7, 0.2, 0.9]], ["b", "a"], CLASSES)
    maps = torch.zeros(2, 3, SIZE, SIZE)
    maps[0, 0] = falling(1, 1, 2, 2)  # b's Cardiomegaly, all of it
    explanations = Explanations(probabilities, maps, SIZE, "")
    scores = score_boxed(cohort, explanations, ["Cardiomegaly"], 0.05)
    assert scores[["image_id", "probability", "share"]].to_numpy().tolist() == [["b", 0.1, 0.05], ["a", 0.7, 0.05]]
    assert scores["all_pairs"].tolist() == [1, 0]
    assert score_boxed(cohort, explanations, ["No finding"], 0.05).empty


def test_places_of_the_heatmaps_of_images_that_are_predicted_healthy():
    probabilities = pd.DataFrame([[0.9, 0.6], [0.9, 0.4], [0.1, 0.5]], list("abc"), ["ILD", "No finding"])
    maps = torch.zeros(3, 2, 10, 10)
    maps[:, 0] = 1  # another class
    maps[0, 1, 4, 2] = 1  # in the left half's lung field
    maps[1, 1, 4, 7] = 1  # not predicted
    maps[2, 1, 4, 7], maps[2, 1, 9, 9] = 1, 3  # a quarter in the right half's field, the rest in the corner
    places = no_finding_places(Explanations(probabilities, maps, 10, ""), "No finding", 0.5).set_index("image_id")
    assert places.index.tolist() == ["a", "c"]
    expected = [[1, 0, 0.25, 0.45], [0, 0.25, 0.95, 0.95]]
    np.testing.assert_allclose(places[["left", "right", "x", "y"]], expected, atol=1e-6)


def test_a_model_without_no_finding_has_no_places_of_it():
    explanations = Explanations(pd.DataFrame({"ILD": [0.9]}, ["a"]), torch.ones(1, 1, 4, 4), 8, "")
    places = no_finding_places(explanations, None, 0.5)
    assert places.empty and {"left", "right", "x", "y"} <= {*places}


def test_a_scored_case_keeps_its_numbers_and_nothing_else(cohort):
    """14 numbers of 8 bytes a case and share, copied a few times; a dictionary for each took five times as much."""
    cases = pd.DataFrame({"image_id": ["a"] * 50, "class_name": "ILD"})
    maps, shares = falling(12, 12, 15, 15).expand(50, SIZE, SIZE), np.linspace(0.01, 0.2, 20).tolist()
    assert peak_of(score_maps, cohort, cases, maps, SIZE, shares) < 600 * len(cases) * len(shares)
