"""The most important pixels of a heatmap."""

import torch


def top_pixels(heatmap: torch.Tensor, share: float) -> torch.Tensor:
    """Mask of the top `share` of a heatmap's pixels by rank (thesis, section 3.4).

    The mask has round(share * height * width) pixels (Python's round: halves go to the even number). Pixels whose value
    is zero or not finite are never set, so that the mask of a sparse heatmap is smaller. Of equal pixels the earlier in
    reading order comes first.

    Args:
        heatmap: non-negative floats (..., height, width).
        share: fraction of the pixels, 0..1.

    Returns:
        Boolean mask of the same shape.

    >>> top_pixels(torch.tensor([[4.0, 0.0], [3.0, 3.0]]), 0.5).tolist()
    [[True, False], [True, False]]
    """
    return top_pixels_of(heatmap, [share])[0]


def top_pixels_of(heatmap: torch.Tensor, shares: list[float]) -> torch.Tensor:
    """`top_pixels` for several shares from one sort.

    Args:
        heatmap: as in `top_pixels`.
        shares: fractions of the pixels, 0..1.

    Returns:
        Boolean masks (shares, ..., height, width).

    >>> top_pixels_of(torch.tensor([[4.0, 0.0], [3.0, 3.0]]), [0.25, 1.0]).tolist()
    [[[True, False], [False, False]], [[True, False], [True, True]]]
    """
    flat = torch.where(heatmap.isfinite(), heatmap, 0).flatten(-2)
    order = flat.argsort(dim=-1, descending=True, stable=True)
    positions = torch.arange(flat.shape[-1], device=flat.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, positions)
    counts = [round(share * flat.shape[-1]) for share in shares]
    masks = torch.stack([(rank < count) & (flat > 0) for count in counts])
    return masks.reshape(len(shares), *heatmap.shape)
