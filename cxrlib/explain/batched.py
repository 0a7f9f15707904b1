"""Explanations of many images, batch by batch: what the stages store."""

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
    """SmoothGrad maps of many images, all classes: `samples` forward passes per image.

    Args:
        network: logits (n, classes), on its device.
        images: uint8 (n, 1, h, w) in the network's frame; image i is seeded with i.
        noise_level, samples, layer, average: as in `smoothgrad`.
        batch_size: noisy copies per forward pass; halved, with a warning, where memory does not suffice.

    Returns:
        Raw maps, float32 (n, classes, rows, columns) on the CPU.

    Raises:
        ValueError: as `gradcam`.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> images = torch.zeros(5, 1, 4, 4, dtype=torch.uint8)
    >>> explain_smooth(network, images, noise_level=0.1, samples=3, layer="0", batch_size=3).shape
    torch.Size([5, 2, 4, 4])
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
    """Grad-CAM of all classes and probabilities for many images: one forward pass per image.

    The probability of a class is sigmoid(logit).

    Args:
        network: logits (n, classes), on its device.
        images: uint8 (n, 1, h, w) in the network's frame.
        layer: as in `gradcam`.
        batch_size: images per forward pass; halved, with a warning, where memory does not suffice.

    Returns:
        Raw maps, float32 (n, classes, rows, columns), and probabilities, float32 (n, classes), both on the CPU.

    Raises:
        ValueError: as `gradcam`.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> maps, probabilities = explain(network, torch.zeros(5, 1, 4, 4, dtype=torch.uint8), layer="0", batch_size=2)
    >>> maps.shape, probabilities.shape
    (torch.Size([5, 2, 4, 4]), torch.Size([5, 2]))
    """
    parts = []
    for batch in load_batches(images, torch.arange(len(images)).split(batch_size), device_of(network)):
        maps, logits = gradcam(network, normalise(batch), layer)
        parts.append((maps, logits.sigmoid()))
    return torch.cat([maps for maps, _ in parts]).cpu(), torch.cat([probabilities for _, probabilities in parts]).cpu()
