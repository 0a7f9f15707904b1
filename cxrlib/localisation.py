"""Do heatmaps point where the radiologists pointed? Boxes of masks scored against all readers' boxes."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas as pd
import torch

from cxrlib.annotations import BOX_COLUMNS
from cxrlib.boxes import Union, all_pairs_iou, best_match_iou, boxes_from_mask
from cxrlib.cohort import Cohort
from cxrlib.maps import upscale
from cxrlib.masks import top_pixels_of
from cxrlib.progress import progress


def score_maps(
    cohort: Cohort,
    cases: pd.DataFrame,
    maps: torch.Tensor,
    input_size: int,
    percentages: list[float],
    union: Union,
) -> pd.DataFrame:
    """IoU of heatmap boxes with all readers' boxes.

    Args:
        cohort: the run's cohort; scores are in its square frame.
        cases: columns image_id and class_name; each must have a reader's box.
        maps: raw maps (cases, rows, columns), one per case.
        input_size: side in pixels of the frame in which masks are made (thesis: 224).
        percentages: shares of the pixels that make the mask.
        union: as in `pairwise_iou`.

    Returns:
        One row per case and share: image_id, class_name, share, all_pairs, best_match, predicted_boxes, true_boxes.
    """
    rows = []
    pairs = zip(cases["image_id"], cases["class_name"], maps, strict=True)
    for image_id, class_name, small in progress(pairs, "scoring", "map", len(cases)):
        true = cohort.boxes(image_id, class_name)[BOX_COLUMNS].to_numpy()
        masks = top_pixels_of(upscale(small, input_size), percentages).numpy()
        for share, mask in zip(percentages, masks, strict=True):
            predicted = boxes_from_mask(mask, cohort.size)
            scores = all_pairs_iou(predicted, true, union), best_match_iou(predicted, true, union)
            rows.append((image_id, class_name, share, *scores, len(predicted), len(true)))
    columns = ["image_id", "class_name", "share", "all_pairs", "best_match", "predicted_boxes", "true_boxes"]
    return pd.DataFrame(rows, columns=columns)


def mean_by_share(scores: pd.DataFrame, classes: list[str], protocol: str = "all_pairs") -> pd.DataFrame:
    """Mean score per share of pixels (rows) and class (columns); NaN for a class without cases."""
    means = scores.pivot_table(index="share", columns="class_name", values=protocol, aggfunc="mean")
    return means.reindex(columns=pd.Index(classes, name="class_name"))


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


def reader_agreement(annotations: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """What radiologists reach against each other: IoU of every two readers who boxed the same finding.

    Args:
        annotations: rows of `cxrlib.annotations.COLUMNS`; any frame.
        classes: findings to score.

    Returns:
        One row per image and finding with two or more readers: image_id, class_name, all_pairs, best_match (mean of
        both directions), each the mean over the pairs of readers.
    """
    boxed = annotations[annotations["x_min"].notna() & annotations["class_name"].isin(classes)]
    corners = boxed[BOX_COLUMNS].to_numpy()
    readers = defaultdict(list)
    for (class_name, image_id, _), positions in boxed.groupby(["class_name", "image_id", "rad_id"]).indices.items():
        readers[class_name, image_id].append(corners[positions])
    rows = []
    for (class_name, image_id), boxes in sorted(readers.items()):
        if len(boxes) < 2:
            continue
        scores = [
            (all_pairs_iou(a, b), (best_match_iou(a, b) + best_match_iou(b, a)) / 2) for a, b in combinations(boxes, 2)
        ]
        rows.append((image_id, class_name, *np.mean(scores, axis=0)))
    return pd.DataFrame(rows, columns=["image_id", "class_name", "all_pairs", "best_match"])
