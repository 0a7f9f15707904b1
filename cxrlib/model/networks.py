"""The classifier: a torchvision ResNet with a new head, and its input."""

import copy

import numpy as np
import torch
from torch import nn
from torchvision import models
from torchvision.transforms import v2

IMAGENET_MEAN = (0.485, 0.456, 0.406)


IMAGENET_STD = (0.229, 0.224, 0.225)


ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet50-xrv")
"""What `build_resnet` is asked for; the choices of the parameter model.architecture."""


class GreyConv2d(nn.Conv2d):
    """The first convolution of a network that reads one channel in -1024..1024.

        channel = (2 g - 1) * 1024, where g in 0..1 is the mean of the three channels after `denormalise`

    Its input is what `normalise` makes, so that such a network takes the same batches as any other.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Feature map of inputs (n, 3, h, w)."""
        grey = denormalise(inputs).mean(1, keepdim=True)
        return super().forward((2 * grey - 1) * 1024)


def build_resnet(architecture: str, n_classes: int, output_stride: int = 32) -> nn.Module:
    """A torchvision ResNet (He et al. 2015) without weights, its `fc` replaced by a linear layer of `n_classes` logits.

    Args:
        architecture: "resnet18", "resnet34", "resnet50", or "resnet50-xrv", torchxrayvision's with one input channel.
        n_classes: number of labels.
        output_stride: input pixels per cell of the last feature map. 16 drops the stride of the last block, so that
            112 px give the 7x7 map that 224 px give at 32.

    Returns:
        In training mode; float32 (n, 3, h, w) to logits (n, n_classes).

    Raises:
        ValueError: torchvision has no such architecture.

    >>> build_resnet("resnet18", 7)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 7])
    """
    network = models.get_model(architecture.removesuffix("-xrv"), weights=None)
    if architecture.endswith("-xrv"):
        network.conv1 = GreyConv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    network.fc = nn.Linear(network.fc.in_features, n_classes)
    if output_stride == 16:
        for module in network.layer4[0].modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    return network


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
    return v2.functional.resize(tensor, [size, size], antialias=True)


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
    scaled = v2.functional.to_dtype(images, torch.float32, scale=True).expand(-1, 3, -1, -1)
    return v2.functional.normalize(scaled, list(IMAGENET_MEAN), list(IMAGENET_STD))


def denormalise(inputs: torch.Tensor) -> torch.Tensor:
    """The inverse of `normalise`, without rounding: x * std + mean.

    Args:
        inputs: x, float32 (n, 3, h, w).

    Returns:
        float32 (n, 3, h, w) in 0..1.

    >>> denormalise(normalise(torch.tensor([[[[51]]]], dtype=torch.uint8))).flatten().numpy().round(3)
    array([0.2, 0.2, 0.2], dtype=float32)
    """
    mean, std = (inputs.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
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

    The network is in evaluation mode afterwards.

    Raises:
        AttributeError: the network has no such module.

    >>> feature_map_shape(build_resnet("resnet18", 2), "layer4", 64)
    (512, 2, 2)
    """
    copied, shapes = copy.deepcopy(network).eval(), []
    copied.get_submodule(layer).register_forward_hook(lambda _, __, output: shapes.append(output.shape[1:]))
    with torch.no_grad():
        copied(torch.zeros(1, 3, size, size, device=device_of(network)))
    return tuple(shapes[0])
