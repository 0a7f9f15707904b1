"""Explanations of many images, batch by batch."""

from typing import Literal

import torch
from torch import nn

from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.smoothgrad import smoothgrad
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.networks import device_of, normalise
from cxrlib.runtime.memory import smaller_batches
from cxrlib.runtime.progress import progress


@smaller_batches
def explain_smooth(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    noise_level: float,
    samples: int,
    layer: str,
    batch_size: int,
    average: Literal["raw", "normalised"] = "raw",
) -> torch.Tensor:
    """`smoothgrad` maps of many images, all classes: `samples` forward passes per image.

    >>> from cxrlib.model.pooling import PooledNetwork
    >>> linear = nn.Linear(3, 2)
    >>> network = PooledNetwork(nn.Identity(), False, linear, "features")
    >>> images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    >>> explain_smooth(network, images, 0.1, samples=2, layer="features", batch_size=2).shape
    torch.Size([4, 2, 8, 8])

    Args:
        network: on its device.
        images: uint8 (n, 1, h, w) in the network's frame; the noise of image i is seeded with i.
        noise_level, samples, layer, batch_size, average: as in `smoothgrad`.

    Returns:
        Raw maps, float32 (n, classes, rows, columns) on the CPU.
    """
    loaded = load_batches(images, torch.arange(len(images)).split(1), device_of(network))
    settings = {"layer": layer, "batch_size": batch_size, "average": average}
    maps = [
        smoothgrad(network, normalise(image)[0], noise_level, samples, seed, **settings)
        for seed, image in enumerate(progress(loaded, f"SmoothGrad, noise {noise_level:g}", "image", len(images)))
    ]
    return torch.stack(maps).cpu()


@smaller_batches
def explain(
    network: nn.Module, images: torch.Tensor | StoredInputs, layer: str, batch_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`gradcam` of all classes, and probabilities `sigmoid(logit)`, for many images: one forward pass per image.

    >>> from cxrlib.model.pooling import PooledNetwork
    >>> linear = nn.Linear(3, 2)
    >>> network = PooledNetwork(nn.Identity(), False, linear, "features")
    >>> maps, probabilities = explain(network, torch.zeros(4, 1, 8, 8, dtype=torch.uint8), "features", batch_size=3)
    >>> maps.shape, probabilities.shape
    (torch.Size([4, 2, 8, 8]), torch.Size([4, 2]))

    Args:
        network: on its device.
        images: uint8 (n, 1, h, w) in the network's frame.
        layer: as in `gradcam`.
        batch_size: images per forward pass.

    Returns:
        Raw maps, float32 (n, classes, rows, columns), and probabilities (n, classes), both on the CPU.
    """
    parts = []
    for batch in load_batches(images, torch.arange(len(images)).split(batch_size), device_of(network)):
        maps, logits = gradcam(network, normalise(batch), layer)
        parts.append((maps, logits.sigmoid()))
    return torch.cat([maps for maps, _ in parts]).cpu(), torch.cat([probabilities for _, probabilities in parts]).cpu()
