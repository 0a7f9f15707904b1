import numpy as np
import pytest
import torch
from fixtures import SmallNet, assert_same_maps
from torch import nn

from cxrlib.explain.cam import NoClosedForm, cam, gradcam_maps, gradcam_plus_plus, hirescam, layercam, xgradcam
from cxrlib.explain.gradcam import LayerError
from cxrlib.model.networks import build_network
from cxrlib.model.pooling import split_at_pooling

BY_GRADIENT = [gradcam_maps, gradcam_plus_plus, layercam, hirescam, xgradcam]


class Headed(nn.Module):
    """A convolution, a ReLU and a linear layer on all cells: the gradient at a cell is that layer's weight."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.conv, self.relu, self.head = nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Linear(5 * 6 * 4, 3)

    def forward(self, images):
        return self.head(self.relu(self.conv(images)).flatten(1))


class Opaque(nn.Module):
    """A network that torch.fx cannot trace, so that nothing is known of its head."""

    def __init__(self, network):
        super().__init__()
        self.inner = network

    def forward(self, images):
        return self.inner(images) if images.isfinite().all() else self.inner(images * 0)


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def radiographs():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return build_network("resnet18", 4).eval()


def by_hand(method, a, g):
    """The formula of the paper for one image and class, cell by cell; a and g are arrays (k, rows, columns)."""
    k, rows, columns = a.shape
    cells = [(i, j) for i in range(rows) for j in range(columns)]
    total = np.zeros((rows, columns))
    for c in range(k):
        if method is gradcam_maps:
            weight = sum(g[c, i, j] for i, j in cells) / len(cells)
        elif method is gradcam_plus_plus:
            alpha = [g[c, i, j] ** 2 / (2 * g[c, i, j] ** 2 + a[c].sum() * g[c, i, j] ** 3) for i, j in cells]
            weight = sum(one * max(g[c, i, j], 0) for one, (i, j) in zip(alpha, cells, strict=True))
        elif method is xgradcam:
            weight = sum(a[c, i, j] / a[c].sum() * g[c, i, j] for i, j in cells)
        else:
            weight = np.maximum(g[c], 0) if method is layercam else g[c]
        total += weight * a[c]
    return np.maximum(total, 0)


@pytest.mark.parametrize("method", BY_GRADIENT)
def test_maps_equal_the_formula_cell_by_cell(method, images):
    network = Headed()
    activations = network.relu(network.conv(images)).detach().double().numpy()
    gradients = network.head.weight.detach().double().view(3, 5, 6, 4).numpy()
    found = method(network, images, [2, 0], "relu")
    assert found.shape == (2, 2, 6, 4)
    for row in range(2):
        for position, column in enumerate([2, 0]):
            expected = torch.from_numpy(by_hand(method, activations[row], gradients[column])).float()
            assert expected.max() > 0
            assert_same_maps(found[row, position], expected)


def test_behind_pooling_and_one_linear_layer_four_methods_are_one(resnet, radiographs):
    expected = gradcam_maps(resnet, radiographs, layer="layer4")
    scale = float(expected.max())
    for method in (hirescam, xgradcam):
        assert_same_maps(method(resnet, radiographs, layer="layer4"), expected)
    assert_same_maps(cam(resnet, radiographs) / 4, expected)
    for method in (layercam, gradcam_plus_plus):
        assert (method(resnet, radiographs) - expected).abs().max() > 0.01 * scale


def test_behind_a_relu_and_pooling_cam_is_hirescam_alone(radiographs):
    network = SmallNet()
    expected, cells = cam(network, radiographs, layer="second"), 32 * 32
    assert_same_maps(hirescam(network, radiographs, layer="second") * cells, expected)
    for method in (gradcam_maps, xgradcam, layercam):
        assert (method(network, radiographs, layer="second") * cells - expected).abs().max() > 0.01 * expected.max()


def test_behind_another_head_no_two_methods_agree(images):
    maps = [method(Headed(), images, layer="relu").flatten(2) for method in BY_GRADIENT]
    maps = [one / one.amax(2, keepdim=True).clamp_min(1e-9) for one in maps]
    assert all((one - other).abs().max() > 0.05 for i, one in enumerate(maps) for other in maps[:i])


@pytest.mark.parametrize("method", BY_GRADIENT)
@pytest.mark.parametrize("layer", ["second", "relu"])
def test_the_closed_form_equals_autograd(method, layer, radiographs):
    network = SmallNet()
    assert split_at_pooling(network, layer) and not split_at_pooling(Opaque(network), f"inner.{layer}")
    found = method(network, radiographs, [2, 1], layer, batch_size=1)
    expected = method(Opaque(network), radiographs, [2, 1], f"inner.{layer}")
    assert_same_maps(found, expected)


@pytest.mark.parametrize("method", BY_GRADIENT)
def test_classes_one_by_one_where_they_cannot_go_together(method, images, monkeypatch):
    together, take, refused = method(Headed(), images, layer="conv"), torch.autograd.grad, []

    def refuse(*arguments, is_grads_batched=False, **options):
        if is_grads_batched:
            refused.append(arguments)
            raise torch.OutOfMemoryError
        return take(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    assert_same_maps(method(Headed(), images, layer="conv"), together)
    assert refused


@pytest.mark.parametrize("method", [*BY_GRADIENT, cam])
def test_a_silent_channel_gives_zeros_and_not_nan(method):
    network = SmallNet()
    network.second.weight.data.zero_()
    network.second.bias.data.fill_(-1)
    maps = method(network, torch.zeros(1, 3, 8, 8), layer="relu")
    assert torch.equal(maps, torch.zeros(1, 3, 4, 4))


def test_cam_refuses_another_head_and_names_the_remedy(images):
    network = Headed().train()
    for layer, name in (("auto", "relu"), ("conv", "conv")):
        with pytest.raises(NoClosedForm, match=f"linear layer behind {name}; .* gradcam"):
            cam(network, images, layer=layer)
    assert network.training and network.conv.weight.requires_grad


class Odd(Headed):
    """A module that gives two tensors, and one that does not run."""

    def __init__(self):
        super().__init__()
        self.pair, self.spare = Pair(), nn.Conv2d(3, 3, 1)

    def forward(self, images):
        return super().forward(self.pair(images)[0])


class Pair(nn.Module):
    def forward(self, images):
        return images, images


@pytest.mark.parametrize("method", [*BY_GRADIENT, cam])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("layer9", "no module 'layer9'; its parts are conv, relu"),
        ("head", r"head has output of shape \(2, 3\)|behind head"),
        ("pair", "pair gives a tuple, no feature map|behind pair"),
        ("spare", "does not use its module spare|behind spare"),
    ],
)
def test_a_layer_that_is_no_feature_map_is_named(method, layer, message, images):
    network = Odd()
    with pytest.raises((LayerError, NoClosedForm), match=message):
        method(network, images, layer=layer)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
