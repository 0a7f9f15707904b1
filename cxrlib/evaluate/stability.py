"""How far two maps of the same image agree."""

import pandas as pd
import torch
from scipy.stats import spearmanr

from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels


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
