"""Raw maps at the resolution of a layer: normalised, upscaled to pixels, their peaks, and random maps as control."""

import torch
from torch.nn import functional


def normalise_maps(maps: torch.Tensor) -> torch.Tensor:
    """Divide each map (..., rows, columns) by its maximum: `L / max(L)`. A map of zeros stays zero.

    >>> normalise_maps(torch.tensor([[[1.0, 4.0]], [[0.0, 0.0]]]))
    tensor([[[0.2500, 1.0000]],
    <BLANKLINE>
            [[0.0000, 0.0000]]])
    """
    highest = maps.amax(dim=(-2, -1), keepdim=True)
    return maps / highest.where(highest > 0, torch.ones_like(highest))


def upscale(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear upscaling of maps (..., rows, columns) to (..., size, size) pixels.

    The centre of a pixel has the value that lies at its place between the centres of the cells around it. An empty
    tensor of maps gives an empty tensor of pixels.

    >>> upscale(torch.tensor([[0.0, 4.0]]), 4)[0]
    tensor([0., 1., 3., 4.])
    """
    if not maps.numel():
        return maps.new_zeros(*maps.shape[:-2], size, size)
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    return functional.interpolate(flat, (size, size), mode="bilinear").reshape(*maps.shape[:-2], size, size)


def random_maps(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Maps of uniform noise in (0, 1) at the resolution of a layer: the control, which knows nothing of the image.

    >>> maps = random_maps((1, 7, 7), seed=0)
    >>> maps.shape, bool((maps > 0).all()), bool(torch.equal(maps, random_maps((1, 7, 7), seed=0)))
    (torch.Size([1, 7, 7]), True, True)

    Args:
        shape: (..., rows, columns).
        seed: same seed, same maps.
    """
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).clamp_min(1e-6)


def lung_shares(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Fractions of each map's sum that lie in the two lung fields of the image.

    The fields are two rectangles of a frontal radiograph, not a segmentation: columns 10 to 45 % and 55 to 90 %, rows
    15 to 75 % of the image. An even map has 0.35 * 0.6 = 0.21 of its sum in each.

    >>> lung_shares(torch.ones(1, 7, 7), size=100)
    tensor([[0.2100, 0.2100]])

    Args:
        maps: raw maps (n, rows, columns).
        size: side in pixels of the frame in which the sums are taken.

    Returns:
        (n, 2): left and right half of the image; zeros for a map of zeros.
    """
    large = upscale(maps, size)
    total = large.sum((-2, -1)).clamp(min=torch.finfo(large.dtype).tiny)
    rows = slice(round(0.15 * size), round(0.75 * size))
    fields = [large[:, rows, round(left * size) : round(right * size)] for left, right in ((0.1, 0.45), (0.55, 0.9))]
    return torch.stack([field.sum((-2, -1)) / total for field in fields], dim=1)


def peaks(maps: torch.Tensor) -> torch.Tensor:
    """Centre of each raw map's strongest cell: (n, 2), x and y as fractions of the width and height.

    The centre of the cell in row r and column c of R rows and C columns is `x = (c + 0.5) / C`, `y = (r + 0.5) / R`.
    Of equal cells the first in reading order counts. A map without a positive cell has the peak (NaN, NaN).

    >>> peaks(torch.tensor([[[0.0, 0.0, 0.0, 9.0], [1.0, 0.0, 0.0, 0.0]]]))
    tensor([[0.8750, 0.2500]])
    """
    rows, columns = maps.shape[1:]
    highest, strongest = maps.flatten(1).max(1)
    centres = torch.stack([(strongest % columns + 0.5) / columns, (strongest // columns + 0.5) / rows], dim=1)
    return torch.where(highest[:, None] > 0, centres, torch.nan)
