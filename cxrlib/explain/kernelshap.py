"""KernelSHAP (Lundberg and Lee 2017): Shapley values of an image's superpixels from a weighted regression."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from cxrlib.explain.method import Method, Passes
from cxrlib.explain.superpixels import grid_superpixels
from cxrlib.explain.surrogates import surrogate_maps


def kernelshap(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    superpixels: torch.Tensor | None = None,
    cells: int = 7,
    samples: int = 1000,
    fill: float | Sequence[float] | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> torch.Tensor:
    """Shapley values of the superpixels for each logit; the coalitions z serve all classes.

        phi^c = argmin_phi sum_z pi(z) (y^c(x_z) - y^c(x_0) - phi z)^2  with  sum_j phi_j = y^c(x) - y^c(x_0),
        pi(z) = (M - 1) / (binomial(M, k) k (M - k)),  k of M superpixels present

    x_z is the image with the superpixels hidden that are not in z, x_0 the image with all hidden. Both constraints, at
    no and at all superpixels, hold exactly. Where there are at most `samples` coalitions each is taken once, and the
    values are exact. Otherwise sizes are drawn with the weight of all coalitions of a size, coalitions of a size with
    equal chance, and to each belongs its complement, which lowers the variance (Covert and Lee 2021).

    Args:
        network: logits (n, classes).
        images: x, float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        superpixels: label map (h, w) for all images, or one for each (n, h, w); a regular grid when None.
        cells: along each side of the grid.
        samples: coalitions at most, the empty and the full one included.
        fill: what replaces hidden pixels, one value or one for each channel; the image's mean of each channel when
            None.
        seed: of the coalitions, which do not depend on the batch size and are the same for all images with as many
            superpixels.
        batch_size: images that pass through the network at once.

    Returns:
        Raw maps, float32 (n, len(classes), h, w): each pixel has the value of its superpixel.

    Raises:
        ValueError: the label map does not fit the images, or so few samples do not determine the values.

    The Shapley values of a linear model:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> [round(phi, 3) for phi in kernelshap(network, torch.full((1, 1, 1, 3), 4.0), fill=0.0).flatten().tolist()]
    [4.0, -12.0, 8.0]
    """
    draw = partial(coalitions, samples, seed)
    fit = partial(shapley_values, samples=samples)
    return surrogate_maps(network, images, classes, superpixels, cells, fill, batch_size, "KernelSHAP", draw, fit)


def coalitions(samples: int, seed: int, superpixels: int) -> torch.Tensor:
    """Coalitions of superpixels: the empty one, the full one, and all others or as many as are drawn.

    Args:
        samples, seed: as in `kernelshap`.
        superpixels: M.

    Returns:
        bool (at most samples, superpixels), true where one is present.

    Raises:
        ValueError: there are less than two samples, or the coalitions drawn do not determine the values.

    >>> coalitions(4, seed=0, superpixels=2).int().tolist()
    [[0, 0], [1, 1], [1, 0], [0, 1]]
    """
    if samples < 2:
        raise ValueError(f"kernelshap: samples={samples} must be at least 2")
    if enumerated(samples, superpixels):
        numbers = torch.arange(2**superpixels)
        numbers = torch.cat([numbers[:1], numbers[-1:], numbers[1:-1]])
        return (numbers[:, None] >> torch.arange(superpixels)) % 2 == 1
    generator = torch.Generator().manual_seed(seed)
    pairs = max(2, samples - 1) // 2
    sizes = torch.arange(1, superpixels, dtype=torch.float64)
    chance = 1 / (sizes * (superpixels - sizes))
    drawn = 1 + torch.multinomial(chance, pairs, replacement=True, generator=generator)
    ranks = torch.rand(pairs, superpixels, generator=generator).argsort(1).argsort(1)
    present = ranks < drawn[:, None]
    both = torch.stack([present, ~present], dim=1).flatten(0, 1)[: samples - 2]
    ends = torch.tensor([[False], [True]]).expand(2, superpixels)
    present = torch.cat([ends, both])
    if torch.linalg.matrix_rank(centred(present.double())) < superpixels - 1:
        raise ValueError(
            f"kernelshap: {samples} samples do not determine the values of {superpixels} superpixels; "
            f"give samples={4 * superpixels} or more, or fewer superpixels"
        )
    return present


def enumerated(samples: int, superpixels: int) -> bool:
    """Whether so many samples hold all coalitions.

    >>> enumerated(1000, 9), enumerated(1000, 10)
    (True, False)
    """
    return superpixels < 63 and 2**superpixels <= samples


def shapley_values(present: torch.Tensor, logits: torch.Tensor, samples: int) -> torch.Tensor:
    """The regression of KernelSHAP, whose two constraints hold exactly.

    phi = D / M + psi with D = y(x) - y(x_0) meets the constraint where the sum of psi is zero. What is left is least
    squares for psi over the coalitions with their mean taken from each row: the solution of least norm has sum zero.

    Args:
        present: z, float64 (coalitions, superpixels), as `coalitions` gives it.
        logits: y(x_z), float64 (coalitions, classes).
        samples: as in `kernelshap`; tells whether the coalitions are all, with weights pi, or drawn with that weight.

    Returns:
        phi, float64 (superpixels, classes).

    The game y = z_1 z_2 gives each player a half:

    >>> present = coalitions(4, seed=0, superpixels=2).double()
    >>> [round(phi, 3) for phi in shapley_values(present, present.prod(1)[:, None], samples=4).flatten().tolist()]
    [0.5, 0.5]
    """
    count = present.shape[1]
    even = (logits[1] - logits[0]) / count
    if count == 1:
        return even[None]
    weights = kernel_weights(present) if enumerated(samples, count) else torch.ones(len(present)).to(present)
    roots = weights.sqrt()[:, None]
    remaining = logits - logits[0] - present.sum(1, keepdim=True) * even
    psi = torch.linalg.lstsq(centred(present[2:]) * roots[2:], remaining[2:] * roots[2:], driver="gelsd").solution
    return even + psi


def centred(present: torch.Tensor) -> torch.Tensor:
    """Coalitions with their mean taken from each row.

    >>> centred(torch.tensor([[1.0, 0.0, 0.0, 1.0]])).tolist()
    [[0.5, -0.5, -0.5, 0.5]]
    """
    return present - present.mean(1, keepdim=True)


def kernel_weights(present: torch.Tensor) -> torch.Tensor:
    """The Shapley kernel, pi(z) = (M - 1) / (binomial(M, k) k (M - k)); 1 for the empty and the full coalition.

    Args:
        present: z, float64 (coalitions, M).

    >>> kernel_weights(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]).double()).round(decimals=3).tolist()
    [0.333, 0.333]
    """
    total, sizes = torch.tensor(float(present.shape[1])).to(present), present.sum(1)
    binomial = torch.exp(torch.lgamma(total + 1) - torch.lgamma(sizes + 1) - torch.lgamma(total - sizes + 1))
    inner = sizes * (total - sizes)
    return torch.where(inner > 0, (total - 1) / (binomial * inner), 1.0)


def passes(
    classes: int,
    size: tuple[int, int],
    superpixels: torch.Tensor | None = None,
    cells: int = 7,
    samples: int = 1000,
    **_: object,
) -> Passes:
    """One forward pass for each coalition: all that there are, or `samples`; of several label maps the dearest counts.

    >>> passes(7, (224, 224)), passes(7, (224, 224), cells=2)
    (Passes(forward=1000, backward=0), Passes(forward=16, backward=0))
    """
    given = grid_superpixels(size, cells) if superpixels is None else torch.as_tensor(superpixels)
    count = max(len(one.unique()) for one in (given[None] if given.ndim == 2 else given))
    return Passes(2**count if enumerated(samples, count) else samples, 0)


METHODS = [
    Method(
        name="kernelshap",
        title="KernelSHAP",
        paper="Lundberg and Lee 2017, arXiv:1705.07874",
        formula="Shapley values phi of the superpixels: argmin_phi sum_z pi(z) (y(x_z) - y(x_0) - phi z)^2, "
        "sum phi = y(x) - y(x_0)",
        maps=kernelshap,
        resolution="input",
        signed=True,
        passes=passes,
    )
]
