"""Pixels computed from those around them: against a dense solution and against Quantus's code."""

import numpy as np
import pytest
import torch

from cxrlib.evaluate.imputation import NOISE, inpainted, linear_imputation, noisy_linear

WEIGHTS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12


def dense(image, mask):
    """The same equations, written out pixel by pixel and solved as a full matrix."""
    height, width = mask.shape
    left, right = np.eye(mask.size), image.astype(float).ravel().copy()
    for row, column in zip(*np.nonzero(mask), strict=True):
        here, total = row * width + column, 0.0
        right[here], left[here, here] = 0.0, 0.0
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                if 0 <= row + down < height and 0 <= column + across < width:
                    weight = WEIGHTS[down + 1, across + 1]
                    left[here, (row + down) * width + column + across] -= weight
                    total += weight
        left[here, here] += total
    return np.linalg.solve(left, right).reshape(mask.shape)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (9, 9)).astype(np.uint8)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_every_masked_pixel_is_the_weighted_mean_of_its_neighbours(image, share):
    mask = np.random.default_rng(1).random(image.shape) < share
    found = linear_imputation(image, mask)
    np.testing.assert_allclose(found, dense(image, mask), atol=1e-9)
    assert (found[~mask] == image[~mask]).all()


def test_a_corner_and_an_edge_lose_the_weights_of_what_lies_outside(image):
    mask = np.zeros(image.shape, bool)
    mask[0, 0] = mask[4, 8] = True
    found, grey = linear_imputation(image, mask), image.astype(float)
    assert found[0, 0] == pytest.approx((2 * grey[0, 1] + 2 * grey[1, 0] + grey[1, 1]) / 5)
    edge = 2 * (grey[3, 8] + grey[5, 8] + grey[4, 7]) + grey[3, 7] + grey[5, 7]
    assert found[4, 8] == pytest.approx(edge / 8)


def test_it_equals_quantus(image):
    perturb_func = pytest.importorskip("quantus.functions.perturb_func")
    mask = np.zeros(image.shape, bool)
    mask[2:6, 0:4] = mask[8, 8] = True  # at edges and inside
    theirs = perturb_func.noisy_linear_imputation(image[None].astype(float), np.flatnonzero(mask), noise=0.0)
    np.testing.assert_allclose(linear_imputation(image, mask), theirs[0], atol=1e-9)


def test_nothing_known_is_refused_and_nothing_masked_changes_nothing(image):
    with pytest.raises(ValueError, match="no pixel is left"):
        linear_imputation(image, np.ones(image.shape, bool))
    assert (linear_imputation(image, np.zeros(image.shape, bool)) == image).all()


def test_the_noise_has_the_given_size_inside_of_the_mask_only():
    grey, mask = torch.full((1, 60, 60), 128, dtype=torch.uint8), torch.zeros(60, 60, dtype=torch.bool)
    mask[5:55, 5:55] = True
    found = noisy_linear(grey, mask, np.random.default_rng(0))
    assert (found.dtype, found.shape) == (torch.uint8, (1, 60, 60))
    assert (found[0][~mask] == 128).all()
    assert found[0][mask].float().std() == pytest.approx(255 * NOISE, rel=0.05)
    assert torch.equal(found, noisy_linear(grey, mask, np.random.default_rng(0)))
    white = torch.full((1, 60, 60), 255, dtype=torch.uint8)
    assert noisy_linear(white, mask, np.random.default_rng(0)).min() > 230, "what exceeds white is cut, not wrapped"


def test_in_painting_continues_a_slope_and_leaves_the_rest():
    slope = torch.arange(0, 240, 15, dtype=torch.uint8).expand(16, 16)[None].clone()
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[6:9, 6:9] = True
    broken = torch.where(mask, torch.tensor(255, dtype=torch.uint8), slope)
    found = inpainted(broken, mask)
    assert (found.dtype, found.shape) == (torch.uint8, (1, 16, 16))
    assert (found[0][~mask] == slope[0][~mask]).all()
    assert (found[0][mask].int() - slope[0][mask].int()).abs().max() <= 25
