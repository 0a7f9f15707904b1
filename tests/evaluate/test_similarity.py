"""Similarities of maps: beside scikit-image and scipy, and what maps without a pattern give."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from cxrlib.evaluate.similarity import MEASURES, hog, rank_correlation, scaled, similarities, ssim


@pytest.fixture
def pairs():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(3, 50, 50, generator=generator)
    return first, 0.6 * first + torch.randn(3, 50, 50, generator=generator)


def test_ssim_is_that_of_scikit_image(pairs):
    metrics = pytest.importorskip("skimage.metrics")
    first, second = map(scaled, pairs)
    expected = [
        metrics.structural_similarity(a.numpy().astype(float), b.numpy().astype(float), win_size=5, data_range=2)
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(ssim(first, second), expected, atol=1e-7)


@pytest.mark.parametrize("size", [50, 72])
def test_hog_is_that_of_scikit_image(size):
    feature = pytest.importorskip("skimage.feature")
    one = torch.rand(1, size, size, generator=torch.Generator().manual_seed(1)).double()
    np.testing.assert_allclose(hog(one)[0], feature.hog(one[0].numpy(), pixels_per_cell=(16, 16)), atol=1e-6)


def test_small_maps_have_smaller_cells():
    assert hog(torch.rand(2, 32, 32)).shape == (2, 81)


def test_the_rank_correlation_is_scipy_s_for_every_pair(pairs):
    found = rank_correlation(*pairs)
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(*pairs, strict=True)]
    assert found.tolist() == pytest.approx(expected)


def test_maps_of_few_cells_are_compared_in_pixels():
    maps = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(2))
    found = similarities(maps[:1], maps[1:], size=60)
    assert found.keys() == set(MEASURES)
    large = torch.nn.functional.interpolate(maps[None], (60, 60), mode="bilinear")[0]
    assert found["rank correlation", "raw"].item() == pytest.approx(
        spearmanr(large[0].flatten(), large[1].flatten()).statistic
    )
    assert found["hog", "raw"].item() == pytest.approx(pearsonr(*hog(scaled(large))).statistic)


def test_the_sign_counts_in_raw_maps_only():
    one = torch.randn(1, 48, 48, generator=torch.Generator().manual_seed(3))
    found = similarities(one, -one, size=48)
    assert found["ssim", "absolute"].item() == pytest.approx(1) == found["hog", "absolute"].item()
    assert found["ssim", "raw"].item() < 0.9 and found["rank correlation", "raw"].item() == pytest.approx(-1)


def test_a_constant_map_has_no_similarity_and_takes_none_from_its_neighbour():
    maps = torch.stack([torch.zeros(4, 4), torch.rand(4, 4), torch.full((4, 4), torch.nan)])
    for values in similarities(maps, maps, size=48).values():
        assert values.isnan().tolist() == [True, False, True] and values[1].item() == pytest.approx(1)
    assert all(values.isnan().all() for values in similarities(maps[:1], maps[1:2], size=48).values())
