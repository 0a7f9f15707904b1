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
        first, second: raw maps, float32 (n, classes, rows, columns).
        chosen: boolean (n, classes), which maps count.
        size: side in pixels of the frame in which pixels are compared.
        share: fraction of the pixels called strongest.

    Returns:
        One row per chosen map: image and column (positions), rank_correlation (Spearman over the cells), kept (fraction
        of the first map's strongest pixels among the second's), outside (fraction of all pixels that reach half of the
        maximum in the second map only).

    The second map is the first one turned by 180 degrees:

    >>> first = torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]])
    >>> chosen = torch.tensor([[True]])
    >>> map_agreement(first, first.flip(2, 3), chosen, size=2, share=0.25).round(2).to_dict("records")
    [{'image': 0, 'column': 0, 'rank_correlation': -1.0, 'kept': 0.0, 'outside': 0.25}]
    """
    rows = []
    for image, column in chosen.nonzero().tolist():
        a, b = first[image, column], second[image, column]
        large_a, large_b = upscale(a, size), upscale(b, size)
        strong_a, strong_b = top_pixels(large_a, share), top_pixels(large_b, share)
        kept = (strong_a & strong_b).sum() / strong_a.sum().clamp(min=1)
        outside = (lit_pixels(large_b) & ~lit_pixels(large_a)).float().mean()
        rows.append((image, column, _rank_correlation(a, b), kept.item(), outside.item()))
    return pd.DataFrame(rows, columns=["image", "column", "rank_correlation", "kept", "outside"])


def _rank_correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Spearman's, over the cells of two maps; NaN where a map has one value alone, as a map of zeros has."""
    if a.min() == a.max() or b.min() == b.max():
        return float("nan")
    return float(spearmanr(a.flatten(), b.flatten()).statistic)


def smoothing_agreement(plain: Explanations, smooth: dict[float, Explanations], threshold: float) -> pd.DataFrame:
    """`map_agreement` of plain with smoothed maps, for every class that a study is predicted with.

    Args:
        plain: Grad-CAM's maps.
        smooth: noise level -> SmoothGrad's maps of some of these studies.
        threshold: a class is predicted where its probability reaches this.

    Returns:
        One row per noise level, study and predicted class: image_id, class_name, noise_level, and rank_correlation,
        kept and outside as in `map_agreement`.

    >>> maps = torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]])
    >>> plain = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), maps, input_size=4, identity="")
    >>> smoothing_agreement(plain, {0.1: plain}, threshold=0.5).round(3)
      image_id class_name  noise_level  rank_correlation  kept  outside
    0        a       Mass          0.1               1.0   1.0      0.0
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
    """Means of `smoothing_agreement` over its cases, by noise level and class.

    Returns:
        Indexed by noise_level and class_name: rank_correlation, kept, outside, and the number of cases n.

    >>> about = {"noise_level": 0.1, "class_name": "Mass"}
    >>> cases = pd.DataFrame({**about, "rank_correlation": [0.5, 1.0], "kept": [0.5, 1.0], "outside": [0.0, 0.5]})
    >>> mean_agreement(cases).loc[(0.1, "Mass")].to_dict()
    {'rank_correlation': 0.75, 'kept': 0.75, 'outside': 0.25, 'n': 2.0}
    """
    groups = cases.groupby(["noise_level", "class_name"])
    return groups[["rank_correlation", "kept", "outside"]].mean().assign(n=groups.size())


def lit_pixels(heatmap: torch.Tensor) -> torch.Tensor:
    """Pixels of one heatmap that reach half of its maximum; none where the heatmap is zero.

    Args:
        heatmap: float32 (h, w), not negative.

    Returns:
        Boolean (h, w).

    >>> lit_pixels(torch.tensor([[4.0, 2.0, 1.0]])).tolist()
    [[True, True, False]]
    """
    return (heatmap >= heatmap.max() / 2) & (heatmap > 0)
