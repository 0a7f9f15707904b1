import copy
import types

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam
from fixtures import SmallNet, assert_same_maps
from torch import nn
from torch.nn import functional
from torchvision import models

from cxrlib.explain.gradients import input_gradients, vanilla_gradient
from cxrlib.explain.guided import deconvnet, guided_backprop, guided_gradcam
from cxrlib.explain.relu_rules import UnruledActivation, rule_relus, unruled_operations
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network

CAPTUM = {"guided": GuidedBackprop, "deconvnet": Deconvolution}
OURS = {"guided": guided_backprop, "deconvnet": deconvnet}


class Distinct(SmallNet):
    """SmallNet as captum needs it: a ReLU module of its own at each place, none in place."""

    def __init__(self):
        super().__init__()
        self.relu, self.other = nn.ReLU(), nn.ReLU()

    def forward(self, inputs):
        features = self.other(self.second(self.relu(self.norm(self.first(inputs)))))
        return self.fc(features.mean(dim=(2, 3)))


def distinct_resnet(network):
    """A ResNet18 with the same weights as captum needs it."""

    def forward(block, inputs):
        features = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(inputs)))))
        return block.other(features + (inputs if block.downsample is None else block.downsample(inputs)))

    network = copy.deepcopy(network)
    network.relu = nn.ReLU()
    for block in network.modules():
        if isinstance(block, models.resnet.BasicBlock):
            block.relu, block.other, block.forward = nn.ReLU(), nn.ReLU(), types.MethodType(forward, block)
    return network


class Written(nn.Module):
    """The small network with its ReLUs written in some way."""

    def __init__(self, activation):
        super().__init__()
        self.inner, self.activation = SmallNet(), activation

    def forward(self, inputs):
        features = self.activation(self.inner.norm(self.inner.first(inputs)))
        return self.inner.fc(self.activation(self.inner.second(features)).mean((2, 3)))


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(1)) * 2 + 1


def ruled(network, images, rule):
    """Gradients (n, classes, c, h, w) with another rule at the ReLUs."""
    return input_gradients(network, images, prepare=lambda logits: rule_relus(logits, rule))


def captums(network, images, rule, classes):
    method = CAPTUM[rule](network.eval())
    leaf = images.clone().requires_grad_()
    return torch.stack([method.attribute(leaf, target=column).detach() for column in range(classes)], dim=1)


RELUS = {
    "a module that is used twice": nn.ReLU(),
    "a module in place": nn.ReLU(inplace=True),
    "F.relu": functional.relu,
    "F.relu in place": lambda features: functional.relu(features, inplace=True),
    "torch.relu": torch.relu,
    "Tensor.relu": torch.Tensor.relu,
    "Tensor.relu_": torch.Tensor.relu_,
    "torch.relu_": torch.relu_,
}


@pytest.mark.parametrize("rule", CAPTUM)
@pytest.mark.parametrize("relu", RELUS)
@pytest.mark.filterwarnings("ignore:Setting (backward|forward)")
def test_every_way_to_write_a_relu_follows_the_rule(relu, rule, images):
    expected = captums(Distinct(), images, rule, 3)
    network = Written(RELUS[relu]).eval()
    assert (expected - input_gradients(network, images)).abs().max() > 0.1 * expected.abs().max()
    assert_same_maps(ruled(network, images, rule), expected)
    assert_same_maps(OURS[rule](network, images, [2, 0]), expected[:, [2, 0]].abs().amax(2))


@pytest.mark.parametrize("rule", CAPTUM)
@pytest.mark.filterwarnings("ignore:Setting (backward|forward)")
def test_residual_blocks_with_reused_in_place_relus_equal_captums(rule):
    torch.manual_seed(0)
    network = build_network("resnet18", 3).eval()
    images = torch.randn(2, 3, 64, 64)
    expected = captums(distinct_resnet(network), images, rule, 3)
    assert_same_maps(ruled(network, images, rule), expected)


@pytest.mark.filterwarnings("ignore:Setting (backward|forward)")
def test_guided_gradcam_equals_captums(images):
    network = Distinct().eval()
    oracle = GuidedGradCam(network, network.second)
    found = guided_gradcam(SmallNet(), images, layer="second")
    for column in range(3):
        leaf = images.clone().requires_grad_()
        expected = oracle.attribute(leaf, target=column, interpolate_mode="bilinear").detach().abs().amax(1)
        assert_same_maps(found[:, column], expected)


@pytest.mark.parametrize("method", OURS.values())
def test_the_copy_that_infers_fast_is_explained_like_its_network(method):
    torch.manual_seed(0)
    network, images = build_network("resnet18", 3).eval(), torch.randn(2, 3, 64, 64)
    expected = method(network, images)
    found = method(inference_copy(network), images)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.max()), rtol=1e-3)


def test_the_order_of_the_rules_leaves_no_trace(images):
    network = SmallNet().eval()
    before = vanilla_gradient(network, images)
    guided_backprop(network, images)
    deconvnet(network, images)
    torch.testing.assert_close(vanilla_gradient(network, images), before, atol=0, rtol=0)


def test_classes_one_by_one_where_they_cannot_go_together(images, monkeypatch):
    monkeypatch.setattr("cxrlib.explain.gradients.ONE_BY_ONE", ())
    together, take, refused = guided_backprop(SmallNet(), images), torch.autograd.grad, []

    def refuse(*arguments, is_grads_batched=False, **options):
        if is_grads_batched:
            refused.append(arguments)
            raise torch.OutOfMemoryError
        return take(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    assert_same_maps(guided_backprop(SmallNet(), images), together)
    assert refused


def test_where_no_relu_is_inactive_and_no_gradient_negative_all_are_the_plain_gradient(images):
    network = SmallNet()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
        network.norm.bias.fill_(1)
    positive = images.abs()
    expected = vanilla_gradient(network, positive)
    assert_same_maps(guided_backprop(network, positive), expected)
    assert_same_maps(deconvnet(network, positive), expected)


class Own(torch.autograd.Function):
    @staticmethod
    def forward(context, features):
        return features.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        return gradient


def half_in_place(features):
    features[:, :2].relu_()
    return features


OTHERS = {
    "Silu": [nn.SiLU(), nn.SiLU(inplace=True), functional.silu],
    "Gelu": [nn.GELU(), functional.gelu],
    "Hardswish": [nn.Hardswish(), functional.hardswish],
    "Hardtanh": [nn.ReLU6(), nn.ReLU6(inplace=True), functional.relu6, nn.Hardtanh()],
    "LeakyRelu": [nn.LeakyReLU(), functional.leaky_relu],
    "Elu": [nn.ELU(), functional.elu, nn.SELU()],
    "Celu": [nn.CELU()],
    "Prelu": [nn.PReLU()],
    "Rrelu": [nn.RReLU()],
    "Softplus": [nn.Softplus()],
    "Mish": [nn.Mish()],
    "Sigmoid": [nn.Sigmoid(), torch.sigmoid, lambda features: features * features.sigmoid()],
    "Tanh": [nn.Tanh(), torch.tanh],
    "Threshold": [nn.Threshold(0.0, 0.0)],
    "Clamp": [lambda features: features.clamp(min=0)],
    "Maximum": [lambda features: torch.maximum(features, torch.zeros(()))],
    "Where": [lambda features: torch.where(features > 0, features, 0)],
    "Abs": [lambda features: (features + features.abs()) / 2],
    "Mul": [lambda features: features * features],
    "Own": [Own.apply],
    "CopySlices": [half_in_place],
}


@pytest.mark.parametrize("method", [guided_backprop, deconvnet, guided_gradcam])
@pytest.mark.parametrize(
    ("name", "activation"), [(name, activation) for name, several in OTHERS.items() for activation in several]
)
def test_every_other_activation_is_refused(method, name, activation, images):
    network = Written(activation).train()
    with pytest.raises(
        UnruledActivation, match=f"ReLU alone, and the network has .*{name}.*; explain it with"
    ) as refused:
        method(network, images)
    if isinstance(activation, nn.Module):
        assert str(refused.value).count(f"{type(activation).__name__} activation") == 1
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_the_refusal_of_a_large_network_names_its_first_modules():
    network = models.mobilenet_v3_small(num_classes=2)
    message = r"Hardsigmoid \(.*features.1.block.1.scale_activation.* more\), Hardswish \(Hardswish features.0.2"
    with pytest.raises(UnruledActivation, match=message):
        guided_backprop(network, torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["densenet121", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "resnet18"])
def test_networks_with_relus_alone_are_explained(name):
    network = models.get_model(name, num_classes=2).eval().requires_grad_(False)
    assert unruled_operations(network(torch.randn(1, 3, 64, 64).requires_grad_())) == []


def test_factors_and_divisors_that_depend_on_the_image_are_no_linear_operation():
    image, weight = torch.ones(2, 2, requires_grad=True), torch.ones(2, 2)
    for linear in (image * weight, image / weight, weight @ image, 3 * image, image / 3):
        assert unruled_operations(linear) == []
    for name, other in (
        ("Mul", image * image),
        ("Div", weight / image),
        ("Mm", image @ image),
        ("Reciprocal", 1 / image),
    ):
        assert name in unruled_operations(other)
