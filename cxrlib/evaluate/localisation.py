"""Localisation: scores of heatmaps, their masks and their boxes against all readers' boxes."""

from operator import itemgetter

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
from cxrlib.explain.maps import lung_shares, peaks, upscale
from cxrlib.explain.masks import top_pixels_of
from cxrlib.runtime.progress import progress

SIZES = ["predicted_boxes", "predicted_area", "true_boxes"]


SCORES = [*AGREEMENT, "hit"]


def score_maps(
    cohort: Cohort, cases: pd.DataFrame, maps: torch.Tensor, input_size: int, shares: list[float]
) -> pd.DataFrame:
    """Every protocol's score of every heatmap at every share of pixels, against all readers' boxes.

    Args:
        cohort: the run's cohort; scores are in its square frame.
        cases: columns image_id and class_name; each must have a reader's box.
        maps: raw maps (cases, rows, columns), one per case.
        input_size: side in pixels of the frame in which masks are made (thesis: 224).
        shares: fractions of the pixels that make the mask.

    Returns:
        One row per case and share: image_id, class_name, share and the scores of `score_mask`, `hit` of the heatmap.
    """
    columns = [*SCORES, *SIZES]
    numbers = np.empty((len(cases), len(shares), len(columns)))
    pairs = zip(cases["image_id"], cases["class_name"], maps, numbers, strict=True)
    for image_id, class_name, small, rows in progress(pairs, "scoring", "map", len(cases)):
        true = cohort.boxes(image_id, class_name)[BOX_COLUMNS].to_numpy()
        masks = top_pixels_of(upscale(small, input_size), shares).numpy()
        about = {"hit": hit(small, true, cohort.size)}
        rows[:] = [itemgetter(*columns)(about | score_mask(mask, true, cohort.size)) for mask in masks]
    named = cases[["image_id", "class_name"]].reset_index(drop=True)
    named = named.loc[named.index.repeat(len(shares))].reset_index(drop=True)
    scores = pd.DataFrame(numbers.reshape(-1, len(columns)), columns=columns)
    return pd.concat([named.assign(share=np.tile(np.array(shares, float), len(cases))), scores], axis=1)


def score_cases(cohort: Cohort, explanations: Explanations, cases: pd.DataFrame, shares: list[float]) -> pd.DataFrame:
    """`score_maps` of the maps that `explanations` hold of the cases."""
    return score_maps(cohort, cases, explanations.maps_of(cases), explanations.input_size, shares)


def score_each(
    cohort: Cohort, several: list[Explanations], cases: pd.DataFrame, shares: list[float]
) -> tuple[pd.DataFrame, ...]:
    """`score_cases` of several maps of the same cases, e.g. of controls, in their order."""
    return tuple(score_cases(cohort, explanations, cases, shares) for explanations in several)


def score_mask(mask: np.ndarray, true: np.ndarray, size: int) -> dict[str, float]:
    """Scores of one mask against the readers' boxes of one finding.

    Args:
        mask: boolean (height, width) in the heatmap's frame.
        true: all readers' boxes (n, 4) in pixels of the square frame, at least one.
        size: side of that frame in pixels.

    Returns:
        all_pairs, best_match and mask_iou (against the union of the readers' boxes), each also as ..._sum with the
        thesis's area1 + area2 for union; iobb (mean over all pairs); predicted_boxes and true_boxes (counts), and
        predicted_area (mean of the predicted boxes in square pixels, 0 where there is none).

    Raises:
        ValueError: there is no box, or one is inverted or has no area.

    The mask is a box of 8 square pixels that holds the reader's 4:

    >>> mask = np.zeros((4, 4), bool)
    >>> mask[:2] = True
    >>> scores = score_mask(mask, np.array([[0, 0, 2, 2]]), 4)
    >>> print(scores["all_pairs"], scores["mask_iou"], scores["iobb"], scores["predicted_area"])
    0.5 0.5 0.5 8.0
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
    """Whether the centre of the strongest cell lies in any of the boxes: the pointing game, cheXlocalize's hit rate.

    Of equal cells the first in reading order counts. A map of zeros hits nothing. The raw map is enough, since bilinear
    upscaling leaves the maximum at the centre of its cell.

    Args:
        heatmap: raw map, float32 (rows, columns).
        true: boxes (n, 4) in pixels of a square frame, the maxima excluded.
        size: side of that frame in pixels.

    The centre of the last of 2 x 2 cells is (6, 6) in a frame of 8 pixels:

    >>> heatmap = torch.tensor([[0.0, 0.0], [0.0, 3.0]])
    >>> hit(heatmap, np.array([[5, 5, 8, 8]]), 8), hit(heatmap, np.array([[0, 0, 6, 6]]), 8)
    (True, False)
    """
    x, y = (peaks(heatmap[None])[0] * size).tolist()
    x_min, y_min, x_max, y_max = np.asarray(true, np.float64).reshape(-1, 4).T
    return bool(((x_min <= x) & (x < x_max) & (y_min <= y) & (y < y_max)).any())


def shared_regions(cohort: Cohort, explanations: Explanations, random: Explanations, threshold: float) -> pd.DataFrame:
    """Findings predicted but not labelled: does their heatmap's strongest cell lie on another finding?

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
    """Every finding that is there and that a reader boxed.

    Args:
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


def score_boxed(cohort: Cohort, explanations: Explanations, classes: list[str], share: float) -> pd.DataFrame:
    """Scores of every boxed finding of `classes`, predicted or not, at one share of pixels.

    Returns:
        The columns of `score_maps`, and the probability of each finding.
    """
    cases = boxed_cases(cohort, explanations.probabilities)
    cases = cases[cases["class_name"].isin(classes)].reset_index(drop=True)
    return score_cases(cohort, explanations, cases, [share]).assign(probability=cases["probability"])


def no_finding_places(explanations: Explanations, healthy: str | None, threshold: float) -> pd.DataFrame:
    """Where the heatmaps of "No finding" lie, on the images that are predicted to have none.

    Args:
        explanations: probabilities and maps.
        healthy: what the label is called; None where the model does not have it, which gives no rows.
        threshold: the label is predicted where its probability reaches this.

    Returns:
        image_id; left and right, the fractions of the map in the two lung fields (`lung_shares`); x and y, its peak as
        fractions of the image's width and height (`peaks`).

    >>> probabilities = pd.DataFrame({"No finding": [0.9, 0.1]}, pd.Index(["a", "b"], name="image_id"))
    >>> explained = Explanations(probabilities, torch.ones(2, 1, 2, 2), input_size=100, identity="")
    >>> no_finding_places(explained, "No finding", threshold=0.5).round(2)
      image_id  left  right     x     y
    0        a  0.21   0.21  0.25  0.25
    """
    probabilities = explanations.probabilities
    chosen = probabilities.index[probabilities[healthy] >= threshold] if healthy else probabilities.index[:0]
    maps = explanations.maps_of(pd.DataFrame({"image_id": chosen, "class_name": healthy}))
    shares, places = lung_shares(maps, explanations.input_size), peaks(maps)
    columns = torch.cat([shares, places], dim=1).numpy()
    return pd.DataFrame(columns, chosen.rename("image_id"), ["left", "right", "x", "y"]).reset_index()
