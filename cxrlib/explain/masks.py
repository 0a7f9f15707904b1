"""The most important pixels of a heatmap."""

import torch


def top_pixels(heatmap: torch.Tensor, share: float) -> torch.Tensor:
    """Mask of the top `share` of a heatmap's pixels by rank.

    Exactly round(share * height * width) pixels, never one whose value is zero or not finite; ties go to the earlier
    pixel in reading order.

    Args:
        heatmap: non-negative (..., height, width).
        share: fraction of the pixels.

    Returns:
        Boolean mask of the same shape.
    """
    return top_pixels_of(heatmap, [share])[0]


def top_pixels_of(heatmap: torch.Tensor, shares: list[float]) -> torch.Tensor:
    """`top_pixels` for several shares from one sort: boolean (shares, ..., height, width)."""
    flat = torch.where(heatmap.isfinite(), heatmap, 0).flatten(-2)
    order = flat.argsort(dim=-1, descending=True, stable=True)
    positions = torch.arange(flat.shape[-1], device=flat.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, positions)
    counts = [round(share * flat.shape[-1]) for share in shares]
    masks = torch.stack([(rank < count) & (flat > 0) for count in counts])
    return masks.reshape(len(shares), *heatmap.shape)
