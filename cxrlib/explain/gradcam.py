"""Grad-CAM (Selvaraju et al. 2017; thesis, section 3.1): where a convolutional layer supports a class."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from cxrlib.model.pooling import PooledNetwork, pooled_at
from cxrlib.runtime.errors import Refusal


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Borrow a network: evaluation mode, no parameter gradients; both are given back, module by module."""
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
    """Record the activations of `layer` in the next forward pass; the graph starts there, nothing before is kept."""
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        names = ", ".join(name for name, _ in network.named_children())
        raise Refusal(
            f"gradcam.layer: the network has no module {layer!r}; its parts are {names}, choose one of them"
        ) from None
    recorded: list[torch.Tensor] = []

    def record(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        recorded[:] = [output.detach().requires_grad_()]
        # a copy, since an in-place operation may follow and a leaf must not change
        return recorded[0].clone()

    handle = module.register_forward_hook(record)
    try:
        yield recorded
    finally:
        handle.remove()


def gradcam(
    network: nn.Module, inputs: torch.Tensor, layer: str = "layer4", classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Grad-CAM maps of several classes from one forward pass.

    Maps are raw and stay on the device, at the resolution of the layer: `cxrlib.explain.maps` normalises and upscales.

    Args:
        network: logits (n, classes); borrowed, its state is given back. An `inference_copy` is faster.
        inputs: float32 (n, 3, h, w), normalised.
        layer: name of a module with a 4-D output.
        classes: column numbers of the logits; all when None.

    Returns:
        Maps, float32 (n, len(classes), rows, columns), and logits (n, all classes).

    Raises:
        Refusal: no such layer, or its output is no feature map.
    """
    activations, weights, logits = channel_weights(network, inputs, layer, classes)
    return weighted_sum(activations, weights), logits


def channel_weights(
    network: nn.Module, inputs: torch.Tensor, layer: str, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The parts of Grad-CAM: a layer's activations, and how much each channel weighs for each class.

    The weight is the spatial mean of the gradient of the class's logit. Where only global average pooling and a linear
    layer follow, it is known without a gradient; otherwise one is taken, down to the layer and no further.

    Args:
        network, inputs, layer, classes: as in `gradcam`.

    Returns:
        Activations (n, k, rows, columns), weights (n, len(classes), k) and logits (n, all classes).
    """
    with frozen(network):
        pooled = pooled_at(network, layer)
        if pooled is None:
            return gradient_weights(network, inputs, layer, classes)
        return closed_form_weights(pooled, inputs, classes)


def closed_form_weights(
    network: PooledNetwork, inputs: torch.Tensor, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`channel_weights` of a pooled network: the gradient at each cell is the linear weight / number of cells.

    Behind a ReLU it is zero where the activation is not positive, so that the mean is smaller by that share.
    """
    with torch.no_grad():
        activations = network.features(inputs)
        if activations.ndim != 4:
            raise Refusal(_no_feature_map(network.layer, activations))
        logits = network.classify(activations)
        chosen = network.linear.weight if classes is None else network.linear.weight[classes]
        passing = (activations > 0).float() if network.rectified else torch.ones_like(activations[:, :, :1, :1])
        cells = activations.shape[2] * activations.shape[3]
        return activations, chosen * passing.mean((2, 3))[:, None] / cells, logits


def gradient_weights(
    network: nn.Module, inputs: torch.Tensor, layer: str, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`channel_weights` of any network by automatic differentiation: one forward pass, all classes backward at once."""
    with explained_activations(network, layer) as recorded, torch.enable_grad():
        logits = network(inputs)
        activations = recorded[0]
        if activations.ndim != 4:
            raise Refusal(_no_feature_map(layer, activations))
        chosen = logits.sum(0) if classes is None else logits.sum(0)[classes]
        try:
            (gradients,) = torch.autograd.grad(
                chosen, activations, torch.eye(len(chosen)).to(chosen), retain_graph=True, is_grads_batched=True
            )
            weights = gradients.mean((3, 4))
        except RuntimeError:  # too little memory for all classes, or an operation that cannot be batched: one by one
            each = [torch.autograd.grad(logit, activations, retain_graph=True)[0].mean((2, 3)) for logit in chosen]
            weights = torch.stack(each)
    return activations.detach(), weights.transpose(0, 1), logits.detach()


def weighted_sum(activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """ReLU of channels (n, k, h, w) summed with each class's weights (n, classes, k): raw maps (n, classes, h, w)."""
    return (weights @ activations.flatten(2)).relu().unflatten(2, activations.shape[2:])


def _no_feature_map(layer: str, output: torch.Tensor) -> str:
    shape = tuple(output.shape)
    return f"gradcam.layer: {layer} has output of shape {shape}, no feature map; choose one before pooling, e.g. layer4"
