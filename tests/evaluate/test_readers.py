"""Readers against each other: the figures measured on the public annotations, torchvision, drawn masks, by hand."""

import numpy as np
import pytest
import torch
from fixtures import FINDINGS, annotation_rows
from sklearn import metrics
from torchvision.ops import box_iou

from cxrlib.data.annotations import BOX_COLUMNS, public_annotations_path, read_annotations
from cxrlib.evaluate.boxes import mask_iou, mask_of_boxes, pairwise_iou
from cxrlib.evaluate.classification import f1_of_counts
from cxrlib.evaluate.readers import by_image, label_outcomes, reader_agreement


@pytest.fixture(scope="module")
def annotations():
    return read_annotations(public_annotations_path())[0]


@pytest.fixture(scope="module")
def agreement(annotations):
    return reader_agreement(annotations, FINDINGS)


def test_radiologists_agree_as_measured_on_the_public_annotations(agreement):
    """Mean IoU by all pairs and by best match, measured independently on the same file."""
    means = by_image(agreement).groupby("class_name")[["all_pairs", "best_match"]].mean().round(3)
    assert {name: tuple(row) for name, row in zip(means.index, means.to_numpy().tolist(), strict=True)} == {
        "Aortic enlargement": (0.683, 0.683),
        "Cardiomegaly": (0.730, 0.731),
        "Lung Opacity": (0.424, 0.470),
        "Pleural effusion": (0.436, 0.479),
        "Pleural thickening": (0.270, 0.367),
        "Pulmonary fibrosis": (0.366, 0.454),
    }


def test_agreement_on_single_pairs_equals_torchvisions_and_a_drawn_masks(annotations, agreement):
    for row in agreement.iloc[::1500].itertuples():
        here = (annotations["image_id"] == row.image_id) & (annotations["class_name"] == row.class_name)
        first, second = (
            torch.from_numpy(annotations.loc[here & (annotations["rad_id"] == reader), BOX_COLUMNS].to_numpy())
            for reader in (row.first, row.second)
        )
        iou = box_iou(first, second)
        assert row.all_pairs == pytest.approx(iou.mean().item())
        assert row.best_match == pytest.approx((iou.amax(0).mean() + iou.amax(1).mean()).item() / 2)
        by_sum = pairwise_iou(first.numpy(), second.numpy(), "sum")
        assert row.all_pairs_sum == pytest.approx(by_sum.mean())
        assert row.best_match_sum == pytest.approx((by_sum.max(0).mean() + by_sum.max(1).mean()) / 2)
        masks = [mask_of_boxes(boxes.numpy(), 4000) for boxes in (first, second)]  # whole pixels: drawn exactly
        assert row.mask_iou == pytest.approx(mask_iou(*masks), abs=1e-9)
        assert row.mask_iou_sum == pytest.approx(mask_iou(*masks, "sum"), abs=1e-9)


ROWS = annotation_rows(
    ("a", "ILD", "R1", 0, 0, 4, 4),
    ("a", "ILD", "R1", 0, 0, 2, 2),
    ("a", "ILD", "R2"),
    ("b", "ILD", "R1", 0, 0, 4, 4),
    ("b", "ILD", "R2", 0, 0, 4, 2),
    ("b", "ILD", "R3", 0, 0, 4, 4),
    ("b", "Cardiomegaly", "R1", 0, 0, 4, 4),
)


def test_agreement_needs_two_readers_with_boxes():
    pairs = reader_agreement(ROWS, ["ILD", "Cardiomegaly"])
    half, whole = [0.5] * 3 + [8 / 24] * 3 + [0.75], [1] * 3 + [0.5] * 3 + [1]
    assert pairs.to_numpy().tolist() == [
        ["b", "ILD", "R1", "R2", *half],
        ["b", "ILD", "R1", "R3", *whole],
        ["b", "ILD", "R2", "R3", *half],
    ]
    assert by_image(pairs).to_numpy().tolist() == [
        ["ILD", "b", *map(pytest.approx, [2 / 3] * 3 + [(1 / 3 + 1 / 2 + 1 / 3) / 3] * 3 + [5 / 6])]
    ]


def test_a_readers_labels_are_compared_with_the_others_of_the_same_image():
    outcomes = label_outcomes(ROWS, ["ILD", "Cardiomegaly"])
    # a: both say ILD. b: all three say ILD; R1 alone says Cardiomegaly: one guess, and two readers who missed it
    assert outcomes["hits"].to_numpy().tolist() == [[2, 0], [3, 0]]
    assert outcomes["guesses"].to_numpy().tolist() == [[2, 0], [3, 1]]
    assert outcomes["positives"].to_numpy().tolist() == [[2, 0], [3, 2]]


def test_readers_f1_equals_scikit_learns_on_the_stacked_labels(annotations):
    few = annotations[annotations["image_id"].isin(annotations["image_id"].unique()[:400])]
    outcomes = label_outcomes(few, FINDINGS)
    truth, guess = [], []
    for _, image in few.groupby("image_id"):
        given = {reader: set(rows["class_name"]) for reader, rows in image.groupby("rad_id")}
        for reader, own in given.items():
            others = set().union(*(labels for other, labels in given.items() if other != reader))
            truth.append([name in others for name in FINDINGS])
            guess.append([name in own for name in FINDINGS])
    expected = metrics.f1_score(np.array(truth), np.array(guess), average=None, zero_division=0)
    ones = np.ones((1, len(outcomes)), np.float32)
    found = f1_of_counts(outcomes["hits"], outcomes["positives"], outcomes["guesses"], ones)[0, :-1]
    assert found == pytest.approx(expected)
