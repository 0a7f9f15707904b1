import pytest
import torch
from captum.attr import InputXGradient, Saliency
from fixtures import CountedForwards, SmallNet, assert_same_maps
from torch import nn
from torchvision import models

from cxrlib.explain.class_gradients import NoGradient, class_gradients
from cxrlib.explain.gradients import input_gradients, input_x_gradient, smooth_gradient, vanilla_gradient
from cxrlib.model.networks import build_network

SAMPLES = 7


@pytest.fixture(scope="module")
def network():
    return SmallNet().eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(1)) * 2 + 1


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return build_network("resnet18", 4).eval()


def noisy_copies(image, level, seed):
    """One copy after the other, from one generator."""
    generator = torch.Generator().manual_seed(seed)
    scale = level * (float(image.max()) - float(image.min()))
    return torch.stack([image + scale * torch.randn(image.shape, generator=generator) for _ in range(SAMPLES)])


@pytest.mark.parametrize("size", [20, 64])
def test_gradients_equal_captums(network, resnet, images, size):
    if size == 64:
        network, images = resnet, torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    leaf = images.clone().requires_grad_()
    plain, times_input = vanilla_gradient(network, images), input_x_gradient(network, images)
    assert plain.shape == times_input.shape == (2, 4 if size == 64 else 3, size, size)
    for column in range(plain.shape[1]):
        expected = Saliency(network).attribute(leaf, target=column, abs=True).amax(1)
        assert_same_maps(plain[:, column], expected)
        expected = InputXGradient(network).attribute(leaf, target=column).sum(1).detach()
        assert_same_maps(times_input[:, column], expected)


@pytest.mark.parametrize("batch_size", [2, 32])
@pytest.mark.parametrize("average", ["absolute", "signed"])
def test_smoothgrad_is_the_mean_of_captums_maps_over_the_same_noise(network, images, batch_size, average):
    found = smooth_gradient(network, images, [2, 0], 0.1, SAMPLES, 5, average, batch_size=batch_size)
    for row, image in enumerate(images):
        copies = noisy_copies(image, 0.1, seed=5).requires_grad_()
        for position, column in enumerate([2, 0]):
            gradients = Saliency(network).attribute(copies, target=column, abs=average == "absolute")
            expected = gradients.amax(1).mean(0) if average == "absolute" else gradients.mean(0).abs().amax(0)
            assert_same_maps(found[row, position], expected)


def test_without_noise_smoothgrad_is_the_gradient(network, images):
    assert_same_maps(smooth_gradient(network, images, noise_level=0, samples=2), vanilla_gradient(network, images))


def test_classes_one_by_one_where_they_cannot_go_together(network, images, monkeypatch):
    monkeypatch.setattr("cxrlib.explain.gradients.ONE_BY_ONE", ())
    together, take, refused = vanilla_gradient(network, images), torch.autograd.grad, []

    def refuse(*arguments, is_grads_batched=False, **options):
        if is_grads_batched:
            refused.append(arguments)
            raise torch.OutOfMemoryError
        return take(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    assert_same_maps(vanilla_gradient(network, images), together)
    assert refused


@pytest.mark.parametrize(("rows", "expected"), [(None, [3]), (6, [3]), (4, [2, 1]), (1, [1, 1, 1])])
def test_only_so_many_images_and_classes_go_backward_at_once(network, images, rows, expected, monkeypatch):
    monkeypatch.setattr("cxrlib.explain.gradients.ONE_BY_ONE", ())
    sizes = []
    input_gradients(network, images, None, lambda gradients: sizes.append(len(gradients)) or gradients, rows)
    assert sizes == expected


def test_on_a_cpu_classes_go_backward_one_by_one(network, images):
    sizes = []
    input_gradients(network, images, None, lambda gradients: sizes.append(len(gradients)) or gradients)
    assert sizes == [1, 1, 1]


def test_the_network_and_the_images_are_given_back_as_they_were(images):
    network = nn.Sequential(nn.ReLU(inplace=True), SmallNet())
    network.train()
    network[1].first.weight.requires_grad_(False)
    state, before = {key: value.clone() for key, value in network.state_dict().items()}, images.clone()
    vanilla_gradient(network, images)
    with pytest.raises(IndexError):
        vanilla_gradient(network, images, [9])
    assert torch.equal(images, before) and not images.requires_grad
    assert all(module.training for module in network.modules())
    assert [parameter.requires_grad for parameter in network.parameters()].count(False) == 1
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_one_forward_pass_serves_all_classes(images):
    network = SmallNet(n_classes=9)
    with CountedForwards(network) as forwards, torch.no_grad():
        vanilla_gradient(network, images)
    assert [len(batch) for batch in forwards.batches] == [2]


class Cut(nn.Module):
    def forward(self, images):
        return images.detach().mean((2, 3))


class Two(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)), images


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Cut(), "cannot differentiate"),
        (Two(), "gives tuple, no logits"),
        (nn.Conv2d(3, 2, 1), r"gives \(2, 2, 20, 20\), no logits"),
    ],
)
def test_a_network_without_gradients_of_logits_is_refused(network, images, message):
    with pytest.raises(NoGradient, match=message):
        vanilla_gradient(network, images)


def test_gradients_of_chosen_logits_on_paper():
    at = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    logits = torch.stack([at.sum(1), at.prod(1), at[:, 0] ** 2], dim=1)
    assert class_gradients(logits, at, [2, 1]).tolist() == [[[2, 0], [2, 1]], [[6, 0], [4, 3]]]


def test_a_pretrained_kind_of_network_with_functional_relus(images):
    torch.manual_seed(0)
    network = models.squeezenet1_1(num_classes=2).eval()
    leaf = torch.randn(1, 3, 64, 64).requires_grad_()
    expected = Saliency(network).attribute(leaf, target=1).amax(1)
    assert_same_maps(vanilla_gradient(network, leaf.detach(), [1])[:, 0], expected)
