"""What a grid of cells allows: by hand, and the same numbers as a heatmap that goes through every step."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort

from cxrlib.data.annotations import BOX_COLUMNS, public_annotations_path, read_annotations, union_labels
from cxrlib.evaluate.cells import cell_cover
from cxrlib.evaluate.grid_ceiling import (
    FRAME,
    allowed_by_grids,
    allowed_scores,
    fraction_samples,
    oracle_maps,
    pooled,
    real_boxes,
    with_cause,
)
from cxrlib.evaluate.localisation import score_cases, score_maps
from cxrlib.evaluate.phantom import TwinCases, score_on_truth
from cxrlib.explain.explanations import Explanations

SHARES = [0.01, 0.05, 0.2]


def random_boxes(count: int) -> pd.DataFrame:
    """Boxes of one or two readers, as fractions of the frame; two of them touch its edge."""
    random = np.random.default_rng(4)
    corners = np.sort(random.random((2 * count, 2, 2)), axis=1)
    corners[:, 1] += 0.02
    boxes = pd.DataFrame(corners.reshape(-1, 4).clip(0, 1), columns=BOX_COLUMNS)
    boxes["x_min"] = boxes["x_min"].clip(upper=boxes["x_max"] - 0.01)
    boxes["y_min"] = boxes["y_min"].clip(upper=boxes["y_max"] - 0.01)
    ids = [f"image {row // 2 if row % 3 else row}" for row in range(len(boxes))]
    return boxes.assign(image_id=ids, class_name="Mass")


@pytest.mark.parametrize("grid", [3, 7, 28])
def test_the_short_way_gives_what_a_heatmap_would_get(grid):
    boxes = random_boxes(12)
    found = allowed_scores(boxes, grid, SHARES)
    annotations = boxes.assign(rad_id="R1", **(boxes[BOX_COLUMNS] * FRAME))
    cases = found.drop_duplicates("image_id")[["image_id", "class_name"]].reset_index(drop=True)
    covers = [
        cell_cover(rows[BOX_COLUMNS].to_numpy(), FRAME, grid, grid)
        for rows in (annotations[annotations["image_id"] == name] for name in cases["image_id"])
    ]
    cohort = small_cohort(["Mass"], annotations, size=FRAME)
    whole = score_maps(cohort, cases, torch.from_numpy(np.stack(covers)), FRAME, SHARES)
    assert len(found) == len(SHARES) * len(cases) > 30
    for name in ("all_pairs", "all_pairs_sum"):
        np.testing.assert_allclose(found[name], whole[name], atol=1e-12)


def test_a_finer_grid_allows_more_of_a_small_box_and_the_thesiss_grid_what_was_counted():
    annotations, _ = read_annotations(public_annotations_path())
    names = ["Cardiomegaly", "Pleural thickening"]
    real = real_boxes(annotations, names, 40)
    assert real.groupby("class_name")["image_id"].nunique().tolist() == [40, 40]
    found = allowed_by_grids(real, [5, 7, 14], [0.01, 0.05])
    best = found.groupby(["class_name", "grid", "share"])["all_pairs"].mean().groupby(["class_name", "grid"]).max()
    assert best["Cardiomegaly"].to_numpy() == pytest.approx([0.50, 0.69, 0.73], abs=0.06)
    assert best["Pleural thickening"].to_numpy() == pytest.approx([0.10, 0.15, 0.25], abs=0.06)


def test_an_oracle_map_of_as_many_cells_as_pixels_reaches_the_boxes():
    annotations = annotation_rows(("a", "ILD", "R1", 2, 2, 6, 6), ("b", "Mass", "R1", 0, 0, 4, 8))
    cohort = small_cohort(["ILD", "Mass"], annotations, union_labels(annotations, ["ILD", "Mass"]), size=8)
    probabilities = pd.DataFrame(0.9, pd.Index(["a", "b"], name="image_id"), ["ILD", "Mass"])
    cases = pd.DataFrame({"image_id": ["a", "b"], "class_name": ["ILD", "Mass"]})
    fine, coarse = (Explanations(probabilities, torch.rand(2, 2, n, n), 8, identity="") for n in (8, 1))
    scores = score_cases(cohort, oracle_maps(cohort, fine), cases, [0.25, 0.5])
    assert scores["all_pairs"].tolist() == [1.0, 1.0, 0.5, 1.0]  # all pixels of the first box, then of the second
    assert oracle_maps(cohort, coarse).maps.flatten().tolist() == [0.25, 0, 0, 0.5]


def test_a_fraction_divides_means_and_nothing_allowed_is_no_fraction():
    weights = pd.DataFrame({"a": [1.0, 2.0, 0.0], "b": [1.0, 0.0, 2.0]})
    found = fraction_samples(np.array([0.2, 0.1]), np.array([0.4, 0.0]), ["a", "b"], weights)
    assert found[:2] == pytest.approx([0.3 / 0.4, 0.5]) and np.isnan(found[2])


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (5, 5), (1, 1)])
def test_a_pooled_mask_is_the_cover_of_its_box(rows, columns):
    mask = torch.zeros(7, 7, dtype=torch.bool)
    mask[1:4, 2:6] = True
    np.testing.assert_allclose(pooled(mask, rows, columns), cell_cover([[2, 1, 6, 4]], 7, rows, columns), atol=1e-6)


def test_the_cause_in_cells_is_what_a_map_of_that_form_can_score():
    annotations = annotation_rows(("a", "ILD", "R1", 0, 0, 4, 4), ("b", "ILD", "R1", 0, 0, 4, 4))
    cohort = small_cohort(["ILD"], annotations, union_labels(annotations, ["ILD"]), size=8)
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    twins = images.clone()
    twins[:, :, :4, :4] = 100
    cases = TwinCases(pd.DataFrame({"image_id": ["b", "c"], "class_name": "ILD"}), images, twins)
    probabilities = pd.DataFrame({"ILD": [0.9, 0.9]}, pd.Index(["a", "b"], name="image_id"))
    coarse, fine = (Explanations(probabilities, torch.rand(2, 1, n, n), 8, identity="") for n in (2, 8))
    methods = {"CAM": {"test": coarse}, "other CAM": {"test": coarse}, "Gradient": {"test": fine}}
    found, control = with_cause(methods, dict.fromkeys(methods, "Random"), cases)
    assert list(found) == list(control) == [*methods, "Cause in 2 x 2 cells"]
    assert found["Cause in 2 x 2 cells"]["test"].maps.flatten().tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    scores = score_on_truth(cohort, cases.of(["b"]), found["Cause in 2 x 2 cells"]["test"])
    assert scores.set_index("against").loc["cause", ["hit", "average_precision"]].tolist() == [1.0, 1.0]


@pytest.mark.slow
def test_the_rows_do_not_depend_on_the_number_of_processes(monkeypatch):
    monkeypatch.setattr("cxrlib.evaluate.grid_ceiling.MANY", 1)
    box = {"class_name": ["Mass", "ILD"] * 20, "x_min": 0.1, "y_min": 0.2, "x_max": 0.5, "y_max": 0.6}
    boxes = pd.DataFrame({"image_id": [f"study {number:02}" for number in range(40)], **box})
    one, two, three = (allowed_by_grids(boxes, [2, 4], [0.1, 0.2], workers) for workers in (1, 2, 3))
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(one, three)
