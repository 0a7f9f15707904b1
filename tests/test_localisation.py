from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import FINDINGS, annotation_rows
from torchvision.ops import box_iou

from cxrlib.annotations import BOX_COLUMNS, public_annotations_path, read_annotations, union_labels
from cxrlib.cohort import Cohort
from cxrlib.localisation import boxed_cases, correct_cases, mean_by_share, reader_agreement, score_maps

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
    about = {"classes": CLASSES, "experiments": {"all": CLASSES}, "explained": "all", "size": SIZE}
    return Cohort(pd.DataFrame(index=labels.index), annotations, labels, np.empty(0), Path(), about)


def falling(x0, y0, x1, y1):
    """A map that is zero outside a rectangle and falls in reading order inside."""
    heatmap = torch.zeros(SIZE, SIZE)
    heatmap[y0:y1, x0:x1] = torch.arange((y1 - y0) * (x1 - x0), 0, -1).view(y1 - y0, x1 - x0)
    return heatmap


@pytest.mark.parametrize("union", ["areas", "sum"])
def test_maps_are_scored_against_all_readers(cohort, union):
    cases = pd.DataFrame({"image_id": ["a", "a"], "class_name": ["Cardiomegaly", "ILD"]})
    maps = torch.stack([falling(2, 3, 10, 8), falling(12, 12, 15, 15)])
    scores = score_maps(cohort, cases, maps, SIZE, [0.04, 0.5], union)
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
        iou = iou if union == "areas" else iou / (1 + iou)
        assert (row.image_id, row.predicted_boxes, row.true_boxes) == ("a", len(boxes), len(true[class_name]))
        assert row.all_pairs == pytest.approx(iou.mean())
        assert row.best_match == pytest.approx(iou.max(axis=0).mean())


def test_masks_are_made_in_the_frame_of_the_input(cohort):
    """A 2 x 2 map, 4 pixels of input, 20 of the boxes: its lit quarter covers the upper left."""
    cases = pd.DataFrame({"image_id": ["a"], "class_name": ["Cardiomegaly"]})
    (score,) = score_maps(cohort, cases, torch.tensor([[[1.0, 0], [0, 0]]]), 4, [1 / 16], "areas").itertuples()
    # one pixel of 4 x 4; bilinear resizing by 5 lights j with (j + 0.5) / 5 - 0.5 < 1, j = 0 to 6
    iou = box_iou(torch.tensor([[0, 0, 7, 7]]), torch.tensor([[2, 3, 8, 7], [4, 3, 10, 9]])).double()
    assert score.all_pairs == pytest.approx(iou.mean().item(), abs=1e-6)


def test_an_empty_map_scores_zero(cohort):
    cases = pd.DataFrame({"image_id": ["a"], "class_name": ["ILD"]})
    (score,) = score_maps(cohort, cases, torch.zeros(1, 2, 2), SIZE, [0.1], "areas").itertuples()
    assert (score.all_pairs, score.best_match, score.predicted_boxes) == (0, 0, 0)


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


def test_mean_scores_leave_a_class_without_cases_empty():
    scores = pd.DataFrame(
        [("x", 0.1, 0.2, 0.6), ("x", 0.1, 0.4, 0.6), ("x", 0.2, 0.0, 0.1), ("y", 0.1, 1.0, 1.0)],
        columns=["class_name", "share", "all_pairs", "best_match"],
    )
    means = mean_by_share(scores, ["y", "z", "x"])
    assert means.columns.tolist() == ["y", "z", "x"]
    np.testing.assert_allclose(means, [[1, np.nan, 0.3], [np.nan, np.nan, 0]])
    assert mean_by_share(scores, ["x"], "best_match")["x"].to_dict() == pytest.approx({0.1: 0.6, 0.2: 0.1})


@pytest.fixture(scope="module")
def annotations():
    return read_annotations(public_annotations_path())[0]


@pytest.fixture(scope="module")
def agreement(annotations):
    return reader_agreement(annotations, FINDINGS)


def test_radiologists_agree_as_measured_on_the_public_annotations(agreement):
    """Mean IoU by all pairs and by best match, measured independently on the same file."""
    means = agreement.groupby("class_name")[["all_pairs", "best_match"]].mean().round(3)
    assert {name: tuple(row) for name, row in zip(means.index, means.to_numpy().tolist(), strict=True)} == {
        "Aortic enlargement": (0.683, 0.683),
        "Cardiomegaly": (0.730, 0.731),
        "Lung Opacity": (0.424, 0.470),
        "Pleural effusion": (0.436, 0.479),
        "Pleural thickening": (0.270, 0.367),
        "Pulmonary fibrosis": (0.366, 0.454),
    }


def test_agreement_on_single_studies_equals_torchvisions(annotations, agreement):
    for row in agreement.iloc[::400].itertuples():
        here = (annotations["image_id"] == row.image_id) & (annotations["class_name"] == row.class_name)
        readers = [torch.from_numpy(boxes[BOX_COLUMNS].to_numpy()) for _, boxes in annotations[here].groupby("rad_id")]
        matrices = [box_iou(first, second) for first, second in combinations(readers, 2)]
        best = [(iou.amax(0).mean() + iou.amax(1).mean()) / 2 for iou in matrices]
        assert row.all_pairs == pytest.approx(np.mean([iou.mean() for iou in matrices]))
        assert row.best_match == pytest.approx(np.mean(best))


def test_agreement_needs_two_readers_with_boxes():
    rows = annotation_rows(
        ("a", "ILD", "R1", 0, 0, 4, 4),
        ("a", "ILD", "R1", 0, 0, 2, 2),
        ("a", "ILD", "R2"),
        ("b", "ILD", "R1", 0, 0, 4, 4),
        ("b", "ILD", "R2", 0, 0, 4, 2),
        ("b", "Cardiomegaly", "R1", 0, 0, 4, 4),
    )
    assert reader_agreement(rows, ["ILD", "Cardiomegaly"]).to_numpy().tolist() == [["b", "ILD", 0.5, 0.5]]
