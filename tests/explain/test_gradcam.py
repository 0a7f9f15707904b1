import pytest
import torch
from captum.attr import LayerGradCam
from fixtures import CountedForwards, SmallNet
from torch import nn
from torchvision import models

from cxrlib.explain.batched import explain
from cxrlib.explain.gradcam import LayerError, channel_weights, gradcam, gradient_weights, weighted_sum
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network, normalise
from cxrlib.model.pooling import PooledNetwork, split_at_pooling

N_CLASSES = 4


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return build_network("resnet18", N_CLASSES).eval()


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", ["layer4", "layer3", "layer2.0.conv1", "layer3.0.bn1"])
def test_maps_equal_captums(resnet, inputs, layer):
    maps, logits = gradcam(resnet, inputs, layer)
    torch.testing.assert_close(logits, resnet(inputs).detach())
    oracle = LayerGradCam(resnet, resnet.get_submodule(layer))
    expected = [oracle.attribute(inputs, target=c, relu_attributions=True)[:, 0].detach() for c in range(N_CLASSES)]
    assert sum(bool(one.max() > 0) for one in expected) >= 2, "empty maps show nothing"
    for found, one in zip(maps.unbind(1), expected, strict=True):
        assert (found - one).abs().max() <= 1e-5 * one.max()


def trained(name: str) -> nn.Module:
    """A torchvision network as training leaves it: weights moved by a few steps, batch statistics of real sums."""
    torch.manual_seed(0)
    network = models.get_model(name, num_classes=N_CLASSES)
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    images, targets = torch.randn(8, 3, 64, 64), torch.randint(0, 2, (8, N_CLASSES)).float()
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(images), targets).backward()
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize("prepare", [lambda network, _: network, inference_copy])
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"),
        pytest.param("resnet50", "layer4", marks=pytest.mark.slow),
        pytest.param("resnet50", "layer4.2", marks=pytest.mark.slow),
        pytest.param("densenet121", "features", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", "features", marks=pytest.mark.slow),
    ],
)
def test_the_closed_form_equals_autograd_and_captum(inputs, name, layer, prepare):
    for network in (models.get_model(name, num_classes=N_CLASSES).eval(), trained(name)):
        prepared = prepare(network, layer)
        maps, logits = gradcam(prepared, inputs, layer)
        assert isinstance(split_at_pooling(network, layer), PooledNetwork)
        network.requires_grad_(False)
        activations, weights, expected_logits = gradient_weights(network, inputs, layer)
        by_autograd = weighted_sum(activations, weights)
        scale = by_autograd.max()
        assert scale > 0
        assert (maps - by_autograd).abs().max() <= 1e-5 * scale
        torch.testing.assert_close(logits, expected_logits, atol=1e-5 * float(expected_logits.abs().max()), rtol=1e-4)
        network.requires_grad_(True)
        oracle = LayerGradCam(network, network.get_submodule(layer))
        for column in range(N_CLASSES):
            by_captum = oracle.attribute(inputs, target=column, relu_attributions=True)[:, 0].detach()
            assert (maps[:, column] - by_captum).abs().max() <= 1e-5 * scale


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (build_network("resnet18", 3), "layer3"),
        (build_network("resnet18", 3), "layer4.1.conv2"),
        (build_network("resnet18", 3), "missing"),
        (models.vgg11(num_classes=3), "features"),
        (models.densenet121(num_classes=3), "features.denseblock4"),
    ],
)
def test_other_layers_and_heads_have_no_closed_form(network, layer):
    assert split_at_pooling(network, layer) is None


class TwoConvolutions(nn.Module):
    """first: x -> x (of the first input channel); second: x -> (x, 2x - 5); head: two hand-made sums."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 1, 1, bias=False), nn.Conv2d(1, 2, 1)
        self.head = nn.Linear(8, 2, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
            self.second.weight.copy_(torch.tensor([1.0, 2]).view(2, 1, 1, 1))
            self.second.bias.copy_(torch.tensor([0.0, -5]))
            # gradients of the logits at the second convolution, channel by channel, in reading order
            self.head.weight.copy_(torch.tensor([[1.0, 0, 0, 3, -2, -2, -2, -2], [0, 4, 0, 0, 4, 0, 0, 0]]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(inputs)).flatten(1))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # activations [[1, 2], [3, 4]] and [[-3, -1], [1, 3]]; mean gradients 1 and -2 (logit 0), 1 and 1 (logit 1)
        ("second", [[[7, 4], [1, 0]], [[0, 1], [4, 7]]]),
        # activations [[1, 2], [3, 4]]; gradients [-3, -4, -4, -1], mean -3, and [8, 4, 0, 0], mean 3
        ("first", [[[0, 0], [0, 0]], [[3, 6], [9, 12]]]),
    ],
)
def test_two_convolutions_on_paper(layer, expected):
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[1.0, 2], [3, 4]])
    maps, logits = gradcam(TwoConvolutions(), image, layer)
    assert logits.tolist() == [[13, -4]]
    assert maps[0].tolist() == expected
    chosen, _ = gradcam(TwoConvolutions(), image, layer, classes=[1, 0])
    assert chosen[0].tolist() == expected[::-1]


def test_the_steps_on_paper():
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[1.0, 2], [3, 4]])
    activations, weights, logits = channel_weights(TwoConvolutions(), image, "second", classes=[1, 0])
    assert activations[0].tolist() == [[[1, 2], [3, 4]], [[-3, -1], [1, 3]]]
    assert weights.tolist() == [[[1, 1], [1, -2]]]
    assert logits.tolist() == [[13, -4]]


def test_classes_one_by_one_where_they_cannot_go_together(inputs, monkeypatch):
    together = gradcam(build := build_network("resnet18", 3).eval(), inputs, "layer3")[0]
    take = torch.autograd.grad

    def refuse(*arguments, is_grads_batched=False, **options):
        if is_grads_batched:
            raise torch.OutOfMemoryError
        return take(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    torch.testing.assert_close(gradcam(build, inputs, "layer3")[0], together)


def test_the_network_is_given_back_as_it_was(inputs):
    network = SmallNet()
    network.train()
    network.norm.eval()
    network.first.weight.requires_grad_(False)
    network.fc.weight.grad = torch.full_like(network.fc.weight, 7)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def state():
        flags = [module.training for module in network.modules()]
        hooks = [len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules()]
        wanted = [parameter.requires_grad for parameter in network.parameters()]
        grads = [None if p.grad is None else p.grad.unique().tolist() for p in network.parameters()]
        return flags, hooks, wanted, grads

    expected = state()
    maps, logits = gradcam(network, inputs, "second")
    assert state() == expected
    assert not maps.requires_grad
    assert not logits.requires_grad
    for layer in ("missing", "fc"):
        with pytest.raises(LayerError):
            gradcam(network, inputs, layer)
        assert state() == expected
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    # evaluation mode inside: the same as of a network that is in it anyway
    torch.testing.assert_close(maps, gradcam(SmallNet().eval(), inputs, "second")[0])


def test_one_forward_pass_serves_all_classes(inputs):
    network = SmallNet(n_classes=9)
    for layer in ("second", "norm"):  # with and without a closed form
        with CountedForwards(network.first) as forwards, torch.no_grad():
            gradcam(network, inputs, layer)
        assert [len(batch) for batch in forwards.batches] == [2]


@pytest.mark.parametrize(
    ("layer", "message"),
    [("layer9", r"no module 'layer9'; its parts are first, norm"), ("fc", r"fc has output of shape \(2, 3\)")],
)
def test_wrong_layers_are_named(inputs, layer, message):
    with pytest.raises(LayerError, match=message):
        gradcam(SmallNet(), inputs, layer)


def test_explaining_many_images_equals_one_by_one():
    images = torch.randint(0, 256, (5, 1, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = SmallNet().eval()
    with CountedForwards(network.first) as forwards:
        maps, probabilities = explain(network, images, "second", batch_size=2)
    assert [len(batch) for batch in forwards.batches] == [2, 2, 1]
    assert maps.shape == (5, 3, 12, 12)
    for i in range(5):
        one, logits = gradcam(network, normalise(images[i : i + 1]), "second")
        torch.testing.assert_close(maps[i], one[0])
        torch.testing.assert_close(probabilities[i], 1 / (1 + (-logits[0]).exp()))
