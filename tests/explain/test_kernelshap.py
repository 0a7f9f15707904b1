from itertools import combinations
from math import comb

import pytest
import torch
from captum.attr import KernelShap
from fixtures import CountedForwards, SmallNet
from torch import nn

from cxrlib.explain.kernelshap import coalitions, enumerated, kernelshap
from cxrlib.explain.superpixels import grid_superpixels

SIZE = (20, 26)


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)) + 1


def brute_force(network, image, labels, fill):
    """Shapley values from their definition: the mean gain of a superpixel over all coalitions of the others."""
    count = int(labels.max()) + 1

    def value(players):
        present = torch.isin(labels, torch.tensor(sorted(players), dtype=torch.int64))
        with torch.no_grad():
            return network(torch.where(present, image, fill)[None])[0].double()

    values = []
    for player in range(count):
        others = [other for other in range(count) if other != player]
        total = 0
        for size in range(count):
            for players in combinations(others, size):
                gain = value({*players, player}) - value(set(players))
                total = total + gain / (count * comb(count - 1, size))
        values.append(total)
    return torch.stack(values)


@pytest.mark.parametrize("cells", [1, 2])
def test_all_coalitions_give_the_shapley_values(images, cells):
    network, labels = SmallNet().eval(), grid_superpixels(SIZE, cells)
    found = kernelshap(network, images, [2, 0], cells=cells)
    for image, one in zip(images, found, strict=True):
        values = brute_force(network, image, labels, image.mean((1, 2), keepdim=True))
        torch.testing.assert_close(one, values.T[[2, 0]].float()[:, labels], atol=1e-5, rtol=1e-4)


def test_superpixels_of_any_form_and_number(images):
    network = SmallNet().eval()
    generator = torch.Generator().manual_seed(0)
    own = torch.stack([torch.randint(0, count, SIZE, generator=generator) for count in (5, 3)])
    found = kernelshap(network, images, superpixels=own, fill=0.0)
    for image, labels, one in zip(images, own, found, strict=True):
        values = brute_force(network, image, labels, torch.zeros(3, 1, 1))
        torch.testing.assert_close(one, values.T.float()[:, labels], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cells", [3, 7])
def test_the_values_of_an_additive_model_are_exact(cells):
    """With all 512 coalitions of 9 superpixels, and with 1000 of those of 49."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 14 * 14, 2))
    image = torch.randn(1, 3, 14, 14, generator=torch.Generator().manual_seed(1))
    products = (network[1].weight.detach().view(2, 3, 14, 14) * (image - 0.5)).sum(1)
    labels = grid_superpixels((14, 14), cells)
    sums = torch.stack([products[:, labels == label].sum(1) for label in range(cells**2)], dim=1)
    torch.testing.assert_close(kernelshap(network, image, cells=cells, fill=0.5)[0], sums[:, labels])


def test_drawn_coalitions_come_near_the_exact_values_and_add_up_exactly(images):
    network, labels = SmallNet().eval(), grid_superpixels(SIZE, 3)
    exact = kernelshap(network, images[:1], cells=3)[0]
    first = [int((labels.flatten() == label).nonzero()[0]) for label in range(9)]
    errors = []
    for samples in (40, 500):
        drawn = torch.stack([kernelshap(network, images[:1], None, None, 3, samples, None, seed) for seed in range(8)])
        sums = drawn.flatten(-2)[..., first].sum(-1)
        torch.testing.assert_close(sums, exact.flatten(1)[:, first].sum(1).expand_as(sums))
        errors.append(float((drawn - exact).square().mean().sqrt()))
    assert errors[1] < 0.5 * errors[0] and errors[1] < 0.05 * float(exact.std())


def test_captum_with_very_many_samples_comes_to_the_same(images):
    network, image, labels = SmallNet().eval(), images[:1], grid_superpixels(SIZE, 2)
    fill = image.mean((2, 3), keepdim=True).expand_as(image)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        oracle = KernelShap(network)
        expected = oracle.attribute(image, fill, 1, feature_mask=labels, n_samples=2000, perturbations_per_eval=100)
    found = kernelshap(network, image, [1], cells=2)[0, 0]
    torch.testing.assert_close(found, expected[0, 0], atol=0.05 * float(found.abs().max()), rtol=0)


def test_each_of_few_coalitions_passes_once(images):
    with CountedForwards(network := SmallNet()) as forwards:
        kernelshap(network, images[:1], cells=2, samples=16)
    assert len(forwards.images.flatten(1).unique(dim=0)) == len(forwards.images) == 16


def test_sizes_are_drawn_with_the_weight_of_all_their_coalitions():
    present = coalitions(40_002, seed=0, superpixels=20)
    assert not present[0].any() and present[1].all()
    drawn = present[2:]
    assert torch.equal(drawn[::2], ~drawn[1::2])
    sizes = torch.bincount(drawn.sum(1), minlength=21)[1:20] / len(drawn)
    weights = torch.tensor([1 / (size * (20 - size)) for size in range(1, 20)])
    torch.testing.assert_close(sizes, weights / weights.sum(), atol=0.01, rtol=0)
    torch.testing.assert_close(drawn.float().mean(0), torch.full((20,), 0.5))


def test_how_many_superpixels_are_few():
    assert enumerated(512, 9) and not enumerated(511, 9) and not enumerated(10**6, 200)


@pytest.mark.parametrize("samples", [2, 3, 30, 96])
def test_too_few_samples_are_refused(images, samples):
    with pytest.raises(ValueError, match=f"{samples} samples do not determine the values of 49 superpixels"):
        kernelshap(SmallNet(), images, samples=samples)


def test_a_single_sample_is_refused(images):
    with pytest.raises(ValueError, match="samples=1 must be at least 2"):
        kernelshap(SmallNet(), images, cells=1, samples=1)
