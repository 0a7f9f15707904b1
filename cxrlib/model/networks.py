"""The classifier: a network of torchvision, timm or torchxrayvision's form with a new head, and its input."""

import numpy as np
import torch
from torch import nn

from cxrlib.model.architectures import IMAGENET, Normalisation, own_input, published_form
from cxrlib.model.strides import drop_strides, last_stride
from cxrlib.model.weight_names import head_of, outline_of, replace_module
from cxrlib.runtime.errors import Refusal

_LAST_STRIDES: dict[str, list[str]] = {}
"""Architecture -> `last_stride`; to find it takes longer than to build the network."""


class OwnInput:
    """Before the first layer of a network: what `normalise` made, in the normalisation of the network's own weights.

        (g - mean) / std, where g in 0..1 is the channel after `denormalise`; for one channel, the mean of the three

    Such a network takes the same batches as any other. Hangs on the layer as a forward pre-hook, so that names of
    layers and weights stay.

    >>> first = nn.Identity()
    >>> handle = first.register_forward_pre_hook(OwnInput(Normalisation((0.5,), (0.25,))))
    >>> white = normalise(torch.tensor([[[[255]]]], dtype=torch.uint8))
    >>> first(white).flatten().tolist()
    [2.0]
    """

    def __init__(self, own: Normalisation) -> None:
        self.own = own

    def __call__(self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The input of the layer, (n, channels, h, w), from inputs (n, 3, h, w)."""
        channels = denormalise(inputs[0])
        if len(self.own.mean) == 1:
            channels = channels.mean(1, keepdim=True)
        mean, std = (channels.new_tensor(values).view(1, -1, 1, 1) for values in self.own)
        return (channels - mean) / std


def build_network(architecture: str, n_classes: int, output_stride: int = 32) -> nn.Module:
    """A network of torchvision, timm or torchxrayvision's form without weights, with a head of `n_classes` logits.

    Args:
        architecture: torchvision's name of a classifier, e.g. "resnet50" or "densenet121"; "timm/NAME" for timm's; or
            "resnet50-xrv" and "densenet121-xrv", torchxrayvision's with one input channel.
        n_classes: number of labels.
        output_stride: input pixels per cell of the last feature map. 32 leaves the network as it is; 16 drops its last
            stride, so that a ResNet makes of 112 px the 7x7 map that it makes of 224 px at 32.

    Returns:
        In training mode; float32 (n, 3, h, w), as `normalise` makes them, to logits (n, n_classes).

    Raises:
        Refusal: there is no such network, it has no linear head, or its last stride cannot be dropped.

    >>> build_network("resnet18", 7)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 7])
    """
    network = published_form(architecture)
    own, size = own_input(architecture)
    head = head_of(network)
    replace_module(network, head, nn.Linear(network.get_submodule(head).in_features, n_classes))
    if own != IMAGENET:
        for name in _readers(network, architecture, size):
            if len(own.mean) == 1:
                replace_module(network, name, _for_one_channel(network.get_submodule(name)))
            network.get_submodule(name).register_forward_pre_hook(OwnInput(own))
    if output_stride == 16:
        if architecture not in _LAST_STRIDES:
            _LAST_STRIDES[architecture] = last_stride(network, architecture, size)
        drop_strides(network, _LAST_STRIDES[architecture])
    return network


def network_outline(architecture: str, n_classes: int, output_stride: int = 32) -> nn.Module:
    """`build_network` with shapes and no values, on the meta device.

    >>> network_outline("resnet18", 7).fc.weight.device
    device(type='meta')
    """
    try:
        with torch.device("meta"):
            return build_network(architecture, n_classes, output_stride)
    except (NotImplementedError, RuntimeError):  # the builder looks at values, as torchvision's RegNet does
        return outline_of(build_network(architecture, n_classes, output_stride))


def _readers(network: nn.Module, architecture: str, size: int) -> list[str]:
    """Names of the innermost modules that take the network's images of `size` pixels themselves."""
    outline, images, names = outline_of(network).eval(), torch.zeros(1, 3, size, size, device="meta"), []

    def noting(name: str):
        return lambda _module, inputs: names.append(name) if inputs and inputs[0] is images else None

    for name, module in outline.named_modules():
        module.register_forward_pre_hook(noting(name))
    with torch.no_grad():
        outline(images)
    names = [name for name in names if name and not any(other.startswith(f"{name}.") for other in names)]
    if not names:
        raise Refusal(f"model.architecture: no layer of {architecture} takes the images as they are; choose another")
    return names


def _for_one_channel(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution like another one for images with one channel."""
    same = {name: getattr(convolution, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    return nn.Conv2d(1, convolution.out_channels, **same, bias=convolution.bias is not None)


def _transforms():
    """torchvision takes seconds to import, and stored maps are shown without it."""
    from torchvision.transforms.v2 import functional

    return functional


def to_input(images: np.ndarray | torch.Tensor, size: int) -> torch.Tensor:
    """8-bit grey images to the network's uint8 frame: resized with antialiasing, no normalisation yet.

    Args:
        images: uint8 (n, height, width).
        size: side of the network's input in pixels.

    Returns:
        uint8 (n, 1, size, size).

    >>> to_input(np.full((2, 30, 40), 7, np.uint8), 10).shape
    torch.Size([2, 1, 10, 10])
    """
    tensor = torch.as_tensor(np.ascontiguousarray(images))[:, None]
    return _transforms().resize(tensor, [size, size], antialias=True)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """8-bit grey images to the network's input: (g / 255 - mean) / std, with ImageNet's mean and std of each channel.

    Args:
        images: g, uint8 (n, 1, h, w).

    Returns:
        float32 (n, 3, h, w), the grey value in all three channels.

    The first channel of white is (1 - 0.485) / 0.229:

    >>> normalise(torch.tensor([[[[255]]]], dtype=torch.uint8)).flatten().numpy().round(3)
    array([2.249, 2.429, 2.64 ], dtype=float32)
    """
    scaled = _transforms().to_dtype(images, torch.float32, scale=True).expand(-1, 3, -1, -1)
    return _transforms().normalize(scaled, list(IMAGENET.mean), list(IMAGENET.std))


def denormalise(inputs: torch.Tensor) -> torch.Tensor:
    """The inverse of `normalise`, without rounding: x * std + mean.

    Args:
        inputs: x, float32 (n, 3, h, w).

    Returns:
        float32 (n, 3, h, w) in 0..1.

    >>> denormalise(normalise(torch.tensor([[[[51]]]], dtype=torch.uint8))).flatten().numpy().round(3)
    array([0.2, 0.2, 0.2], dtype=float32)
    """
    mean, std = (inputs.new_tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    return inputs * std + mean


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights lie: the device of its first parameter.

    Raises:
        StopIteration: the network has no parameters.

    >>> device_of(nn.Linear(1, 1))
    device(type='cpu')
    """
    return next(network.parameters()).device


def feature_map_shape(network: nn.Module, layer: str, size: int) -> tuple[int, ...]:
    """Shape (k, rows, columns) of what the module `layer` gives for an image of `size` pixels.

    Raises:
        AttributeError: the network has no such module.

    >>> feature_map_shape(build_network("resnet18", 2), "layer4", 64)
    (512, 2, 2)
    """
    outline, shapes = outline_of(network).eval(), []
    outline.get_submodule(layer).register_forward_hook(lambda _, __, output: shapes.append(output.shape[1:]))
    with torch.no_grad():
        outline(torch.zeros(1, 3, size, size, device="meta"))
    return tuple(shapes[0])
