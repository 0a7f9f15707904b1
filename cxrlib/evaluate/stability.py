"""Agreement of two maps of the same image."""

import pandas as pd
import torch
from scipy.stats import spearmanr

from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels


def map_agreement(
    first: torch.Tensor, second: torch.Tensor, chosen: torch.Tensor, size: int, share: float = 0.1
) -> pd.DataFrame:
    """Agreement of two sets of maps, map by map.

    >>> first = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> found = map_agreement(first, 2 * first, torch.tensor([[True]]), size=4, share=0.25)
    >>> found[["rank_correlation", "kept", "outside"]].round(6).values.tolist()  # twice the map, the same order
    [[1.0, 1.0, 0.0]]

    Args:
        first, second: raw maps (n, classes, rows, columns).
        chosen: boolean (n, classes), which maps count.
        size: side in pixels of the frame in which pixels are compared.
        share: fraction of the pixels called strongest.

    Returns:
        One row per chosen map: image and column (positions), and
        rank_correlation: Spearman's over the cells of the raw maps, -1..1;
        kept: the fraction of the first map's `top_pixels` that are among the second map's, 0..1;
        outside: the fraction of all pixels that are `lit_pixels` of the second map and not of the first, 0..1.
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
    """Pixels of one heatmap (h, w) that reach half of its maximum; no pixel of a heatmap of zeros.

    >>> lit_pixels(torch.tensor([[1.0, 2.0, 4.0]]))
    tensor([[False,  True,  True]])
    """
    return (heatmap >= heatmap.max() / 2) & (heatmap > 0)
