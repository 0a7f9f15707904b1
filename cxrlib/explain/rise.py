"""RISE (Petsiuk, Das and Saenko 2018): the mean of random masks, weighted by the probability of the masked image."""

import math

import torch
from torch import nn
from torch.nn import functional

from cxrlib.explain.method import Method, Passes
from cxrlib.explain.perturbed import collected, forward_passes, number_of_batches


def rise(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    n_masks: int = 1000,
    cells: int = 7,
    p: float = 0.5,
    seed: int = 0,
    batch_size: int = 32,
) -> torch.Tensor:
    """Mean of random masks, weighted by the probability of each class; all classes share the forward passes.

        S^c = 1/(N p) sum_i f^c(x * m_i) m_i,  f^c = sigmoid(y^c)

    A mask is a grid of zeros and ones, brought bilinearly to a little more than the size of the image and shifted at
    random. Every image has the same masks. The paper draws 4000 to 8000.

    Args:
        network: logits (n, classes).
        images: x, float32 (n, c, h, w) as the network takes them; a mask of 0 makes a pixel 0.
        classes: columns of the logits; all when None.
        n_masks: N.
        cells: along each side of the grid.
        p: probability that a cell is kept.
        seed: of the masks, which do not depend on the batch size.
        batch_size: images that pass through the network at once.

    Returns:
        Raw maps, float32 (n, len(classes), h, w), not negative.

    Raises:
        ValueError: there is no mask or no cell, or p is not in 0..1.

    >>> network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    >>> rise(network, torch.rand(1, 3, 8, 8), n_masks=10).shape
    torch.Size([1, 2, 8, 8])
    """
    if n_masks < 1 or cells < 1 or not 0 < p <= 1:
        raise ValueError(f"rise: n_masks={n_masks} and cells={cells} must be at least 1, p={p} above 0 and at most 1")
    size = (images.shape[2], images.shape[3])
    grids, shifts = random_grids(n_masks, cells, p, size, seed)
    batches = len(images) * number_of_batches([n_masks], batch_size)
    with forward_passes(network, classes, batches, "RISE") as forward:

        def map_of(image: torch.Tensor) -> torch.Tensor:
            total: torch.Tensor | float = 0.0
            for some, moved in zip(grids.split(batch_size), shifts.split(batch_size), strict=True):
                masks = smooth_masks(some.to(image.device), moved, size)
                total = total + torch.einsum("nc,nhw->chw", forward(image * masks[:, None]).sigmoid(), masks)
            return total / (n_masks * p)

        return collected((map_of(image) for image in images), len(images))


def random_grids(
    n_masks: int, cells: int, p: float, size: tuple[int, int], seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Grids of zeros and ones, and how far each mask is shifted.

    Args:
        n_masks, cells, p, seed: as in `rise`.
        size: height and width of the images.

    Returns:
        Grids, float32 (n_masks, cells, cells); shifts in pixels down and right, int64 (n_masks, 2), less than a cell.

    >>> grids, shifts = random_grids(3, 2, 1.0, (8, 8), seed=0)
    >>> grids[0].tolist(), bool((shifts < 4).all())
    ([[1.0, 1.0], [1.0, 1.0]], True)
    """
    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(n_masks, cells, cells, generator=generator) < p).float()
    shifts = [torch.randint(0, math.ceil(side / cells), (n_masks,), generator=generator) for side in size]
    return grids, torch.stack(shifts, dim=1)


def smooth_masks(grids: torch.Tensor, shifts: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Masks of the size of the image: grids upscaled bilinearly to one cell more than it, shifted and cut.

    Args:
        grids, shifts: as `random_grids` gives them.
        size: height and width of the images.

    Returns:
        float32 (n, h, w) in 0..1.

    >>> smooth_masks(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), torch.tensor([[0, 1]]), (1, 4))[0].round(decimals=2)
    tensor([[0.0000, 0.3300, 0.6700, 1.0000]])
    """
    cells = grids.shape[1]
    larger = [math.ceil(side / cells) * (cells + 1) for side in size]
    masks = functional.interpolate(grids[:, None], larger, mode="bilinear")[:, 0]
    cut = [
        one[down : down + size[0], right : right + size[1]]
        for one, (down, right) in zip(masks, shifts.tolist(), strict=True)
    ]
    return torch.stack(cut)


METHODS = [
    Method(
        name="rise",
        title="RISE",
        paper="Petsiuk, Das and Saenko 2018, arXiv:1806.07421",
        formula="1/(N p) sum_i sigmoid(y(x * m_i)) m_i, m_i random masks",
        maps=rise,
        resolution="input",
        signed=False,
        passes=lambda classes, size, n_masks=1000, **_: Passes(n_masks, 0),
    )
]
