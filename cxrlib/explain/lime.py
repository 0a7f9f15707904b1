"""LIME (Ribeiro, Singh and Guestrin 2016): a linear model of the network near an image, over its superpixels."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from cxrlib.explain.method import Method, Passes
from cxrlib.explain.surrogates import surrogate_maps


def lime(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    superpixels: torch.Tensor | None = None,
    cells: int = 7,
    samples: int = 1000,
    kernel_width: float = 0.25,
    alpha: float = 1.0,
    fill: float | Sequence[float] | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> torch.Tensor:
    """Coefficients of a weighted ridge regression of each logit on the superpixels present; samples serve all classes.

        w^c = argmin_w,b sum_z pi(z) (y^c(x_z) - w z - b)^2 + alpha |w|^2,
        pi(z) = exp(-d^2 / (2 width^2)),  d = 1 - cos(z, 1) = 1 - sqrt(share of superpixels present)

    x_z is the image with the superpixels hidden that are not present in z. Kernel, ridge, number of samples and
    kernel width are those of the authors' code for images, which models probabilities; here it is the logits.

    Args:
        network: logits (n, classes).
        images: x, float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        superpixels: label map (h, w) for all images, or one for each (n, h, w); a regular grid when None.
        cells: along each side of the grid.
        samples: z, of which the first is the image as it is; in the others a superpixel is present or not with
            probability 1/2.
        kernel_width: of the weight pi.
        alpha: strength of the ridge; 0 is least squares.
        fill: what replaces hidden pixels, one value or one for each channel; the image's mean of each channel when
            None.
        seed: of the samples, which do not depend on the batch size and are the same for all images with as many
            superpixels.
        batch_size: images that pass through the network at once.

    Returns:
        Raw maps, float32 (n, len(classes), h, w): each pixel has the coefficient of its superpixel.

    Raises:
        ValueError: the label map does not fit the images, or there are less than two samples.

    The coefficients of a linear model without a ridge:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> [round(w, 3) for w in lime(network, torch.full((1, 1, 1, 3), 4.0), alpha=0.0, fill=0.0).flatten().tolist()]
    [4.0, -12.0, 8.0]
    """
    if samples < 2:
        raise ValueError(f"lime: samples={samples} must be at least 2")
    draw = partial(random_presence, samples, seed)
    fit = partial(ridge, kernel_width=kernel_width, alpha=alpha)
    return surrogate_maps(network, images, classes, superpixels, cells, fill, batch_size, "LIME", draw, fit)


def random_presence(samples: int, seed: int, superpixels: int) -> torch.Tensor:
    """Samples in which each superpixel is present with probability 1/2; in the first all are.

    Returns:
        bool (samples, superpixels).

    >>> random_presence(4, seed=0, superpixels=3)[0].tolist()
    [True, True, True]
    """
    present = torch.rand(samples, superpixels, generator=torch.Generator().manual_seed(seed)) < 0.5
    present[0] = True
    return present


def kernel(present: torch.Tensor, width: float) -> torch.Tensor:
    """Weight of each sample, pi(z) = exp(-d^2 / (2 width^2)), d the cosine distance to the whole image.

    >>> kernel(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), width=1.0).tolist()
    [1.0, 0.6065306663513184]
    """
    distance = 1 - present.mean(1).sqrt()
    return torch.exp(-(distance**2) / (2 * width**2))


def ridge(present: torch.Tensor, logits: torch.Tensor, kernel_width: float, alpha: float) -> torch.Tensor:
    """Coefficients of the weighted ridge regression, without its intercept, on which there is no ridge.

    Solved as least squares with one more row for each coefficient: sqrt(alpha) w = 0.

    Args:
        present: z, float64 (samples, superpixels).
        logits: float64 (samples, classes).
        kernel_width, alpha: as in `lime`.

    Returns:
        float64 (superpixels, classes).

    >>> present = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).double()
    >>> ridge(present, (present @ torch.tensor([[2.0], [5.0]]).double() + 7), kernel_width=1.0, alpha=0.0).round()
    tensor([[2.],
            [5.]], dtype=torch.float64)
    """
    count = present.shape[1]
    roots = kernel(present, kernel_width).sqrt()[:, None]
    rows = torch.cat([present, torch.ones_like(roots)], dim=1) * roots
    penalty = math.sqrt(alpha) * torch.eye(count, count + 1).to(rows)
    targets = torch.cat([logits * roots, torch.zeros(count, logits.shape[1]).to(logits)])
    return torch.linalg.lstsq(torch.cat([rows, penalty]), targets, driver="gelsd").solution[:count]


METHODS = [
    Method(
        name="lime",
        title="LIME",
        paper="Ribeiro, Singh and Guestrin 2016, arXiv:1602.04938",
        formula="argmin_w,b sum_z pi(z) (y(x_z) - w z - b)^2 + alpha |w|^2, z the superpixels present",
        maps=lime,
        resolution="input",
        signed=True,
        passes=lambda classes, size, samples=1000, **_: Passes(samples, 0),
    )
]
