import pytest
import torch
from captum.attr import GradientShap
from fixtures import SmallNet
from torch import nn

from cxrlib.explain.gradientshap import gradientshap

SIZE = (12, 16)


@pytest.fixture(scope="module")
def network():
    return SmallNet().eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)) + 1


@pytest.mark.parametrize("noise_level", [0.0, 0.2])
def test_the_mean_sample_by_sample(network, images, noise_level):
    found = gradientshap(network, images, [2, 0], samples=7, noise_level=noise_level, seed=5, batch_size=3)
    shares = torch.rand(7, generator=torch.Generator().manual_seed(5))
    for image, one in zip(images, found, strict=True):
        generator = torch.Generator().manual_seed(5)
        sigma = noise_level * float(image.max() - image.min())
        baselines = [image.amin((1, 2), keepdim=True), image.mean((1, 2), keepdim=True)]
        for place, column in enumerate([2, 0]):
            generator.manual_seed(5)
            total = 0
            for number in range(7):
                noisy = image + sigma * torch.randn(image.shape, generator=generator)
                baseline = baselines[number % 2]
                point = (shares[number] * noisy + (1 - shares[number]) * baseline).requires_grad_()
                (gradient,) = torch.autograd.grad(network(point[None])[0, column], point)
                total = total + ((noisy - baseline) * gradient).sum(0)
            torch.testing.assert_close(one[place], total / 7, atol=1e-6, rtol=1e-4)


def test_captum_with_very_many_samples_comes_to_the_same(network, images):
    image = images[:1]
    baselines = torch.cat([image.amin((2, 3), keepdim=True), image.mean((2, 3), keepdim=True)]).expand(2, 3, *SIZE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = GradientShap(network).attribute(image, baselines, n_samples=4000, target=1)[0].sum(0).detach()
    found = gradientshap(network, image, [1], samples=4000, batch_size=500)[0, 0]
    assert float((found - expected).norm()) < 0.05 * float(expected.norm())


def test_the_sum_of_a_map_is_the_difference_from_the_baselines(network, images):
    found = gradientshap(network, images, samples=4000, batch_size=500)
    with torch.no_grad():
        black = network(images.amin((2, 3), keepdim=True).expand_as(images))
        mean = network(images.mean((2, 3), keepdim=True).expand_as(images))
        expected = network(images) - (black + mean) / 2
    torch.testing.assert_close(found.sum((2, 3)), expected, atol=0.02 * float(expected.abs().max()), rtol=0)


def test_a_linear_model_is_exact_from_any_sample():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 2))
    image = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    weights = network[1].weight.detach().view(2, 3, 4, 4)
    found = gradientshap(network, image, samples=1, baselines=[0.5])
    torch.testing.assert_close(found[0], (weights * (image - 0.5)).sum(1))


def test_what_gives_no_map_is_refused(network, images):
    with pytest.raises(ValueError, match="no baseline 'grey'; choose black, mean or a number"):
        gradientshap(network, images, baselines=["grey"])
    with pytest.raises(ValueError, match="samples=0 and the number of baselines must be at least 1"):
        gradientshap(network, images, samples=0)
    with pytest.raises(ValueError, match="samples=50 and the number of baselines"):
        gradientshap(network, images, baselines=[])


def test_a_network_without_a_gradient_is_refused(images):
    class Rounded(nn.Module):
        def forward(self, inputs):
            return inputs.detach().mean((2, 3))

    with pytest.raises(ValueError, match="gradientshap: the network's logits have no gradient"):
        gradientshap(Rounded(), images)
