"""SmoothGrad (Smilkov et al. 2017) over Grad-CAM (thesis, section 3.2)."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.maps import normalise_maps
from cxrlib.model.pooling import pooled_at


def smoothgrad(
    network: nn.Module,
    image: torch.Tensor,
    noise_level: float,
    samples: int,
    seed: int,
    layer: str = "layer4",
    batch_size: int = 32,
    average: Literal["raw", "normalised"] = "raw",
) -> torch.Tensor:
    """Mean Grad-CAM map over noisy copies of one image, all classes: `samples` forward passes.

    Args:
        network: logits (n, classes); borrowed. An `inference_copy` is faster.
        image: float32 (3, h, w), normalised.
        noise_level: standard deviation of the Gaussian noise as a fraction of the image's maximum - minimum.
        samples: noisy copies; they stream in batches, so memory does not grow with them.
        seed: seeds the noise, which does not depend on the batch size.
        layer: as in `gradcam`.
        average: "raw" averages ReLU maps, "normalised" divides each by its maximum first.

    Returns:
        float32 (classes, rows, columns) at the resolution of the layer, raw.
    """
    network = pooled_at(network, layer) or network
    total: torch.Tensor | float = 0.0
    for noisy in noisy_copies(image, noise_level, samples, seed, batch_size):
        maps, _ = gradcam(network, noisy, layer)
        total = total + (normalise_maps(maps) if average == "normalised" else maps).sum(0)
    return total / samples


def noisy_copies(
    image: torch.Tensor, noise_level: float, samples: int, seed: int, batch_size: int
) -> Iterator[torch.Tensor]:
    """Batches of `image` (3, h, w) plus Gaussian noise, made on its device; the seed alone decides, not the batch."""
    generator = torch.Generator(image.device).manual_seed(seed)
    sigma = noise_level * (image.max() - image.min())
    for start in range(0, samples, batch_size):
        count = min(batch_size, samples - start)
        noise = [torch.randn(image.shape, generator=generator, device=image.device) for _ in range(count)]
        yield torch.stack(noise).mul_(sigma).add_(image)
