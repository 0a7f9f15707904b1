"""Boxes on the cells of a map: by hand, and against a count of small pixels."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from peaks import peak_of

from cxrlib.evaluate.cells import boxed_rows, boxed_studies, cell_cover, study_covers, usual_place
from cxrlib.explain.explanations import Explanations

CLASSES = ["Cardiomegaly", "ILD", "No finding"]


@pytest.fixture
def cohort():
    annotations = annotation_rows(
        ("a", "Cardiomegaly", "R1", 0, 0, 4, 4),
        ("a", "Cardiomegaly", "R2", 2, 0, 6, 4),
        ("b", "Cardiomegaly", "R1", 4, 4, 8, 8),
        ("b", "ILD", "R1"),  # seen, not boxed
        ("b", "Pneumothorax", "R1", 0, 0, 8, 8),  # not explained
        ("c", "ILD", "R1", 0, 0, 8, 4),
        ("d", "ILD", "R1", 0, 4, 8, 8),
        ("e", "Pneumothorax", "R1", 0, 0, 8, 8),
    )
    studies = pd.DataFrame({"split": ["train", "train", "test", "valid", "train"]}, list("abcde"))
    labels = pd.DataFrame(1, studies.index, CLASSES)
    return small_cohort(CLASSES, annotations, labels, studies, size=8)


def test_a_box_covers_parts_of_cells():
    """Cells of 2 x 2 pixels, of which each row loses half its height; a second box inside the first adds nothing."""
    expected = [[0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0, 0, 0]]
    assert cell_cover([[1, 1, 5, 3]], 6, 3, 3).tolist() == expected
    assert cell_cover([[1, 1, 5, 3], [1, 2, 5, 3]], 6, 3, 3).tolist() == expected


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (3, 7), (1, 1), (60, 60)])
def test_the_cover_is_the_count_of_small_pixels(rows, columns):
    """Boxes with corners at tenths of a pixel, beyond the frame too; the cells do not end where pixels do."""
    random, size, fine = np.random.default_rng(rows), 6, 10
    corners = random.integers(-10, 70, (6, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1) / fine
    small = np.zeros((size * fine * rows, size * fine * columns), bool)
    for x_min, y_min, x_max, y_max in np.round(boxes * fine).astype(int).clip(0, size * fine):
        small[y_min * rows : y_max * rows, x_min * columns : x_max * columns] = True
    counted = small.reshape(rows, size * fine, columns, size * fine).mean(axis=(1, 3))
    found = cell_cover(boxes, size, rows, columns)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, counted, atol=1e-6)


def test_no_box_and_a_box_beyond_the_frame_cover_nothing():
    for boxes in (np.empty((0, 4)), [[-5, 0, 0, 8]], [[8, 8, 9, 9]]):
        assert cell_cover(boxes, 8, 2, 2).tolist() == [[0, 0], [0, 0]]
    assert cell_cover([[-9, -9, 99, 99]], 8, 3, 3).tolist() == [[1] * 3] * 3


def test_each_study_and_class_has_its_own_readers_boxes(cohort):
    covers = study_covers(cohort, ["c", "a", "b"], CLASSES, 2, 2)
    assert covers[1, 0].tolist() == [[1, 0.5], [0, 0]]
    assert covers[2, 0].tolist() == [[0, 0], [0, 1]]
    assert covers[0, 1].tolist() == [[1, 1], [0, 0]]
    assert not covers[:, 2].any() and not covers[1:, 1].any() and not covers[0, 0].any()
    assert study_covers(cohort, [], CLASSES, 2, 2).shape == (0, 3, 2, 2)


def test_what_is_boxed_counts_once_for_each_study(cohort):
    assert boxed_studies(cohort, "train").to_dict() == {"Cardiomegaly": 2, "ILD": 0}
    assert boxed_studies(cohort, "valid").to_dict() == {"Cardiomegaly": 0, "ILD": 1}
    assert boxed_rows(cohort, ["b"], cohort.findings)["class_name"].tolist() == ["Cardiomegaly"]


@pytest.mark.parametrize("at_once", [1, 256])
def test_the_usual_place_is_the_mean_of_the_training_boxes(cohort, monkeypatch, at_once):
    monkeypatch.setattr("cxrlib.evaluate.cells.AT_ONCE", at_once)
    explanations = Explanations(pd.DataFrame(0.9, ["c", "d"], CLASSES), torch.rand(2, 3, 2, 2), 8, "")
    maps = usual_place(cohort, explanations).maps
    assert maps.shape == (2, 3, 2, 2) and torch.equal(maps[0], maps[1])
    assert maps[0, 0].tolist() == [[0.5, 0.25], [0, 0.5]]
    assert not maps[:, 1:].any()  # no training study has a box of ILD


def test_the_boxes_of_a_study_are_found_without_a_pass_over_all_rows():
    """Once the rows are sorted into studies, the row of a study costs as much beside 400,000 others as beside 1,000."""
    peaks, row = [], annotation_rows(("a", "ILD", "R1", 0, 0, 4, 4))
    for count in (1000, 400_000):
        others = row.loc[row.index.repeat(count)].assign(image_id="b")
        cohort = small_cohort(["ILD"], pd.concat([row, others], ignore_index=True), size=8)
        one = (cohort, ["a"], ["ILD"], 2, 2)
        assert study_covers(*one).tolist() == [[[[1, 0], [0, 0]]]] and len(cohort.boxes("a", "ILD")) == 1
        peaks.append([peak_of(study_covers, *one), peak_of(cohort.boxes, "a", "ILD")])
    assert (np.array(peaks[1]) < 1.5 * np.array(peaks[0])).all(), peaks
