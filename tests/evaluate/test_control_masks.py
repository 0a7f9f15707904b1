"""Controls of a mask: as many pixels, chosen by less."""

import pandas as pd
import pytest
import torch

from cxrlib.evaluate.control_masks import first_pixels, mean_heatmaps, moved_region, random_ranking, ranked
from cxrlib.explain.explanations import Explanations

SIZE = 16


@pytest.fixture(scope="module")
def mask():
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[2:5, 3:11] = mask[5:9, 3:6] = True  # an L
    return mask


@pytest.mark.parametrize(("down", "right"), [(0, 0), (15, 3), (7, 12)])
def test_a_moved_region_is_the_mirrored_mask_with_as_many_pixels(mask, down, right):
    moved = moved_region(mask, down, right)
    assert moved.sum() == mask.sum()
    for row, column in mask.nonzero().tolist():
        assert moved[(row + down) % SIZE, (SIZE - 1 - column + right) % SIZE]


def test_several_masks_move_alike(mask):
    masks = torch.stack([mask, ~mask])
    assert torch.equal(moved_region(masks, 3, 4)[1], ~moved_region(mask, 3, 4))


def test_random_pixels_are_drawn_everywhere_without_repetition_and_again_with_the_same_seed():
    order = random_ranking(SIZE * SIZE, seed=1)
    assert torch.equal(order, random_ranking(SIZE * SIZE, seed=1))
    assert not torch.equal(order, random_ranking(SIZE * SIZE, seed=2))
    few, many = first_pixels(order, [20, 100], SIZE)
    assert (few.sum(), many.sum()) == (20, 100)
    assert (few & ~many).sum() == 0, "a larger mask holds the smaller one"
    assert many.any(1).all() or many.any(0).all(), "100 of 256 random pixels touch every row or column"


def test_equal_values_are_ranked_in_the_random_order_and_others_by_value():
    order = random_ranking(9, seed=0)
    assert torch.equal(ranked(torch.ones(3, 3), order), order)
    values = torch.tensor([[5.0, 1.0, 9.0], [0.0, 0.0, 0.0], [7.0, 3.0, 2.0]])
    ranking = ranked(values, order).tolist()
    assert ranking[:6] == [2, 6, 0, 7, 8, 1]
    assert ranking[6:] == [pixel for pixel in order.tolist() if pixel in (3, 4, 5)]


def test_a_ranking_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="needs 3 pixels and the ranking has 2"):
        first_pixels(torch.tensor([0, 3]), [1, 3], 2)
    assert first_pixels(torch.tensor([0, 3]), [], 2).shape == (0, 2, 2)


def test_a_mean_heatmap_is_over_the_studies_that_have_the_class():
    maps = torch.tensor([[[[2.0, 4.0]], [[1.0, 1.0]]], [[[3.0, 0.0]], [[-2.0, 1.0]]], [[[0.0, 0.0]], [[5.0, 5.0]]]])
    explained = Explanations(pd.DataFrame(0.9, list("abc"), ["Mass", "Nodule"]), maps, 2, "")
    found = mean_heatmaps(explained, torch.tensor([[1, 0], [1, 0], [0, 0]]))
    assert found[0].tolist() == [[0.75, 0.5]]
    assert found[1].isnan().all(), "no study has the class"
    only_zeros = mean_heatmaps(explained, torch.tensor([[0, 1], [0, 0], [1, 1]]))
    assert only_zeros[0].tolist() == [[0.0, 0.0]]
    assert only_zeros[1].tolist() == [[1.0, 1.0]]
    signed = mean_heatmaps(explained, torch.tensor([[0, 0], [0, 1], [0, 0]]))
    assert signed[1].tolist() == [[-1.0, 0.5]], "what speaks against a class counts by its size"
