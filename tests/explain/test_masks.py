import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cxrlib.explain.masks import top_pixels, top_pixels_of

COUNTS = {0.01: 502, 0.02: 1004, 0.03: 1505, 0.05: 2509, 0.08: 4014, 0.1: 5018, 0.2: 10035, 0.5: 25088}
"""Of 224 x 224 = 50,176 pixels."""

# few distinct values, zero among them: ties everywhere
values = st.sampled_from([0, 0.1, 0.5, 1])
heatmaps = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=values)


def numpy_mask(heatmap: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest values, ties in reading order, zeros never."""
    mask = np.zeros(heatmap.size, bool)
    by_rank = sorted(range(heatmap.size), key=lambda position: (-heatmap.flat[position], position))
    mask[by_rank[:count]] = True
    return mask.reshape(heatmap.shape) & (heatmap > 0)


@given(heatmap=heatmaps, share=st.floats(0.005, 0.995))
def test_any_heatmap_gives_the_exact_count_by_rank(heatmap, share):
    wanted = round(share * heatmap.size)
    mask = top_pixels(torch.from_numpy(heatmap), share).numpy()
    assert mask.dtype == bool
    assert mask.sum() == min(wanted, np.count_nonzero(heatmap))
    np.testing.assert_array_equal(mask, numpy_mask(heatmap, wanted))


@pytest.mark.parametrize(("share", "count"), COUNTS.items())
def test_counts_at_the_size_of_the_thesis(share, count):
    heatmap = torch.rand(224, 224, generator=torch.Generator().manual_seed(0)) + 0.1
    assert top_pixels(heatmap, share).sum() == count


def test_halves_go_to_the_even_count_and_ties_to_the_earlier_pixel():
    assert top_pixels(torch.ones(2, 5), 0.25).tolist() == [[True, True, False, False, False], [False] * 5]
    assert top_pixels(torch.ones(2, 5), 0.35).sum() == 4


def test_several_shares_and_leading_dimensions_at_once():
    maps = torch.randint(0, 5, (2, 3, 6, 7), generator=torch.Generator().manual_seed(0)).float()
    masks = top_pixels_of(maps, [0.1, 0.4])
    assert masks.shape == (2, 2, 3, 6, 7)
    for index in np.ndindex(2, 3):
        for number, share in enumerate([0.1, 0.4]):
            np.testing.assert_array_equal(masks[number][index], numpy_mask(maps[index].numpy(), round(share * 42)))


def test_pixels_that_are_no_numbers_are_never_important():
    values = [float("nan"), float("inf"), 3.0, 1.0, 2.0, float("-inf"), 0.0, float("nan")]
    mask = top_pixels(torch.tensor(values).reshape(2, 4), 0.25)
    assert mask.tolist() == [[False, False, True, False], [True, False, False, False]]
    assert not top_pixels(torch.full((4, 4), float("nan")), 0.5).any()
