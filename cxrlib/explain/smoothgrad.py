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

    `(1 / samples) sum_i L^c(x + e_i)`, with `e_i ~ N(0, sigma^2)` and `sigma = noise_level * (max x - min x)`
    (Smilkov et al. 2017, with Grad-CAM in place of the gradient; thesis, section 3.2). Without noise the mean is
    Grad-CAM itself:

    >>> from cxrlib.model.pooling import PooledNetwork
    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[4.0, -2.0]])
    >>> network = PooledNetwork(nn.Identity(), False, linear, "features")
    >>> channels = torch.tensor([[[1.0, 3.0]], [[5.0, 1.0]]])
    >>> smoothgrad(network, channels, noise_level=0.0, samples=3, seed=0, layer="features")
    tensor([[[0., 5.]]])

    Args:
        network: logits (n, classes); its modes are as before afterwards. An `inference_copy` is faster.
        image: float32 (3, h, w), normalised.
        noise_level: standard deviation of the Gaussian noise as a fraction of the image's maximum - minimum.
        samples: number of noisy copies. They come in batches, so memory does not grow with their number.
        seed: seeds the noise, which does not depend on the batch size.
        layer: as in `gradcam`.
        batch_size: copies per forward pass.
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
    """Batches of one image plus Gaussian noise: `x + e`, `e ~ N(0, sigma^2)`, `sigma = noise_level * (max x - min x)`.

    Every copy is drawn by itself, so the noise depends on the seed and the device, not on the batch size.

    >>> image = torch.tensor([[[0.0, 10.0]]])
    >>> [len(batch) for batch in noisy_copies(image, 0.1, samples=5, seed=0, batch_size=2)]
    [2, 2, 1]
    >>> copies = torch.cat(list(noisy_copies(image, 0.1, samples=2000, seed=0, batch_size=500)))
    >>> abs(float(copies[:, 0, 0, 0].std()) - 1.0) < 0.05  # 0.1 * (10 - 0)
    True

    Args:
        image: float32 (3, h, w), on the device where the noise is drawn.
        noise_level, samples, seed: as in `smoothgrad`.
        batch_size: copies per batch.

    Yields:
        float32 (at most batch_size, 3, h, w).
    """
    generator = torch.Generator(image.device).manual_seed(seed)
    sigma = noise_level * (image.max() - image.min())
    for start in range(0, samples, batch_size):
        count = min(batch_size, samples - start)
        noise = [torch.randn(image.shape, generator=generator, device=image.device) for _ in range(count)]
        yield torch.stack(noise).mul_(sigma).add_(image)
