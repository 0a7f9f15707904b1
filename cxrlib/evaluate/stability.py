"""How far two maps of the same image agree."""

import pandas as pd
import torch
from scipy.stats import spearmanr

from cxrlib.explain.explanations import Explanations
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


def smoothing_agreement(plain: Explanations, smooth: dict[float, Explanations], threshold: float) -> pd.DataFrame:
    """`map_agreement` of plain with smoothed maps, for every class that a study is predicted with.

    Args:
        plain: Grad-CAM's maps.
        smooth: noise level -> SmoothGrad's maps of some of these studies.
        threshold: a class is predicted where its probability reaches this.

    Returns:
        One row per noise level, study and predicted class: image_id, class_name, noise_level, and rank_correlation,
        kept and outside as in `map_agreement`.
    """
    parts = []
    for level, smoothed in smooth.items():
        image_ids = smoothed.probabilities.index
        maps = plain.maps[torch.as_tensor(plain.probabilities.index.get_indexer(image_ids))]
        predicted = torch.as_tensor(smoothed.probabilities.to_numpy() >= threshold)
        part = map_agreement(maps, smoothed.maps, predicted, plain.input_size)
        part.insert(0, "image_id", part.pop("image").map(dict(enumerate(image_ids))))
        part.insert(1, "class_name", part.pop("column").map(dict(enumerate(smoothed.classes))))
        part.insert(2, "noise_level", level)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def mean_agreement(cases: pd.DataFrame) -> pd.DataFrame:
    """Means of `smoothing_agreement` and the number of cases n, indexed by noise_level and class_name."""
    groups = cases.groupby(["noise_level", "class_name"])
    return groups[["rank_correlation", "kept", "outside"]].mean().assign(n=groups.size())


def lit_pixels(heatmap: torch.Tensor) -> torch.Tensor:
    """Pixels of one heatmap (h, w) that reach half of its maximum; none where it is zero."""
    return (heatmap >= heatmap.max() / 2) & (heatmap > 0)
