"""The layers of a network at which it can be explained."""

import torch
from torch import nn

from cxrlib.model.weight_names import outline_of

NO_LAYERS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.Dropout, nn.Identity)
"""Modules that add no features: the map before them is the one to explain."""


AUTO = "auto"
"""Stands for the last feature map where the name of a layer is asked for."""


def chosen_layer(network: nn.Module, layer: str, size: int) -> str:
    """`layer` itself, or where it is "auto" the last feature map of an image of `size` pixels with three channels.

    Raises:
        ValueError: as `last_feature_map`.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> chosen_layer(network, "auto", 8), chosen_layer(network, "1", 8)
    ('0', '1')
    """
    if layer != AUTO:
        return layer
    return last_feature_map(outline_of(network), torch.zeros(1, 3, size, size, device="meta"))


def last_feature_map(network: nn.Module, images: torch.Tensor) -> str:
    """Name of the module that gives the last feature map of at least two cells: the layer to explain by default.

    Of nested modules with the same output the outermost counts: `layer4` of a ResNet, `features` of a DenseNet, an
    EfficientNet, a VGG or a ConvNeXt.

    Args:
        network: in any mode; it runs once on the first image, in evaluation mode, and its mode returns as it was.
        images: float32 (n, c, h, w) as the network takes them.

    Raises:
        ValueError: no module gives a feature map of at least two cells.

    >>> head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
    >>> last_feature_map(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), *head), torch.zeros(1, 3, 4, 4))
    '1'
    """
    found: list[str] = []

    def noting(name: str):
        def note(module: nn.Module, _inputs: tuple, output: object) -> None:
            is_map = isinstance(output, torch.Tensor) and output.ndim == 4 and output[0, 0].numel() > 1
            if is_map and not isinstance(module, NO_LAYERS):
                found.append(name)

        return note

    modes = [(module, module.training) for module in network.modules()]
    hooks = [module.register_forward_hook(noting(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            network.eval()(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    if not found:
        raise ValueError("the network has no layer whose output is a feature map of at least two cells")
    return found[-1]
