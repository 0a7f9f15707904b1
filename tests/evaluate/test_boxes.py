import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from torchvision.ops import box_iou

from cxrlib.evaluate.boxes import (
    all_pairs_iou,
    areas,
    best_match_iou,
    boxes_from_mask,
    mask_iou,
    mask_of_boxes,
    pairwise_iobb,
    pairwise_iou,
    resize_mask,
    union_iou,
    with_union,
)

# corner and sides, whole or broken numbers, far apart or overlapping
corners_and_sides = st.tuples(*[st.floats(0, 60)] * 2, *[st.floats(0.5, 60)] * 2)
boxes = st.lists(corners_and_sides, min_size=1, max_size=5).map(
    lambda rows: np.array([(x, y, x + width, y + height) for x, y, width, height in rows])
)

FIRST, SECOND = np.array([[0.0, 0, 4, 4]]), np.array([[2.0, 1, 6, 4]])
"""Areas 16 and 12, intersection 2 x 3 = 6, union 22."""


@given(first=boxes, second=boxes)
def test_iou_equals_torchvisions_for_any_boxes(first, second):
    found = pairwise_iou(first, second)
    np.testing.assert_allclose(found, box_iou(torch.from_numpy(first), torch.from_numpy(second)), atol=1e-12)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    np.testing.assert_array_equal(found, pairwise_iou(second, first).T)
    np.testing.assert_allclose(np.diag(pairwise_iou(first, first)), 1)
    by_sum = pairwise_iou(first, second, "sum")
    assert by_sum.max() <= 0.5 + 1e-12
    np.testing.assert_allclose(by_sum, found / (1 + found), atol=1e-12)


def test_two_boxes_by_hand():
    assert areas(np.vstack([FIRST, SECOND])).tolist() == [16, 12]
    assert pairwise_iou(FIRST, SECOND).item() == pytest.approx(6 / 22)
    assert pairwise_iou(FIRST, SECOND, "sum").item() == pytest.approx(6 / 28)
    assert pairwise_iou(FIRST, [[4.0, 0, 8, 4]]).item() == 0  # touching edges


def test_all_pairs_and_best_match_by_hand():
    predicted = np.vstack([FIRST, [[20, 20, 22, 22]]])
    true = np.vstack([FIRST, SECOND])
    # IoU: first row 1 and 6/22, second row 0 and 0
    assert all_pairs_iou(predicted, true) == pytest.approx((1 + 6 / 22) / 4)
    assert best_match_iou(predicted, true) == pytest.approx((1 + 6 / 22) / 2)
    assert best_match_iou(true, predicted) == pytest.approx((1 + 0) / 2)
    assert all_pairs_iou(predicted, true, "sum") == pytest.approx((0.5 + 6 / 28) / 4)
    assert best_match_iou(predicted, true, "sum") == pytest.approx((0.5 + 6 / 28) / 2)


@pytest.mark.parametrize("score", [all_pairs_iou, best_match_iou])
def test_nothing_predicted_scores_zero_and_nothing_true_is_refused(score):
    assert score(np.empty((0, 4)), FIRST) == 0
    with pytest.raises(ValueError, match="at least one true box"):
        score(FIRST, np.empty((0, 4)))


@pytest.mark.parametrize("wrong", [[4, 0, 0, 4], [0, 4, 4, 0], [1, 1, 1, 4]])
def test_inverted_and_empty_boxes_are_refused(wrong):
    for pair in ((FIRST, [wrong]), ([wrong], FIRST)):
        with pytest.raises(ValueError, match="x_min < x_max"):
            pairwise_iou(*pair)


def test_iobb_divides_by_the_predicted_box():
    assert pairwise_iobb(FIRST, SECOND).item() == pytest.approx(6 / 16)
    assert pairwise_iobb(SECOND, FIRST).item() == pytest.approx(6 / 12)


whole_boxes = st.lists(st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2), min_size=1, max_size=4).map(
    lambda rows: np.array([(x, y, x + width, y + height) for x, y, width, height in rows], float)
)


@given(first=whole_boxes, second=whole_boxes)
def test_the_iou_of_covered_areas_equals_the_iou_of_drawn_masks(first, second):
    masks = [mask_of_boxes(boxes, 40) for boxes in (first, second)]
    assert union_iou(first, second) == pytest.approx(mask_iou(*masks))
    by_sum = mask_iou(*masks, "sum")
    assert by_sum == pytest.approx(np.sum(masks[0] & masks[1]) / (np.sum(masks[0]) + np.sum(masks[1])))


def test_columns_are_named_by_their_union():
    assert with_union("mask_iou", "sum") == "mask_iou_sum" and with_union("mask_iou", "areas") == "mask_iou"


def test_a_box_covers_the_pixels_whose_centres_it_holds_but_at_least_one():
    assert mask_of_boxes(np.array([[1.6, 0, 2.4, 4]]), 4).nonzero()[1].tolist() == [2] * 4
    assert mask_of_boxes(np.array([[3.6, 3.6, 4, 4]]), 4).sum() == 1
    assert mask_of_boxes(np.array([[0.4, 1.6, 2.5, 3.0]]), 4).nonzero()[1].tolist() == [0, 1]
    assert mask_of_boxes(np.array([[0.4, 1.6, 2.5, 3.0]]), 4).nonzero()[0].tolist() == [2, 2]
    assert mask_of_boxes(np.array([[-5, -5, 99, 99]]), 4).all()


def test_mask_iou_of_nothing_is_zero_and_without_truth_refused():
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert mask_iou(empty, full) == 0
    with pytest.raises(ValueError, match="at least one true box"):
        mask_iou(full, empty)


def test_a_resized_mask_keeps_its_place_and_its_boxes_surround_it():
    mask = np.zeros((10, 10), bool)
    mask[2:5, 3:9] = True
    (box,) = boxes_from_mask(mask, 25)
    rows, columns = resize_mask(mask, 25).nonzero()
    inner = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert abs(inner - np.array([3, 2, 9, 5]) * 2.5).max() <= 0.5  # to the nearest pixel
    assert (box[:2] < inner[:2]).all() and (box[2:] > inner[2:]).all()


def regions(mask: np.ndarray) -> list[tuple]:
    """Boxes of the 8-connected regions, holes filled, from SciPy."""
    labelled, _ = ndimage.label(ndimage.binary_fill_holes(mask), structure=np.ones((3, 3)))
    return sorted((x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labelled))


@given(mask=arrays(bool, (14, 14)))
def test_boxes_surround_the_regions_of_any_mask(mask):
    found = boxes_from_mask(mask, 14)
    assert found.dtype == np.float64
    assert found.shape[1:] == (4,)
    assert sorted(map(tuple, found.tolist())) == regions(mask)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([], []),
        ([(3, 2)], [(2, 3, 3, 4)]),
        ([(3, 2), (4, 3)], [(2, 3, 4, 5)]),  # diagonal neighbours are one region
        ([(3, 2), (3, 4)], [(2, 3, 3, 4), (4, 3, 5, 4)]),
    ],
)
def test_small_masks_by_hand(pixels, expected):
    mask = np.zeros((10, 10), bool)
    for row, column in pixels:
        mask[row, column] = True
    assert sorted(map(tuple, boxes_from_mask(mask, 10).tolist())) == expected


def test_from_224_to_512_pixels_by_hand():
    """Bilinear resizing puts pixel j at (j + 0.5) * 224 / 512 - 0.5; it is lit strictly between x_min - 1 and x_max.

    Columns 10 to 19: 0.4375 j - 0.28125 in (9, 20) means j = 22 to 46. Rows 100 to 139: in (99, 140), j = 227 to 320.
    """
    mask = np.zeros((224, 224), bool)
    mask[100:140, 10:20] = True
    assert boxes_from_mask(mask, 512).tolist() == [[22, 227, 47, 321]]
