"""The probe against scikit-learn's ridge, a 1 x 1 convolution, and features that hold the boxes themselves."""

import numpy as np
import pytest
import torch
from fixtures import SmallNet
from sklearn.linear_model import Ridge
from torch import nn

from cxrlib.explain import linear_probe
from cxrlib.explain.gradcam import LayerError
from cxrlib.explain.linear_probe import (
    STRENGTHS,
    add_cells,
    fit,
    layer_activations,
    moments_of,
    no_moments,
    probe_images,
    probe_maps,
    solve,
    squared_error,
)
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise

CHANNELS, CLASSES = 4, 3
KNOWN = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]]).bool()
"""Which of five images have a box of each of three classes; nobody boxed the third."""


def some_cells(seed=0, count=5):
    """Activations (n, 4, 3, 2) and covers (n, 3, 3, 2)."""
    generator = torch.Generator().manual_seed(seed)
    activations = torch.rand(count, CHANNELS, 3, 2, generator=generator)
    return activations, torch.rand(count, CLASSES, 3, 2, generator=generator) * KNOWN[:count, :, None, None]


def moments_from(activations, covers, batch_size=5):
    moments = no_moments(covers.shape[1], activations.shape[1])
    for parts in zip(activations.split(batch_size), covers.split(batch_size), strict=True):
        add_cells(moments, *parts)
    return moments


def rows_of(activations, covers, column):
    """The cells of the images with a box of a class, as scikit-learn takes them."""
    boxed = KNOWN[: len(activations), column]
    x = activations[boxed].permute(0, 2, 3, 1).reshape(-1, activations.shape[1])
    return x.double().numpy(), covers[boxed, column].flatten().double().numpy()


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_weights_are_scikit_learns(strength):
    activations, covers = some_cells()
    weights = solve(moments_from(activations, covers), strength)
    for column in (0, 1):
        x, y = rows_of(activations, covers, column)
        ridge = Ridge(alpha=strength * np.square(x).sum() / CHANNELS).fit(x, y)
        np.testing.assert_allclose(weights[column, :-1], ridge.coef_, rtol=1e-6)
        assert weights[column, -1].item() == pytest.approx(ridge.intercept_)


def test_the_error_is_that_of_every_cell():
    moments, (activations, covers) = moments_from(*some_cells(0)), some_cells(1)
    weights = solve(moments, 0.1)
    found = squared_error(moments_from(activations, covers), weights)
    for column in (0, 1):
        x, y = rows_of(activations, covers, column)
        expected = np.square(x @ weights[column, :-1].numpy() + weights[column, -1].item() - y).sum()
        assert found[column].item() == pytest.approx(expected)
    assert found[2] == 0


def test_the_strength_is_the_best_on_the_validation_studies():
    """The first channel tells something of the first class; two images seem to say more."""
    parts = []
    for seed, count in ((0, 2), (1, 5)):
        activations, covers = some_cells(seed, count)
        activations[:, 0] += covers[:, 0]
        parts.append(moments_from(activations, covers))
    weights, strength = fit(*parts)
    errors = [squared_error(parts[1], solve(parts[0], one)).sum().item() for one in STRENGTHS]
    assert strength == STRENGTHS[int(np.argmin(errors))] not in (STRENGTHS[0], STRENGTHS[-1])
    assert torch.equal(weights, solve(parts[0], strength))


def test_a_batch_more_is_no_difference():
    whole, split = moments_from(*some_cells()), moments_from(*some_cells(), batch_size=2)
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(one, other)


def test_an_image_without_a_box_of_a_class_teaches_nothing_of_it():
    activations, covers = some_cells()
    before = moments_from(activations, covers)
    activations[1] = 100  # no box of the first class
    after = moments_from(activations, covers)
    assert torch.equal(before.xx[0], after.xx[0]) and not torch.equal(before.xx[1], after.xx[1])


def test_maps_are_a_convolution_of_one_cell():
    activations, covers = some_cells()
    weights = solve(moments_from(activations, covers), 0.001)
    convolution = nn.Conv2d(CHANNELS, CLASSES, 1).double()
    convolution.weight.data, convolution.bias.data = weights[:, :-1, None, None], weights[:, -1]
    with torch.no_grad():
        expected = convolution(activations.double()).relu().float()
    maps = probe_maps(activations, weights)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, expected)


def test_features_that_hold_the_boxes_give_a_perfect_probe():
    activations, covers = some_cells()
    activations = torch.cat([activations, covers], dim=1)
    maps = probe_maps(activations, solve(moments_from(activations, covers), 1e-9))
    torch.testing.assert_close(maps[KNOWN], covers[KNOWN], atol=1e-5, rtol=0)


def test_a_class_without_a_box_and_dead_channels_have_zero_weights():
    activations, covers = some_cells()
    activations[:, 2] = 0
    for strength in (0.0, *STRENGTHS):
        weights = solve(moments_from(activations, covers), strength)
        assert weights.isfinite().all() and not weights[2].any() and not weights[:, 2].any()
    dead = solve(moments_from(torch.zeros_like(activations), covers), 1.0)
    assert not dead[:, :-1].any()
    assert dead[0, -1].item() == pytest.approx(covers[KNOWN[:, 0], 0].mean().item())


def test_without_validation_boxes_the_features_are_held_back_most():
    assert fit(moments_from(*some_cells()), no_moments(CLASSES, CHANNELS))[1] == max(STRENGTHS)


class WithAHead(SmallNet):
    """More than average pooling and one linear layer stands behind the features."""

    def forward(self, inputs):
        return super().forward(inputs).tanh()


@pytest.mark.parametrize("make", [SmallNet, WithAHead])
def test_the_activations_are_the_layers_own(make):
    network, inputs, seen = make().eval(), torch.rand(2, 3, 16, 16), []
    handle = network.second.register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    network(inputs)
    handle.remove()
    network.train()
    found = layer_activations(network, inputs, "second")
    torch.testing.assert_close(found, seen[0])
    assert not found.requires_grad and network.training and network.fc.weight.requires_grad
    assert not network.second._forward_hooks
    cut = inference_copy(network.eval(), "second", size=16)
    torch.testing.assert_close(layer_activations(cut, inputs, "second"), seen[0], atol=1e-5, rtol=1e-4)


def test_a_layer_that_is_no_feature_map_is_refused_and_the_network_left_as_it_was():
    network = WithAHead()
    for layer in ("fc", "third"):
        with pytest.raises(LayerError):
            layer_activations(network, torch.rand(1, 3, 16, 16), layer)
    assert network.training and not network.fc._forward_hooks


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def covers_at(positions):
    return torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))[positions]


def test_many_images_are_one_pass_in_batches(images):
    network = SmallNet().eval()
    activations = layer_activations(network, normalise(images), "second")
    expected = no_moments(3, 8)
    add_cells(expected, activations, covers_at(torch.arange(5)))
    found = moments_of(network, images, covers_at, "second", batch_size=2)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    weights = solve(expected, 0.01)
    maps = probe_images(network, images, weights, "second", batch_size=2)
    torch.testing.assert_close(maps, probe_maps(activations, weights))


def test_what_did_not_fit_into_memory_is_not_counted_twice(images, monkeypatch):
    network, calls = SmallNet().eval(), []
    whole = moments_of(network, images, covers_at, "second", batch_size=1)

    def scarce(network, inputs, layer):
        calls.append(len(inputs))
        if len(calls) == 2:
            raise RuntimeError("can't allocate memory: you tried to allocate 8 bytes")
        return layer_activations(network, inputs, layer)

    monkeypatch.setattr(linear_probe, "layer_activations", scarce)
    with pytest.warns(UserWarning, match="4 images at once do not fit into memory"):
        found = moments_of(network, images, covers_at, "second", batch_size=4)
    assert calls == [4, 1, 2, 2, 1]
    for one, other in zip(found, whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
