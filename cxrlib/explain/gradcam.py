"""Grad-CAM (Selvaraju et al. 2017; thesis, section 3.1): where a convolutional layer supports a class."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from cxrlib.explain.class_gradients import class_gradients
from cxrlib.model.pooling import PooledNetwork, pooled_at


class LayerError(ValueError):
    """The layer to explain does not exist in the network, or its output is no feature map."""


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode without parameter gradients; at the end its former state returns.

    >>> layer = nn.Linear(1, 1)
    >>> with frozen(layer):
    ...     layer.training, layer.weight.requires_grad
    (False, False)
    >>> layer.training, layer.weight.requires_grad
    (True, True)
    """
    training = [(module, module.training) for module in network.modules()]
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    network.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, flag in zip(network.parameters(), wanted, strict=True):
            parameter.requires_grad_(flag)


@contextlib.contextmanager
def explained_activations(network: nn.Module, layer: str) -> Iterator[list[torch.Tensor]]:
    """Record the activations of `layer` in the next forward pass.

    The gradient graph starts at these activations: nothing of the layers before is kept.

    Args:
        network: any network.
        layer: name of one of its modules, as `nn.Module.get_submodule` takes it; or the layer at which it is cut.

    Yields:
        A list that holds the layer's output after a forward pass; empty before.

    Raises:
        ValueError: the network has no such module.

    >>> network = nn.Sequential(nn.ReLU(), nn.Flatten())
    >>> with explained_activations(network, "0") as recorded:
    ...     logits = network(torch.tensor([[[[-1.0, 2.0]]]]))
    >>> recorded[0].tolist()
    [[[[0.0, 2.0]]]]
    """
    cut = isinstance(network, PooledNetwork) and network.layer == layer
    try:
        module = network.get_submodule("features" if cut else layer)
    except AttributeError:
        names = ", ".join(name for name, _ in network.named_children())
        raise LayerError(f"the network has no module {layer!r}; its parts are {names}, choose one of them") from None
    recorded: list[torch.Tensor] = []

    def record(_module: nn.Module, _inputs: tuple, output: object) -> object:
        if not isinstance(output, torch.Tensor):
            recorded[:] = [output]
            return output
        recorded[:] = [output.detach().requires_grad_()]
        # a copy: an in-place operation may follow, which torch forbids on a leaf
        return recorded[0].clone()

    handle = module.register_forward_hook(record)
    try:
        yield recorded
    finally:
        handle.remove()


def feature_map(recorded: list, layer: str) -> torch.Tensor:
    """The activations of a layer, which must be a feature map.

    Args:
        recorded: the output of the layer, or nothing where the layer did not run.
        layer: its name.

    Returns:
        (n, k, rows, columns).

    Raises:
        LayerError: the output is none.

    >>> feature_map([torch.zeros(1, 8)], "fc")
    Traceback (most recent call last):
    cxrlib.explain.gradcam.LayerError: fc has output of shape (1, 8), no feature map; choose one before pooling
    """
    if not recorded:
        raise LayerError(f"the network does not use its module {layer}; choose another one before pooling")
    output = recorded[0]
    if not isinstance(output, torch.Tensor):
        raise LayerError(f"{layer} gives a {type(output).__name__}, no feature map; choose one before pooling")
    if output.ndim != 4:
        raise LayerError(
            f"{layer} has output of shape {tuple(output.shape)}, no feature map; choose one before pooling"
        )
    return output


def gradcam(
    network: nn.Module, inputs: torch.Tensor, layer: str = "layer4", classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Grad-CAM maps of several classes from one forward pass (Selvaraju et al. 2017; thesis, section 3.1).

        L^c = ReLU(sum_k alpha^c_k A^k),  alpha^c_k = 1/Z sum_ij dy^c / dA^k_ij

    A^k is channel k of the layer's output, Z its number of cells, y^c the logit of class c. The maps are raw and stay
    on the device, at the resolution of the layer: `cxrlib.explain.maps` normalises and upscales them.

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were. An `inference_copy` is faster.
        inputs: float32 (n, 3, h, w), normalised.
        layer: name of a module with a 4-D output.
        classes: column numbers of the logits; all when None.

    Returns:
        Maps, float32 (n, len(classes), rows, columns), and logits (n, all classes).

    Raises:
        LayerError: no such layer, or its output is no feature map.

    Here the three channels of the image are the feature map; the class weighs them with 4, -4 and 0, over two cells:

    >>> network = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1, bias=False))
    >>> network[3].weight.data = torch.tensor([[4.0, -4.0, 0.0]])
    >>> maps, logits = gradcam(network, torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]], [[9.0, 9.0]]]]), "0")
    >>> maps.tolist()  # ReLU(2 * [1, 2] - 2 * [0, 3])
    [[[[2.0, 0.0]]]]
    """
    activations, weights, logits = channel_weights(network, inputs, layer, classes)
    return weighted_sum(activations, weights), logits


def channel_weights(
    network: nn.Module, inputs: torch.Tensor, layer: str, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The parts of Grad-CAM: a layer's activations A^k and the weight alpha^c_k of each channel for each class.

        alpha^c_k = 1/Z sum_ij dy^c / dA^k_ij

    Where only global average pooling and a linear layer follow, `closed_form_weights` gives alpha without a gradient.
    Otherwise `gradient_weights` takes the gradient, down to the layer and no further.

    Args:
        network, inputs, layer, classes: as in `gradcam`.

    Returns:
        Activations (n, k, rows, columns), weights (n, len(classes), k) and logits (n, all classes), all float32.

    Raises:
        ValueError: as `gradcam`.

    >>> network = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1, bias=False))
    >>> network[3].weight.data = torch.tensor([[4.0, -4.0, 0.0]])
    >>> _, weights, logits = channel_weights(network, torch.ones(1, 3, 1, 2), "0")
    >>> weights.tolist(), logits.tolist()
    ([[[2.0, -2.0, 0.0]]], [[0.0]])
    """
    with frozen(network):
        pooled = pooled_at(network, layer)
        if pooled is None:
            return gradient_weights(network, inputs, layer, classes)
        return closed_form_weights(pooled, inputs, classes)


def closed_form_weights(
    network: PooledNetwork, inputs: torch.Tensor, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`channel_weights` of a pooled network, from the weights w_ck of its linear layer.

        alpha^c_k = w_ck / Z,  behind a ReLU alpha^c_k = w_ck / Z * (cells with A^k > 0) / Z

    The gradient at every cell is w_ck / Z, and behind a ReLU it is zero where the activation is not positive.

    Args:
        network: cut at the layer to explain.
        inputs, classes: as in `gradcam`.

    Returns:
        As `channel_weights`.

    Raises:
        ValueError: the layer's output is no feature map.

    >>> linear = nn.Linear(3, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[4.0, -4.0, 0.0]])
    >>> inputs = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]], [[9.0, 9.0]]]])
    >>> closed_form_weights(PooledNetwork(nn.Identity(), False, linear, "0"), inputs)[1].tolist()
    [[[2.0, -2.0, 0.0]]]
    >>> closed_form_weights(PooledNetwork(nn.Identity(), True, linear, "0"), inputs)[1].tolist()
    [[[2.0, -1.0, 0.0]]]
    """
    with torch.no_grad():
        activations = feature_map([network.features(inputs)], network.layer)
        logits = network.classify(activations)
        chosen = network.linear.weight if classes is None else network.linear.weight[classes]
        passing = (activations > 0).float() if network.rectified else torch.ones_like(activations[:, :, :1, :1])
        cells = activations.shape[2] * activations.shape[3]
        return activations, chosen * passing.mean((2, 3))[:, None] / cells, logits


def gradient_weights(
    network: nn.Module, inputs: torch.Tensor, layer: str, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`channel_weights` of any network by automatic differentiation: one forward pass, all classes backward at once.

    Args, returns, errors: as in `channel_weights`.

    >>> network = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1, bias=False))
    >>> network[3].weight.data = torch.tensor([[4.0, -4.0, 0.0]])
    >>> gradient_weights(network, torch.ones(1, 3, 1, 2), "0")[1].tolist()
    [[[2.0, -2.0, 0.0]]]
    """
    with explained_activations(network, layer) as recorded, torch.enable_grad():
        logits = network(inputs)
        activations = feature_map(recorded, layer)
        weights = class_gradients(logits, activations, classes, reduce=lambda gradients: gradients.mean((-2, -1)))
    return activations.detach(), weights, logits.detach()


def weighted_sum(activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Raw maps L^c = ReLU(sum_k alpha^c_k A^k).

    Args:
        activations: A, float32 (n, k, rows, columns).
        weights: alpha, float32 (n, classes, k).

    Returns:
        float32 (n, classes, rows, columns).

    >>> weighted_sum(torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]]), torch.tensor([[[2.0, -2.0]]])).tolist()
    [[[[2.0, 0.0]]]]
    """
    return (weights @ activations.flatten(2)).relu().unflatten(2, activations.shape[2:])
