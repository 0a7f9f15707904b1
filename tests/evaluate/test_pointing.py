import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from cxrlib.data.annotations import union_labels
from cxrlib.evaluate.pointing import (
    average_precision,
    class_similarity,
    energy_inside,
    rank_correlations,
    score_pointing,
)
from cxrlib.explain.explanations import Explanations

SIZE = 20


@pytest.mark.parametrize("levels", [3, 10_000])
def test_average_precision_is_that_of_scikit_learn(levels):
    random = torch.Generator().manual_seed(levels)
    heatmap = torch.randint(-levels, levels, (15, 17), generator=random).float()
    mask = torch.rand(15, 17, generator=random) < 0.2
    expected = average_precision_score(mask.flatten().numpy(), heatmap.flatten().numpy())
    assert average_precision(heatmap, mask) == pytest.approx(expected, abs=1e-12)


def test_a_mask_without_pixels_and_a_map_without_numbers_have_no_average_precision():
    assert np.isnan(average_precision(torch.rand(3, 3), torch.zeros(3, 3, dtype=torch.bool)))
    unknown = torch.tensor([[float("nan"), 1.0]])
    assert np.isnan(average_precision(unknown, torch.tensor([[True, False]])))


def test_energy_counts_what_speaks_for_the_class():
    heatmap, mask = torch.tensor([[2.0, 6.0, -100.0]]), torch.tensor([[True, False, True]])
    assert energy_inside(heatmap, mask) == 0.25
    assert energy_inside(-heatmap.abs(), mask) == 0


def test_rank_correlations_are_those_of_scipy():
    maps = torch.randint(0, 9, (4, 3, 5), generator=torch.Generator().manual_seed(1)).float()
    expected = spearmanr(maps.flatten(1).numpy(), axis=1).statistic
    np.testing.assert_allclose(rank_correlations(maps).numpy(), expected, atol=1e-12)


def test_a_constant_map_correlates_with_nothing():
    maps = torch.stack([torch.arange(4.0), torch.ones(4), torch.arange(4.0)]).view(3, 2, 2)
    assert class_similarity(maps).nan_to_num(nan=9).tolist() == [1, 9, 1]


def test_cases_are_scored_in_the_frame_of_the_input():
    """A map of 2 x 2 cells whose lower right cell alone is lit; the box is the right half of the image."""
    annotations = annotation_rows(("a", "ILD", "R1", 10, 0, 20, 20), ("a", "Mass", "R1", 0, 0, 10, 20))
    labels = union_labels(annotations, ["ILD", "Mass"])
    cohort = small_cohort(["ILD", "Mass"], annotations, labels, size=SIZE)
    maps = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 2.0]]]])
    probabilities = pd.DataFrame({"ILD": [0.9], "Mass": [0.2]}, pd.Index(["a"], name="image_id"))
    explained = Explanations(probabilities, maps, input_size=2, identity="")
    cases = pd.DataFrame({"image_id": ["a", "a"], "class_name": ["ILD", "Mass"]})
    scores = score_pointing(cohort, cases, explained)
    assert scores["energy"].tolist() == [1, 0]
    assert scores["average_precision"].tolist() == pytest.approx([0.5 + 0.5 * 2 / 4, 0.5])
    assert scores["similarity"].tolist() == pytest.approx([1, 1])
