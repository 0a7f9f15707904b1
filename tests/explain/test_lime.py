import math

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime
from fixtures import CountedForwards, SmallNet
from sklearn.linear_model import Ridge
from torch import nn

from cxrlib.explain.lime import lime, random_presence, ridge
from cxrlib.explain.superpixels import grid_superpixels

SIZE = (20, 26)


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)) + 1


def similarity(_original, _perturbed, present, **_):
    """LIME's kernel, with the cosine distance to a vector of ones."""
    share = float(present.float().mean())
    return math.exp(-((1 - math.sqrt(share)) ** 2) / (2 * 0.25**2))


@pytest.mark.parametrize("alpha", [0.1, 3.0])
def test_the_coefficients_of_captum_from_the_same_samples(images, alpha):
    network, labels = SmallNet().eval(), grid_superpixels(SIZE, 3)
    found = lime(network, images, cells=3, samples=60, alpha=alpha, seed=4)

    def replayed(_image, **_):
        yield from random_presence(60, 4, 9).long()[:, None]

    oracle = Lime(network, SkLearnRidge(alpha=alpha), similarity, replayed)
    for number, image in enumerate(images):
        for column in range(3):
            fill = image.mean((1, 2), keepdim=True).expand_as(image)[None]
            expected = oracle.attribute(image[None], fill, column, feature_mask=labels, n_samples=60)
            torch.testing.assert_close(found[number, column], expected[0, 0], atol=1e-5, rtol=1e-3)


def test_the_regression_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    present = random.integers(0, 2, (40, 6)).astype(float)
    logits = random.normal(size=(40, 2))
    weights = np.exp(-((1 - np.sqrt(present.mean(1))) ** 2) / (2 * 0.5**2))
    expected = Ridge(alpha=0.7).fit(present, logits, weights).coef_.T
    found = ridge(torch.from_numpy(present), torch.from_numpy(logits), kernel_width=0.5, alpha=0.7)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_without_a_ridge_a_linear_model_gives_the_sums_of_its_superpixels():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(64).reshape(8, 8) % 5 * 10
    products = (network[1].weight.detach().view(2, 3, 8, 8) * (image - 0.5)).sum(1)
    found = lime(network, image, superpixels=labels, samples=100, alpha=0.0, fill=0.5)[0]
    for label in range(0, 50, 10):
        of_label = products[:, labels == label].sum(1, keepdim=True)
        torch.testing.assert_close(found[:, labels == label], of_label.expand(-1, (labels == label).sum()))


def test_the_first_sample_is_the_image_itself(images):
    with CountedForwards(network := SmallNet()) as forwards:
        lime(network, images[:1], samples=20)
    assert torch.equal(forwards.images[0], images[0]) and len(forwards.images) == 20
    assert 0.4 < float(random_presence(1000, 0, 49).float().mean()) < 0.6


def test_a_single_sample_is_refused(images):
    with pytest.raises(ValueError, match="samples=1 must be at least 2"):
        lime(SmallNet(), images, samples=1)
