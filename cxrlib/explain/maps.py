"""Raw maps at the resolution of a layer: brought to a common scale and to pixels."""

import torch
from torch.nn import functional


def normalise_maps(maps: torch.Tensor) -> torch.Tensor:
    """Divide each map by its maximum: L / max L, in 0..1; a map of zeros stays zero.

    Args:
        maps: raw maps, float32 (..., rows, columns), not negative.

    Returns:
        float32 of the same shape.

    >>> normalise_maps(torch.tensor([[[2.0, 1.0]], [[0.0, 0.0]]])).tolist()
    [[[1.0, 0.5]], [[0.0, 0.0]]]
    """
    highest = maps.amax(dim=(-2, -1), keepdim=True)
    return maps / highest.where(highest > 0, torch.ones_like(highest))


def upscale(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear upscaling of maps (..., rows, columns) to float32 (..., size, size) pixels.

    The outer edges of the map and of the image coincide (`align_corners=False` in torch). No maps give none.

    >>> upscale(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), 4)[0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    if not maps.numel():
        return maps.new_zeros(*maps.shape[:-2], size, size)
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    return functional.interpolate(flat, (size, size), mode="bilinear").reshape(*maps.shape[:-2], size, size)


def random_maps(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Maps of uniform noise at the resolution of a layer: the control, which knows nothing of the images.

    Args:
        shape: (..., rows, columns).
        seed: same seed, same maps.

    Returns:
        float32 of that shape, at least 1e-6 and below 1, so that every cell is positive.

    >>> maps = random_maps((2, 7, 7), seed=1)
    >>> maps.shape, torch.equal(maps, random_maps((2, 7, 7), seed=1)), bool((maps > 0).all())
    (torch.Size([2, 7, 7]), True, True)
    """
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).clamp_min(1e-6)


def lung_shares(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Fractions of each map's sum that lie in the two lung fields: sum over the field / sum over the image.

    The fields are rectangles of a frontal radiograph, no segmentation: columns 10 to 45 and 55 to 90 %, rows 15 to
    75 % of the image.

    Args:
        maps: raw maps (n, rows, columns).
        size: side in pixels of the frame in which the sums are taken.

    Returns:
        float32 (n, 2): left and right half of the image; zeros for a map of zeros.

    An even map puts 0.35 * 0.6 = 0.21 into each field:

    >>> [round(share, 2) for share in lung_shares(torch.ones(1, 7, 7), 100)[0].tolist()]
    [0.21, 0.21]
    """
    large = upscale(maps, size)
    total = large.sum((-2, -1)).clamp(min=torch.finfo(large.dtype).tiny)
    rows = slice(round(0.15 * size), round(0.75 * size))
    fields = [large[:, rows, round(left * size) : round(right * size)] for left, right in ((0.1, 0.45), (0.55, 0.9))]
    return torch.stack([field.sum((-2, -1)) / total for field in fields], dim=1)


def peaks(maps: torch.Tensor) -> torch.Tensor:
    """Centre of each raw map's strongest cell as fractions of the width and height.

        x = (column + 1/2) / columns,  y = (row + 1/2) / rows

    Of equal cells the first in reading order counts.

    Args:
        maps: raw maps (n, rows, columns).

    Returns:
        float32 (n, 2), x and y; NaN for a map without a positive cell.

    >>> peaks(torch.tensor([[[0.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]])).tolist()
    [[0.75, 0.75], [nan, nan]]
    """
    rows, columns = maps.shape[1:]
    highest, strongest = maps.flatten(1).max(1)
    centres = torch.stack([(strongest % columns + 0.5) / columns, (strongest // columns + 0.5) / rows], dim=1)
    return torch.where(highest[:, None] > 0, centres, torch.nan)


def ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks within each row, from 1; equal values share the mean of their ranks.

    Args:
        values: floats (n, cells).

    Returns:
        float64 (n, cells).

    >>> ranks(torch.tensor([[0.5, 3.0, 0.5]])).tolist()
    [[1.5, 3.0, 1.5]]
    """
    from scipy.stats import rankdata  # takes half a second, for which stored maps need not wait

    return torch.from_numpy(rankdata(values.cpu().numpy(), axis=1))
