"""The most important pixels of a heatmap."""

import torch


def top_pixels(heatmap: torch.Tensor, share: float) -> torch.Tensor:
    """Mask of the top `share` of a heatmap's pixels by rank.

    The mask has `round(share * height * width)` pixels. Of equal pixels the earlier one in reading order is taken.
    A pixel whose value is zero or not finite is never taken, so the mask of a heatmap with few lit pixels is smaller.

    >>> heatmap = torch.tensor([[5.0, 1.0], [5.0, 0.0]])
    >>> top_pixels(heatmap, 0.25)
    tensor([[ True, False],
            [False, False]])
    >>> int(top_pixels(heatmap, 1.0).sum())
    3

    Args:
        heatmap: non-negative (..., height, width).
        share: fraction of the pixels, 0 to 1.

    Returns:
        Boolean mask of the same shape.
    """
    return top_pixels_of(heatmap, [share])[0]


def top_pixels_of(heatmap: torch.Tensor, shares: list[float]) -> torch.Tensor:
    """`top_pixels` for several shares from one sort: boolean (shares, ..., height, width).

    >>> masks = top_pixels_of(torch.tensor([[4.0, 3.0], [2.0, 1.0]]), [0.25, 0.5, 0.75])
    >>> masks.sum((1, 2))
    tensor([1, 2, 3])
    """
    flat = torch.where(heatmap.isfinite(), heatmap, 0).flatten(-2)
    order = flat.argsort(dim=-1, descending=True, stable=True)
    positions = torch.arange(flat.shape[-1], device=flat.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, positions)
    counts = [round(share * flat.shape[-1]) for share in shares]
    masks = torch.stack([(rank < count) & (flat > 0) for count in counts])
    return masks.reshape(len(shares), *heatmap.shape)
