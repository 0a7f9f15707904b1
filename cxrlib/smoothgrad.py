"""SmoothGrad (Smilkov et al. 2017) over Grad-CAM (thesis, section 3.2), and the gradients it comes from."""

from collections.abc import Iterator
from typing import Literal

import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import nn

from cxrlib.gradcam import frozen, gradcam
from cxrlib.inference import pooled_at
from cxrlib.inputs import StoredInputs, load_batches
from cxrlib.maps import normalise_maps, upscale
from cxrlib.masks import top_pixels
from cxrlib.memory import smaller_batches
from cxrlib.params import Smoothgrad
from cxrlib.progress import progress
from cxrlib.resnet import device_of, normalise


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
        network: logits (n, classes); borrowed. A `cxrlib.inference.inference_copy` is faster.
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


@smaller_batches
def explain_smooth(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    noise_level: float,
    params: Smoothgrad,
    layer: str,
    batch_size: int,
) -> torch.Tensor:
    """SmoothGrad maps of many images, all classes: `params.samples` forward passes per image.

    Args:
        network: on its device.
        images: uint8 (n, 1, h, w) in the network's frame; image i is seeded with i.

    Returns:
        Raw maps, float32 (n, classes, rows, columns) on the CPU.
    """
    loaded = load_batches(images, torch.arange(len(images)).split(1), device_of(network))
    settings = {"layer": layer, "batch_size": batch_size, "average": params.average}
    maps = [
        smoothgrad(network, normalise(image)[0], noise_level, params.samples, seed, **settings)
        for seed, image in enumerate(progress(loaded, f"SmoothGrad, noise {noise_level:g}", "image", len(images)))
    ]
    return torch.stack(maps).cpu()


def vanilla_gradient(network: nn.Module, inputs: torch.Tensor, column: int) -> torch.Tensor:
    """Absolute gradient of one logit with respect to the input (Simonyan et al. 2013), strongest channel.

    Args:
        network: logits (n, classes); borrowed.
        inputs: float32 (n, 3, h, w), normalised.
        column: which logit.

    Returns:
        float32 (n, h, w).
    """
    with frozen(network), torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network(leaf)[:, column].sum(), leaf)
    return gradient.abs().amax(1)


@smaller_batches
def smooth_gradient(
    network: nn.Module, image: torch.Tensor, column: int, noise_level: float, samples: int, seed: int, batch_size: int
) -> torch.Tensor:
    """SmoothGrad as published: the mean `vanilla_gradient` over noisy copies of one image (3, h, w) -> (h, w)."""
    batches = noisy_copies(image, noise_level, samples, seed, batch_size)
    return sum(vanilla_gradient(network, noisy, column).sum(0) for noisy in batches) / samples


def map_agreement(
    first: torch.Tensor, second: torch.Tensor, chosen: torch.Tensor, size: int, share: float = 0.1
) -> pd.DataFrame:
    """How far two sets of maps agree, map by map.

    Args:
        first, second: raw maps (n, classes, rows, columns).
        chosen: boolean (n, classes), which maps count.
        size: side in pixels of the frame in which pixels are compared.
        share: fraction of the pixels called strongest.

    Returns:
        One row per chosen map: image and column (positions), rank_correlation (Spearman over the cells), kept (fraction
        of the first map's strongest pixels among the second's), outside (fraction of all pixels that reach half of the
        maximum in the second map only).
    """
    rows = []
    for image, column in chosen.nonzero().tolist():
        a, b = first[image, column], second[image, column]
        large_a, large_b = upscale(a, size), upscale(b, size)
        strong_a, strong_b = top_pixels(large_a, share), top_pixels(large_b, share)
        kept = (strong_a & strong_b).sum() / strong_a.sum().clamp(min=1)
        outside = (lit_pixels(large_b) & ~lit_pixels(large_a)).float().mean()
        rows.append((image, column, spearmanr(a.flatten(), b.flatten()).statistic, kept.item(), outside.item()))
    return pd.DataFrame(rows, columns=["image", "column", "rank_correlation", "kept", "outside"])


def lit_pixels(heatmap: torch.Tensor) -> torch.Tensor:
    """Pixels of one heatmap (h, w) that reach half of its maximum; none where it is zero."""
    return (heatmap >= heatmap.max() / 2) & (heatmap > 0)
