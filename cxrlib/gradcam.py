"""Grad-CAM (Selvaraju et al. 2017; thesis, section 3.1): where a convolutional layer supports a class."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from cxrlib.resnet import normalise


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
        raise ValueError(f"gradcam.layer: the network has no module {layer!r}; its parts are {names}") from None
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

    The gradients of each class's logit reach down to the activations of `layer` only; their spatial means weigh the
    channels; the weighted sum passes a ReLU. Maps are raw: `cxrlib.maps` normalises and upscales.

    Args:
        network: logits (n, classes); borrowed, its state is given back.
        inputs: float32 (n, 3, h, w), normalised.
        layer: name of a module with a 4-D output.
        classes: column numbers of the logits; all when None.

    Returns:
        Maps, float32 (n, len(classes), rows, columns) at the resolution of the layer, and logits (n, all classes).

    Raises:
        ValueError: no such layer, or its output is no feature map.
    """
    with frozen(network), explained_activations(network, layer) as recorded, torch.enable_grad():
        logits = network(inputs)
        activations = recorded[0]
        if activations.ndim != 4:
            raise ValueError(f"gradcam.layer: {layer} has output of shape {tuple(activations.shape)}, no feature map")
        columns = range(logits.shape[1]) if classes is None else classes
        weights = [channel_weights(logits[:, column], activations) for column in columns]
    maps = [weighted_sum(activations.detach(), weight) for weight in weights]
    return torch.stack(maps, dim=1), logits.detach()


def channel_weights(logit: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    """Spatial mean of the gradient of one class's logit (n,) at the activations (n, k, h, w): (n, k)."""
    (gradient,) = torch.autograd.grad(logit.sum(), activations, retain_graph=True)
    return gradient.mean(dim=(2, 3))


def weighted_sum(activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """ReLU of the channels (n, k, h, w) summed with their weights (n, k): raw maps (n, h, w)."""
    return (weights[:, :, None, None] * activations).sum(1).relu()


def gradcam_steps(
    network: nn.Module, inputs: torch.Tensor, column: int, layer: str = "layer4"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The parts of one Grad-CAM map, for showing: activations (n, k, h, w), weights (n, k), raw map (n, h, w)."""
    with frozen(network), explained_activations(network, layer) as recorded, torch.enable_grad():
        logits = network(inputs)
        weights = channel_weights(logits[:, column], recorded[0])
    activations = recorded[0].detach()
    return activations, weights, weighted_sum(activations, weights)


def explain(network: nn.Module, images: torch.Tensor, layer: str, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grad-CAM of all classes and probabilities for many images: one forward pass per image.

    Args:
        network: on its device.
        images: uint8 (n, 1, h, w) from `cxrlib.resnet.to_input`.

    Returns:
        Raw maps, float32 (n, classes, rows, columns), and probabilities (n, classes), both on the CPU.
    """
    device = next(network.parameters()).device
    parts = [gradcam(network, normalise(batch.to(device)), layer) for batch in images.split(batch_size)]
    return torch.cat([maps.cpu() for maps, _ in parts]), torch.cat([logits.sigmoid().cpu() for _, logits in parts])
