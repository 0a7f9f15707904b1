"""Networks of torchvision, timm and torchxrayvision's form: head, own input, stride, closed form, checkpoints."""

import numpy as np
import pytest
import torch
from fixtures import without_counters
from torch import nn
from torchvision import models

from cxrlib.explain.gradcam import channel_weights, gradient_weights, weighted_sum
from cxrlib.model.architectures import CHEST_RANGE, IMAGENET, TESTED, Normalisation, own_input, require_known
from cxrlib.model.checkpoint import Checkpoint, checkpoint_writer, load_checkpoint, save_checkpoint
from cxrlib.model.feature_maps import chosen_layer
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import OwnInput, build_network, feature_map_shape, network_outline, normalise
from cxrlib.model.pooling import PooledNetwork, pooled_at
from cxrlib.model.training import Recipe, train
from cxrlib.model.weight_names import head_of
from cxrlib.runtime.errors import Refusal

pytestmark = pytest.mark.slow

QUICK = ["mobilenet_v3_large", "timm/tf_efficientnet_lite0"]
ALL = [
    *TESTED,
    "timm/mobilenetv3_small_050",
    "timm/regnetx_002",
    "timm/resnet10t",
    "regnet_y_400mf",
    "googlenet",
    "swin_t",
]
NETWORKS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL]
HEAVY = ("resnet34", "resnet50", "resnet101", "vgg16", "convnext_tiny", "swin_t")
LIGHT = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL if name not in HEAVY]
TRAINED = [pytest.param("densenet121", marks=pytest.mark.slow), *QUICK]
AUTOGRAD = ("vgg16", "convnext_tiny", "mobilenet_v3_large", "timm/mobilenetv3_small_050")
"""Where more than average pooling and a linear layer follows the last feature map."""
UNPADDED = ("convnext_tiny", "swin_t")
"""Whose last stride is that of patches, which cannot overlap."""


def with_statistics(network: nn.Module) -> nn.Module:
    """Batch norms that do something, as after training, and a head with a bias."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture
def inputs():
    images = torch.randint(0, 256, (3, 1, 96, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return normalise(images)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_network_gives_a_logit_for_each_label_and_its_maps_are_autograd_s(architecture, inputs):
    torch.manual_seed(0)
    network = with_statistics(build_network(architecture, 3))
    assert network(inputs).shape == (3, 3) and isinstance(network.get_submodule(head_of(network)), nn.Linear)
    layer = chosen_layer(network, "auto", 96)
    assert feature_map_shape(network, layer, 96)[1:] == (3, 3)
    assert (pooled_at(network, layer) is None) == (architecture in AUTOGRAD)
    activations, weights, logits = channel_weights(network, inputs, layer)
    slow_activations, slow_weights, slow_logits = gradient_weights(network.requires_grad_(False), inputs, layer)
    scale = float((slow_weights.abs() @ slow_activations.abs().flatten(2)).max())  # of the sum before its terms cancel
    maps, slow = weighted_sum(activations, weights), weighted_sum(slow_activations, slow_weights)
    assert float((maps - slow).abs().max()) <= 1e-5 * scale
    torch.testing.assert_close(logits, slow_logits, rtol=1e-4, atol=1e-5 * float(slow_logits.abs().max()))


@pytest.mark.parametrize("architecture", LIGHT)
def test_a_copy_for_inference_gives_the_same(architecture, inputs):
    torch.manual_seed(0)
    network = with_statistics(build_network(architecture, 3)).requires_grad_(False)
    copied = inference_copy(network, size=96)
    expected = network(inputs)
    torch.testing.assert_close(copied(inputs), expected, rtol=1e-4, atol=2e-5 * float(expected.abs().max()))
    assert isinstance(copied, PooledNetwork) == (architecture not in AUTOGRAD)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_without_its_last_stride_a_network_has_twice_the_rows(architecture):
    if architecture in UNPADDED:
        with pytest.raises(Refusal, match=f"model.output_stride: the last stride of {architecture} is not that of"):
            build_network(architecture, 2, 16)
        return
    network, usual = network_outline(architecture, 2, 16), network_outline(architecture, 2)
    layer = chosen_layer(network, "auto", 96)
    channels, rows, columns = feature_map_shape(usual, layer, 96)
    assert feature_map_shape(network, layer, 96) == (channels, 2 * rows, 2 * columns)
    assert [*network.state_dict()] == [*usual.state_dict()]
    earlier = [name for name, module in usual.named_modules() if isinstance(module, nn.Conv2d)][0]
    assert feature_map_shape(network, earlier, 96) == feature_map_shape(usual, earlier, 96)


def test_the_last_stride_of_a_resnet_is_that_of_its_last_block():
    strides = {
        name: module.stride
        for name, module in network_outline("resnet50", 2, 16).named_modules()
        if isinstance(module, nn.Conv2d)
    }
    expected = {
        name: (1, 1) if name.startswith("layer4") else module.stride
        for name, module in models.resnet50().named_modules()
        if isinstance(module, nn.Conv2d)
    }
    assert strides == expected


@pytest.mark.parametrize("architecture", TRAINED)
def test_one_epoch_is_trained_stored_and_loaded(architecture, tmp_path):
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 1, 64, 64), generator=random, dtype=torch.uint8)
    targets = (torch.rand(8, 2, generator=random) > 0.5).float()
    torch.manual_seed(0)
    network = build_network(architecture, 2)
    before = network.get_submodule(head_of(network)).weight.detach().clone()
    path = tmp_path / "best.safetensors"
    keep_best = checkpoint_writer(network, Checkpoint(architecture, ["A", "B"], 64, 32), path)
    recipe = Recipe(
        epochs=1, batch_size=4, learning_rate=1e-4, momentum=0.9, end_factor=1.0, flip_probability=0.0,
        rotation_degrees=0.0, pos_weight=False, seed=0,
    )  # fmt: skip
    history = train(network, (images, targets), (images, targets), recipe, keep_best)
    assert np.isfinite(history.to_numpy(float)).all()
    loaded, checkpoint = load_checkpoint(path, torch.device("cpu"))
    assert checkpoint.architecture == architecture and not torch.equal(
        before, network.get_submodule(head_of(network)).weight
    )
    with torch.no_grad():
        expected = network.eval()(normalise(images))
        torch.testing.assert_close(loaded(normalise(images)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("architecture", QUICK)
def test_a_checkpoint_of_any_network_comes_back(architecture, tmp_path, inputs):
    network, path = with_statistics(build_network(architecture, 3, 16)), tmp_path / "best.safetensors"
    save_checkpoint(network, Checkpoint(architecture, ["A", "B", "C"], 96, 16), path)
    loaded, _ = load_checkpoint(path, torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(loaded(inputs), network(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "own", "side"),
    [
        ("resnet18", IMAGENET, 224),
        ("convnext_tiny", IMAGENET, 224),
        ("efficientnet_v2_l", Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 480),
        ("timm/tf_efficientnet_lite0", Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), 224),
        ("timm/mobilenetv3_small_050", IMAGENET, 224),
        ("densenet121-xrv", CHEST_RANGE, 224),
    ],
)
def test_the_normalisation_is_that_of_the_weights(architecture, own, side):
    assert own_input(architecture) == (own, side)


@pytest.mark.parametrize(
    ("architecture", "first"),
    [("timm/tf_efficientnet_lite0", "conv_stem"), ("densenet121-xrv", "features.conv0"), ("resnet50-xrv", "conv1")],
)
def test_the_first_layer_reads_grey_values_in_the_range_of_the_weights(architecture, first):
    """White and black, as the network's own pipeline makes them, whatever `normalise` made of them."""
    network, seen = build_network(architecture, 2).eval(), []
    convolution = network.get_submodule(first)
    convolution.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        for grey in (0, 255):
            network(normalise(torch.full((1, 1, 64, 64), grey, dtype=torch.uint8)))
    channels, least, most = (3, -1.0, 1.0) if architecture.startswith("timm/") else (1, -1024.0, 1024.0)
    torch.testing.assert_close(seen[0], torch.full((1, channels, 64, 64), least), rtol=1e-5, atol=0)
    torch.testing.assert_close(seen[1], torch.full((1, channels, 64, 64), most), rtol=1e-5, atol=0)


def test_a_network_that_reads_imagenet_s_range_is_left_alone(inputs):
    assert not any(module._forward_pre_hooks for module in build_network("densenet121", 2).modules())


def test_own_input_takes_a_gradient(inputs):
    """SmoothGrad, input gradients and perturbation see the network's input as `normalise` makes it."""
    inputs.requires_grad_()
    OwnInput(CHEST_RANGE)(None, (inputs,)).sum().backward()
    expected = torch.tensor(IMAGENET.std).view(1, 3, 1, 1) * 2048 / 3
    torch.testing.assert_close(inputs.grad, expected.expand(3, -1, 96, 96))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet19", "resnet18, "),
        ("densenet-121", "densenet121, "),
        ("timm/tf_efficientnet_light0", "timm/tf_efficientnet_lite0, "),
        ("tf_efficientnet_lite0", "timm/tf_efficientnet_lite0, "),
        ("fcn_resnet50", "resnet50, "),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_three(name, near):
    with pytest.raises(Refusal, match=f"no network '{name}'; did you mean .*{near}") as caught:
        require_known(name)
    assert str(caught.value).count(", ") == 2


def test_the_published_form_has_torchvision_s_names(inputs):
    for name in (
        "googlenet",
        "inception_v3",
    ):  # their builders add a second output, which the weights are published without
        published = models.get_model(name, weights=None, aux_logits=False, init_weights=False)
        assert (
            without_counters(network_outline(name, 1000).state_dict()).keys()
            == without_counters(published.state_dict()).keys()
        )
