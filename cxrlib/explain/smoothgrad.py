"""SmoothGrad (Smilkov et al. 2017) over Grad-CAM (thesis, section 3.2)."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen, gradcam
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
    classes: list[int] | None = None,
) -> torch.Tensor:
    """Mean Grad-CAM map over noisy copies of one image, all classes: `samples` forward passes (thesis, section 3.2).

        1/N sum_n L^c(x + e_n),  e_n from a normal distribution with sigma = noise_level * (max x - min x)

    The method is SmoothGrad (Smilkov et al. 2017) with Grad-CAM in place of the gradient.

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were. An `inference_copy` is faster.
        image: x, float32 (3, h, w), normalised.
        noise_level: standard deviation of the noise as a fraction of the image's maximum - minimum.
        samples: N, the number of noisy copies.
        seed: seeds the noise, which does not depend on the batch size.
        layer: as in `gradcam`.
        batch_size: copies per forward pass; memory grows with it and not with `samples`.
        average: "raw" averages the maps L^c, "normalised" divides each by its maximum first.
        classes: as in `gradcam`.

    Returns:
        float32 (classes, rows, columns) at the resolution of the layer, raw.

    Raises:
        ValueError: as `gradcam`.

    Without noise the result is the Grad-CAM map:

    >>> network = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1, bias=False))
    >>> network[3].weight.data = torch.tensor([[4.0, -4.0, 0.0]])
    >>> image = torch.tensor([[[1.0, 2.0]], [[0.0, 3.0]], [[9.0, 9.0]]])
    >>> smoothgrad(network, image, noise_level=0.0, samples=4, seed=0, layer="0").tolist()
    [[[2.0, 0.0]]]
    """
    total: torch.Tensor | float = 0.0
    with frozen(network):  # in evaluation mode before it is cut: a functional dropout would be traced as active
        explained = pooled_at(network, layer) or network
        for noisy in noisy_copies(image, noise_level, samples, seed, batch_size):
            maps, _ = gradcam(explained, noisy, layer, classes)
            total = total + (normalise_maps(maps) if average == "normalised" else maps).sum(0)
    return total / samples


def noisy_copies(
    image: torch.Tensor, noise_level: float, samples: int, seed: int, batch_size: int
) -> Iterator[torch.Tensor]:
    """Batches of an image plus Gaussian noise with sigma = noise_level * (max x - min x).

    The noise of each copy depends on the seed and its number, not on the batch size.

    Args:
        image: x, of a floating dtype, (3, h, w), on the device on which the noise is drawn in float32.
        noise_level, samples, seed, batch_size: as in `smoothgrad`.

    Yields:
        (at most batch_size, 3, h, w) of the image's dtype.

    >>> [len(batch) for batch in noisy_copies(torch.rand(3, 4, 4), 0.1, samples=5, seed=0, batch_size=2)]
    [2, 2, 1]
    """
    generator = torch.Generator(image.device).manual_seed(seed)
    sigma = noise_level * (image.max() - image.min())
    for start in range(0, samples, batch_size):
        count = min(batch_size, samples - start)
        noise = [torch.randn(image.shape, generator=generator, device=image.device) for _ in range(count)]
        yield torch.stack(noise).to(image.dtype).mul_(sigma).add_(image)
