"""The classifier, a torchvision ResNet with a new head, and the tensors that the ResNet reads."""

import numpy as np
import torch
from torch import nn
from torchvision import models
from torchvision.transforms import v2

IMAGENET_MEAN = (0.485, 0.456, 0.406)


IMAGENET_STD = (0.229, 0.224, 0.225)


class GreyConv2d(nn.Conv2d):
    """The first convolution of a network that reads one channel in -1024..1024.

    Its input is that of `normalise`; grey values g in 0..1 become `(2 g - 1) * 1024`.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Feature map of inputs (n, 3, h, w)."""
        grey = denormalise(inputs).mean(1, keepdim=True)
        return super().forward((2 * grey - 1) * 1024)


def build_resnet(architecture: str, n_classes: int, output_stride: int = 32) -> nn.Module:
    """A torchvision ResNet with random weights, its `fc` replaced by a linear layer of `n_classes` logits.

    >>> network = build_resnet("resnet18", n_classes=7, output_stride=16)
    >>> network(torch.zeros(1, 3, 112, 112)).shape
    torch.Size([1, 7])

    Args:
        architecture: "resnet18", "resnet34", "resnet50", or "resnet50-xrv", torchxrayvision's with one input channel.
        n_classes: number of labels.
        output_stride: input pixels per cell of the last feature map, 32 or 16. With 16 the last block has no stride:
            112 pixels give a map of 7 x 7 cells, as 224 pixels do with 32.
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
    """8-bit grey images to the network's frame: resized bilinearly with antialiasing, not yet normalised.

    >>> to_input(np.array([[[0, 100], [0, 100]]], np.uint8), 1)
    tensor([[[[50]]]], dtype=torch.uint8)

    Args:
        images: uint8 (n, height, width).
        size: side of the network's input in pixels.

    Returns:
        uint8 (n, 1, size, size).
    """
    tensor = torch.as_tensor(np.ascontiguousarray(images))[:, None]
    return v2.functional.resize(tensor, [size, size], antialias=True)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 (n, 1, h, w) to float32 (n, 3, h, w): `(grey / 255 - mean_c) / std_c` with ImageNet's mean and std.

    >>> normalise(torch.tensor([[[[255]]]], dtype=torch.uint8)).flatten()  # (1 - 0.485) / 0.229, ...
    tensor([2.2489, 2.4286, 2.6400])
    """
    scaled = v2.functional.to_dtype(images, torch.float32, scale=True).expand(-1, 3, -1, -1)
    return v2.functional.normalize(scaled, list(IMAGENET_MEAN), list(IMAGENET_STD))


def denormalise(inputs: torch.Tensor) -> torch.Tensor:
    """The inverse of `normalise`: float32 (n, 3, h, w) to grey values in 0..1, `x * std_c + mean_c`.

    >>> denormalise(normalise(torch.tensor([[[[51]]]], dtype=torch.uint8))).flatten()
    tensor([0.2000, 0.2000, 0.2000])
    """
    mean, std = (inputs.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return inputs * std + mean


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's weights.

    >>> device_of(nn.Linear(1, 1))
    device(type='cpu')
    """
    return next(network.parameters()).device
