"""FROC by hand: two studies, three marks, two readers' boxes."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from peaks import peak_of

from cxrlib.data.annotations import union_labels
from cxrlib.evaluate.froc import heights, marks_and_targets, sensitivity_samples
from cxrlib.explain.explanations import Explanations

MARKS = pd.DataFrame(
    {"image_id": ["a", "a", "b", "b"], "score": [0.9, 0.6, 0.8, 0.6], "iou": [False, False, True, True]}
)
TARGETS = pd.DataFrame({"image_id": ["a", "a", "b"], "iou": [0.9, 0.6, -np.inf]})
ONCE = pd.DataFrame(1.0, [0], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("rate", "sensitivity", "reached"),
    [(0.0, 1 / 3, 0.0), (0.34, 1 / 3, 1 / 3), (0.6, 1 / 3, 1 / 3), (2 / 3, 2 / 3, 2 / 3), (9.0, 2 / 3, 2 / 3)],
)
def test_marks_of_one_score_are_kept_together(rate, sensitivity, reached):
    """At 0.6 there is a true and a false mark: both or none. Three studies, one of them without any mark."""
    found, false = sensitivity_samples(MARKS, TARGETS, "iou", (rate,), ONCE)
    assert found[0, 0] == pytest.approx(sensitivity) and false[0, 0] == pytest.approx(reached)


def test_a_resample_counts_a_study_as_often_as_it_is_drawn():
    """Study b twice and a once: each of the two false marks of b makes 2 false ones in 3 studies."""
    drawn = pd.DataFrame([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]], columns=["a", "b", "c"])
    found, false = sensitivity_samples(MARKS, TARGETS, "iou", (0.5, 1.0, 1.4), drawn)
    assert found[0].tolist() == [0.25, 0.25, 0.5] and false[0].tolist() == pytest.approx([0, 2 / 3, 4 / 3])
    assert np.isnan(found[1]).all()  # no target is drawn


def test_without_a_mark_nothing_is_found():
    found, false = sensitivity_samples(MARKS[:0], TARGETS, "iou", (1.0,), ONCE)
    assert found.tolist() == [[0.0]] and false.tolist() == [[0.0]]
    assert np.isnan(sensitivity_samples(MARKS, TARGETS[:0], "iou", (1.0,), ONCE)[0]).all()


def test_marks_are_boxes_of_the_map_with_their_height():
    """The map has two areas: the higher one is the box of ILD, whose upper half a second reader boxed; the other is
    false, and both are false where the label is not given."""
    annotations = annotation_rows(("a", "ILD", "R1", 0, 0, 4, 4), ("a", "ILD", "R2", 0, 0, 4, 1))
    cohort = small_cohort(["ILD"], annotations, pd.DataFrame({"ILD": [1, 0]}, ["a", "b"]), size=8)
    maps = torch.zeros(2, 1, 8, 8)
    maps[..., :4, :4], maps[..., 6:, 6:] = 4, 1
    index = pd.Index(["a", "b"], name="image_id")
    explained = Explanations(pd.DataFrame({"ILD": [0.8, 0.5]}, index), maps, 8, identity="")
    marks, targets = marks_and_targets(cohort, explained, {"ILD": 0.5})
    marks = marks.sort_values(["image_id", "score"], ascending=[True, False])
    assert marks["score"].tolist() == pytest.approx([0.8, 0.2, 0.5, 0.125])
    assert marks["iou"].tolist() == marks["iobb"].tolist() == [False, True, True, True]  # whether it is false
    assert targets["iou"].tolist() == pytest.approx([0.8, -np.inf])  # the second box has an IoU of a quarter
    assert targets["image_id"].tolist() == ["a", "a"]
    empty = marks_and_targets(cohort, explained.with_maps(0 * maps), {"ILD": 0.5})
    assert empty[0].empty and len(empty[1]) == 2


def test_the_height_is_looked_for_in_every_pixel_that_a_box_touches():
    heatmap = np.arange(16.0).reshape(4, 4)
    assert heights(heatmap, np.array([[0, 0, 2, 2], [1.5, 0, 2.5, 3.1]])).tolist() == [5.0, 14.0]
    assert heights(heatmap, np.empty((0, 4))).tolist() == []


def test_the_label_decides_whether_a_box_is_looked_for():
    annotations = annotation_rows(("a", "ILD", "R1", 0, 0, 4, 4))
    assert union_labels(annotations, ["ILD"]).loc["a", "ILD"] == 1
    cohort = small_cohort(["ILD"], annotations, pd.DataFrame({"ILD": [0]}, ["a"]), size=8)
    index = pd.Index(["a"], name="image_id")
    explained = Explanations(pd.DataFrame({"ILD": [0.8]}, index), torch.ones(1, 1, 2, 2), 8, identity="")
    assert marks_and_targets(cohort, explained, {"ILD": 0.5})[1].empty


def test_resamples_are_counted_one_after_the_other():
    marks, targets = MARKS.assign(image_id="a"), TARGETS.assign(image_id="a")
    few, many = (pd.DataFrame(np.ones((rows, 2000), np.float32)).rename(columns={0: "a"}) for rows in (10, 80))
    peaks = [peak_of(sensitivity_samples, marks, targets, "iou", (1.0,), drawn) for drawn in (few, many)]
    assert peaks[1] < 1.5 * peaks[0]
