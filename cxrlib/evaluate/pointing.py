"""Scores of a whole heatmap against boxes, without a choice of pixels."""

import numpy as np
import pandas as pd
import torch

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import mask_of_boxes
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import ranks, upscale
from cxrlib.runtime.progress import progress

POINTING = ["energy", "average_precision", "similarity"]


def energy_inside(heatmap: torch.Tensor, mask: torch.Tensor) -> float:
    """Fraction of a heatmap's positive part that lies inside a mask (Wang et al. 2020, the energy-based pointing game).

        sum_inside max(h, 0) / sum max(h, 0)

    Args:
        heatmap: h, float32 (height, width).
        mask: boolean (height, width).

    Returns:
        0..1; 0 for a heatmap without a positive value.

    >>> energy_inside(torch.tensor([[3.0, 1.0, -5.0]]), torch.tensor([[True, False, False]]))
    0.75
    """
    positive = heatmap.clamp(min=0).double()
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else 0.0


def average_precision(heatmap: torch.Tensor, mask: torch.Tensor) -> float:
    """Average precision of a raw heatmap as a classifier of pixels (Arun et al. 2021: area under precision and recall).

        AP = sum_t (R_t - R_(t-1)) P_t

    Every value of the heatmap is a threshold t, from the highest to the lowest; P_t and R_t are precision and recall of
    the pixels that reach it. A heatmap that knows nothing has the fraction of the mask.

    Args:
        heatmap: float32 (height, width), negative values allowed.
        mask: the pixels to find, boolean (height, width).

    Returns:
        0..1; NaN for an empty mask, and for a heatmap with a value that is no number.

    The highest pixel is inside, the second is not, the third is: 1/2 * 1 + 1/2 * 2/3:

    >>> mask = torch.tensor([[True, False, True, False]])
    >>> round(average_precision(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), mask), 3)
    0.833
    >>> average_precision(torch.zeros(1, 4), mask)
    0.5
    """
    values, order = heatmap.flatten().sort(descending=True)
    found = mask.flatten()[order].double().cumsum(0)
    if not len(found) or found[-1] == 0 or heatmap.isnan().any():
        return float("nan")
    last_of_value = torch.cat([values[1:] != values[:-1], torch.tensor([True])])
    reached = torch.arange(1, len(values) + 1)[last_of_value]
    found = found[last_of_value]
    gained = found.diff(prepend=found.new_zeros(1)) / found[-1]
    return float((gained * found / reached).sum())


def class_similarity(maps: torch.Tensor) -> torch.Tensor:
    """Mean rank correlation of each class's map with the maps of the other classes of the same image.

    1: the map shows the same whatever class is asked for; 0: the maps have nothing in common.

    Args:
        maps: raw maps of one image, float32 (classes, rows, columns), two classes or more.

    Returns:
        float64 (classes,) in -1..1; a map whose values are all equal has no correlation, and is left out: NaN where
        nothing is left.

    The first two maps are alike, the third is their reverse:

    >>> one = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> class_similarity(torch.stack([one, 2 * one, -one])).tolist()
    [0.0, 0.0, -1.0]
    """
    correlations = rank_correlations(maps)
    correlations.fill_diagonal_(float("nan"))
    return correlations.nanmean(dim=1)


def rank_correlations(maps: torch.Tensor) -> torch.Tensor:
    """Spearman's rank correlation of every pair of maps: Pearson's correlation of their ranks.

    Args:
        maps: float32 (n, rows, columns).

    Returns:
        float64 (n, n); NaN in the row and column of a map whose values are all equal.

    >>> rank_correlations(torch.tensor([[[1.0, 2.0, 3.0]], [[10.0, 30.0, 20.0]]])).round(decimals=2).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    centred = ranks(maps.flatten(1))
    centred = centred - centred.mean(dim=1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True)
    return (unit @ unit.T).clamp(-1, 1)


def score_pointing(cohort: Cohort, cases: pd.DataFrame, explanations: Explanations) -> pd.DataFrame:
    """Energy and average precision of every case's heatmap, in pixels of the network's input; similarity, in its cells.

    Args:
        cohort: boxes, in its square frame.
        cases: columns image_id and class_name; each must have a reader's box.
        explanations: maps of all classes of these studies.

    Returns:
        image_id, class_name and POINTING, one row per case in the order of `cases`.
    """
    size, rows, similar = explanations.input_size, [], {}
    cases = zip(cases["image_id"], cases["class_name"], strict=True)
    for image_id, class_name in progress(list(cases), "pointing", "map"):
        boxes = cohort.boxes(image_id, class_name)[BOX_COLUMNS].to_numpy(np.float64)
        mask = torch.from_numpy(mask_of_boxes(boxes * size / cohort.size, size))
        heatmap = upscale(explanations.map(image_id, class_name), size)
        if image_id not in similar:
            similar[image_id] = class_similarity(explanations.of([image_id]).maps[0]).tolist()
        likeness = similar[image_id][explanations.classes.index(class_name)]
        rows.append((image_id, class_name, energy_inside(heatmap, mask), average_precision(heatmap, mask), likeness))
    return pd.DataFrame(rows, columns=["image_id", "class_name", *POINTING])
