"""Scores of heatmaps against the readers' boxes: masks, the boxes of masks, and the place of the peak."""

import numpy as np
import pandas as pd
import torch

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import (
    all_pairs_iou,
    areas,
    best_match_iou,
    boxes_from_mask,
    mask_iou,
    mask_of_boxes,
    pairwise_iobb,
    resize_mask,
)
from cxrlib.evaluate.readers import AGREEMENT
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import peaks, upscale
from cxrlib.explain.masks import top_pixels_of
from cxrlib.runtime.progress import progress

SIZES = ["predicted_boxes", "predicted_area", "true_boxes"]
"""Columns of `score_mask` that count and measure boxes."""


SCORES = [*AGREEMENT, "hit"]
"""Columns of `score_maps` that score a heatmap, 0..1."""


def score_maps(
    cohort: Cohort, cases: pd.DataFrame, maps: torch.Tensor, input_size: int, shares: list[float]
) -> pd.DataFrame:
    """`score_mask` and `hit` of every heatmap at every share of pixels, against all readers' boxes.

    A case is an image and a finding. Its heatmap is the raw map, upscaled (`upscale`); the mask is the heatmap's
    `top_pixels` at a share; the mask is scored with `score_mask`.

    Args:
        cohort: the run's cohort; its square frame is the frame of the boxes.
        cases: columns image_id and class_name; each must have a reader's box.
        maps: raw maps (cases, rows, columns), one per case.
        input_size: side in pixels of the frame in which masks are made (thesis: 224).
        shares: fractions of the pixels that make the mask.

    Returns:
        One row per case and share: image_id, class_name, share, the scores and sizes of `score_mask`, and `hit` of the
        raw map (the same at every share).
    """
    rows = []
    pairs = zip(cases["image_id"], cases["class_name"], maps, strict=True)
    for image_id, class_name, small in progress(pairs, "scoring", "map", len(cases)):
        true = cohort.boxes(image_id, class_name)[BOX_COLUMNS].to_numpy()
        heatmap = upscale(small, input_size)
        about = {"image_id": image_id, "class_name": class_name, "hit": hit(small, true, cohort.size)}
        for share, mask in zip(shares, top_pixels_of(heatmap, shares).numpy(), strict=True):
            rows.append(about | {"share": share} | score_mask(mask, true, cohort.size))
    scores = pd.DataFrame(rows, columns=["image_id", "class_name", "share", *SCORES, *SIZES])
    return scores.astype({name: float for name in ("share", *SCORES, *SIZES)})


def score_mask(mask: np.ndarray, true: np.ndarray, size: int) -> dict[str, float]:
    """Scores of one mask against the readers' boxes of one finding (thesis, section 3.4.1).

    >>> mask = np.zeros((20, 20), bool)
    >>> mask[3:5, 2:10] = True  # its box has 8 x 2 pixels; the reader's 6 x 4, of which 12 in common
    >>> scores = score_mask(mask, np.array([[2, 3, 8, 7]]), 20)
    >>> round(scores["all_pairs"], 3), round(scores["all_pairs_sum"], 3), scores["iobb"]  # 12/28, 12/40, 12/16
    (0.429, 0.3, 0.75)

    Args:
        mask: boolean (height, width) in the heatmap's frame.
        true: all readers' boxes (n, 4) in pixels of the square frame, at least one.
        size: side of that frame in pixels.

    Returns:
        all_pairs, best_match and mask_iou (against the area that the readers' boxes cover together), 0..1, each also
        in _sum with the thesis's union A + B; iobb, the mean over all pairs, 0..1; predicted_boxes and true_boxes,
        counts; predicted_area, the mean area of the predicted boxes in square pixels, 0 where nothing is predicted.
    """
    predicted, covered = boxes_from_mask(mask, size), resize_mask(mask, size)
    readers = mask_of_boxes(true, size)
    scores = {}
    for suffix, union in (("", "areas"), ("_sum", "sum")):
        scores["all_pairs" + suffix] = all_pairs_iou(predicted, true, union)
        scores["best_match" + suffix] = best_match_iou(predicted, true, union)
        scores["mask_iou" + suffix] = mask_iou(covered, readers, union)
    iobb = float(pairwise_iobb(predicted, true).mean()) if len(predicted) else 0.0
    area = float(areas(predicted).mean()) if len(predicted) else 0.0
    return scores | {
        "iobb": iobb,
        "predicted_boxes": len(predicted),
        "predicted_area": area,
        "true_boxes": len(true),
    }


def hit(heatmap: torch.Tensor, true: np.ndarray, size: int) -> bool:
    """Whether the peak of a raw map lies in any of the boxes (pointing game, Zhang et al. 2018).

    The peak is the centre of the strongest cell, as in `peaks`. A map of zeros has no peak and hits nothing.

    >>> heatmap = torch.tensor([[0.0, 1.0], [0.0, 0.0]])  # in 20 pixels its peak lies at (15, 5)
    >>> hit(heatmap, np.array([[14, 4, 16, 6]]), 20), hit(heatmap, np.array([[4, 14, 6, 16]]), 20)
    (True, False)

    Args:
        heatmap: raw map (rows, columns).
        true: boxes (n, 4) in pixels of a square frame.
        size: side of that frame in pixels.
    """
    x, y = (peaks(heatmap[None])[0] * size).tolist()
    x_min, y_min, x_max, y_max = np.asarray(true, np.float64).reshape(-1, 4).T
    return bool(((x_min <= x) & (x < x_max) & (y_min <= y) & (y < y_max)).any())


def shared_regions(cohort: Cohort, explanations: Explanations, random: Explanations, threshold: float) -> pd.DataFrame:
    """Whether the heatmap of a false positive hits a box of another finding on its image (`hit`).

    A false positive is a finding that is predicted on an image that does not have its label.

    Args:
        cohort: labels and boxes.
        explanations: probabilities and maps.
        random: the same with random maps, the control.
        threshold: a class is predicted where its probability reaches this.

    Returns:
        One row per false positive on an image with any box: image_id, class_name, hit, random_hit.
    """
    rows = []
    for class_name in cohort.findings:
        for image_id, probability in explanations.probabilities[class_name].items():
            if probability < threshold or cohort.labels.at[image_id, class_name]:
                continue
            boxes = cohort.boxes_of(image_id)
            if len(boxes):
                found = (hit(one.map(image_id, class_name), boxes, cohort.size) for one in (explanations, random))
                rows.append((image_id, class_name, *found))
    return pd.DataFrame(rows, columns=["image_id", "class_name", "hit", "random_hit"])


def boxed_cases(cohort: Cohort, probabilities: pd.DataFrame) -> pd.DataFrame:
    """Every finding that an image is labelled with and that a reader boxed on it.

    >>> from pathlib import Path
    >>> from cxrlib.data.provenance import NO_DATA
    >>> rows = pd.DataFrame({"image_id": ["a", "b"], "class_name": "ILD", "rad_id": "R1", "x_min": [2.0, np.nan]})
    >>> labels = pd.DataFrame({"ILD": [1, 1]}, ["a", "b"])
    >>> rows = rows.reindex(columns=[*rows, "y_min", "x_max", "y_max"])
    >>> cohort = Cohort(labels, rows, labels, np.empty(0), Path(), NO_DATA, {"one": ["ILD"]}, "one")
    >>> boxed_cases(cohort, labels * 0.9)  # the reader of b saw the finding and drew no box
      image_id class_name  probability
    0        a        ILD          0.9

    Args:
        cohort: labels and boxes.
        probabilities: image_id by class.

    Returns:
        Columns image_id, class_name and probability, by class and then in the order of `probabilities`.
    """
    rows = [
        (image_id, class_name, probability)
        for class_name in cohort.findings
        for image_id, probability in probabilities[class_name].items()
        if cohort.labels.at[image_id, class_name] and len(cohort.boxes(image_id, class_name))
    ]
    return pd.DataFrame(rows, columns=["image_id", "class_name", "probability"])


def correct_cases(cohort: Cohort, probabilities: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The `boxed_cases` that the model predicts with a probability of at least `threshold`."""
    cases = boxed_cases(cohort, probabilities)
    return cases[cases["probability"] >= threshold].reset_index(drop=True)
