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
    found = _maps_of_modules(network, images)
    if not found:
        raise ValueError("the network has no layer whose output is a feature map of at least two cells")
    return found[-1][0]


def layers_to_choose(network: nn.Module, size: int) -> list[str]:
    """Names of the layers that a menu offers: the blocks of the network, in order.

    A block holds convolutions, and its output is a feature map of at least two cells. Where there is only one, as the
    feature extractor of a DenseNet, the blocks inside of it count. Where there are convolutions and no blocks, as in a
    VGG, the last module at each resolution counts. Of nested modules with the same output the outermost is named.

    Args:
        network: takes images with three channels; it runs without values and stays as it is.
        size: side of the images in pixels.

    >>> blocks = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)) for _ in range(2)]
    >>> head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)]
    >>> layers_to_choose(nn.Sequential(*blocks, *head), 8)
    ['0', '1']
    >>> layers_to_choose(nn.Sequential(*blocks[0], *head), 8)
    ['1', '2']
    """
    outline = outline_of(network)
    outputs = dict(_maps_of_modules(outline, torch.zeros(1, 3, size, size, device="meta")))
    return [_outermost(name, outputs) for name in _blocks(outline, "", outputs)]


def _maps_of_modules(network: nn.Module, images: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """Name and output of the modules that give a feature map of at least two cells, in the order in which they end."""
    found: list[tuple[str, torch.Tensor]] = []

    def noting(name: str):
        def note(module: nn.Module, _inputs: tuple, output: object) -> None:
            is_map = isinstance(output, torch.Tensor) and output.ndim == 4 and output[0, 0].numel() > 1
            if is_map and not isinstance(module, NO_LAYERS):
                found.append((name, output))

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
    return found


def _blocks(module: nn.Module, prefix: str, outputs: dict[str, torch.Tensor]) -> list[str]:
    """Names of the blocks inside a module; of other modules there, the last at each resolution, if there are none."""
    parts = _parts(module, prefix, outputs)
    blocks = {name: part for name, part in parts.items() if _is_block(part)}
    if len(blocks) > 1:
        return list(blocks)
    if blocks:
        ((name, block),) = blocks.items()
        return _blocks(block, f"{name}.", outputs) or [name]
    return list({outputs[name].shape[2:]: name for name in parts}.values())


def _parts(module: nn.Module, prefix: str, outputs: dict[str, torch.Tensor]) -> dict[str, nn.Module]:
    """The outermost modules inside a module that give feature maps, by name."""
    parts: dict[str, nn.Module] = {}
    for name, child in module.named_children():
        if prefix + name in outputs:
            parts[prefix + name] = child
        else:  # a list of modules, or a head
            parts |= _parts(child, f"{prefix}{name}.", outputs)
    return parts


def _is_block(module: nn.Module) -> bool:
    return not isinstance(module, nn.Conv2d) and any(isinstance(part, nn.Conv2d) for part in module.modules())


def _outermost(name: str, outputs: dict[str, torch.Tensor]) -> str:
    parent = name.rpartition(".")[0]
    return _outermost(parent, outputs) if parent in outputs and outputs[parent] is outputs[name] else name
