"""A drawn box beside readers, a heatmap and chance: every number by hand."""

import numpy as np
import pytest

from cxrlib.evaluate.boxes import pairwise_iou
from cxrlib.evaluate.drawn_box import by_luck, expected_iou, mean_reader_iou, score_drawn

LEFT, RIGHT, ALL = (np.array([box]) for box in ([0, 0, 2, 4], [2, 0, 4, 4], [0, 0, 4, 4]))


def test_the_score_is_the_mean_over_readers_of_the_iou_of_areas():
    assert mean_reader_iou(LEFT, [LEFT, ALL, RIGHT]) == pytest.approx((1 + 8 / 16 + 0) / 3)
    assert mean_reader_iou(np.concatenate([LEFT, RIGHT]), [ALL]) == 1  # two boxes that cover the reader's one
    assert mean_reader_iou(np.array([[0.5, 0, 1.5, 4]]), [LEFT]) == pytest.approx(4 / 8)  # parts of pixels count
    assert mean_reader_iou(np.empty((0, 4)), [ALL]) == 0  # a heatmap of zeros has no box


def test_everybody_is_scored_beside_the_readers_and_a_reader_beside_the_others():
    readers = {"R8": LEFT, "R9": ALL, "R10": ALL}
    scores = score_drawn(np.array([0, 0, 2, 4]), readers, {"Grad-CAM": RIGHT}, 4)
    among = {"R8": 0.5, "R9": (0.5 + 1) / 2, "R10": (0.5 + 1) / 2}
    assert list(scores) == ["you", "R8", "R9", "R10", "radiologists", "Grad-CAM", "chance"]
    assert scores["you"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert {name: scores[name] for name in among} == pytest.approx(among)
    assert scores["radiologists"] == pytest.approx(2 / 3)
    assert scores["Grad-CAM"] == pytest.approx((0 + 0.5 + 0.5) / 3)
    # a box of 2 x 4 pixels has three places: with LEFT it shares 8, 4 and 0 of 16 - shared, with ALL always 8 of 16
    assert scores["chance"] == pytest.approx(((1 + 4 / 12 + 0) / 3 + 0.5 + 0.5) / 3)


def test_one_reader_has_nobody_to_be_compared_with():
    assert list(score_drawn(np.array([0, 0, 1, 1]), {"R8": ALL}, {}, 4)) == ["you", "chance"]


def test_chance_is_the_mean_over_all_places():
    boxes, size = np.array([[1, 0, 4, 3], [0, 4, 2, 6]]), 7
    for width, height in [(1, 1), (2, 3), (7, 1), (7, 7)]:
        places = [(x, y, x + width, y + height) for x in range(size - width + 1) for y in range(size - height + 1)]
        one_by_one = [mean_reader_iou(np.array([place]), [boxes]) for place in places]
        assert expected_iou(width, height, boxes, size) == pytest.approx(np.mean(one_by_one))
    single = pairwise_iou(np.array([[0, 0, 7, 7]]), boxes[:1]).item()
    assert expected_iou(7, 7, boxes[:1], size) == pytest.approx(single)  # one place only


def test_a_drawn_box_thinner_than_a_pixel_has_a_chance_too():
    assert score_drawn(np.array([1.0, 1.0, 1.2, 1.3]), {"R8": ALL}, {}, 4)["chance"] == pytest.approx(1 / 16)


def test_luck_is_the_sign_test():
    assert by_luck([1] * 10, [0] * 10) == pytest.approx(2 / 1024)
    assert by_luck([1] * 9 + [0], [0] * 9 + [1]) == pytest.approx(2 * 11 / 1024)
    assert by_luck([1, 0], [0, 1]) == 1
    assert by_luck([0.5] * 3, [0.5] * 3) == 1  # equal scores decide nothing
    assert by_luck([1, 1, 1, 1, 0.5], [0, 0, 0, 0, 0.5]) == pytest.approx(2 / 16)
