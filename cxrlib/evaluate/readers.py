"""Agreement of radiologists with each other: in boxes, the ceiling for heatmaps; in labels, that for the classifier."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.evaluate.boxes import as_sum_union, pairwise_iobb, pairwise_iou, union_iou, with_union

PROTOCOLS = ["all_pairs", "best_match", "mask_iou"]
"""Three ways to score several boxes against several others; the thesis's is the first."""


AGREEMENT = [*PROTOCOLS, *(with_union(name, "sum") for name in PROTOCOLS), "iobb"]
"""The scores of two readers: each protocol with either union, and IoBB."""


def reader_agreement(annotations: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Every two readers who boxed the same finding, scored like a heatmap's boxes against a reader's.

    >>> rows = [("a", "ILD", "R1", 0, 0, 4, 2), ("a", "ILD", "R2", 2, 0, 6, 2)]
    >>> annotations = pd.DataFrame(rows, columns=["image_id", "class_name", "rad_id", *BOX_COLUMNS])
    >>> reader_agreement(annotations, ["ILD"])[["first", "second", "all_pairs", "all_pairs_sum", "iobb"]].round(2)
      first second  all_pairs  all_pairs_sum  iobb
    0    R1     R2       0.33           0.25   0.5

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`; any frame.
        classes: findings to score.

    Returns:
        One row per image, finding and pair of readers: image_id, class_name, first and second (ids of the readers, in
        order), and the scores AGREEMENT, each 0..1. best_match and iobb are the mean of both directions. mask_iou is
        that of the areas that the two readers' boxes cover. The names in _sum have the thesis's union A + B.
    """
    boxed = annotations[annotations["x_min"].notna() & annotations["class_name"].isin(classes)]
    corners = boxed[BOX_COLUMNS].to_numpy()
    readers = defaultdict(list)
    for (class_name, image_id, reader), rows in boxed.groupby(["class_name", "image_id", "rad_id"]).indices.items():
        readers[class_name, image_id].append((reader, corners[rows]))
    pairs = [
        (image_id, class_name, first, second, *_score(a, b))
        for (class_name, image_id), boxes in sorted(readers.items())
        for (first, a), (second, b) in combinations(sorted(boxes, key=lambda one: one[0]), 2)
    ]
    return pd.DataFrame(pairs, columns=["image_id", "class_name", "first", "second", *AGREEMENT])


def _score(a: np.ndarray, b: np.ndarray) -> list[float]:
    """The values of AGREEMENT for the boxes (n, 4) and (m, 4) of two readers."""
    iou, masks = pairwise_iou(a, b), union_iou(a, b)
    scores = []
    for values, covered in ((iou, masks), (as_sum_union(iou), as_sum_union(masks))):
        scores += [values.mean(), (values.max(axis=0).mean() + values.max(axis=1).mean()) / 2, covered]
    return [*scores, (pairwise_iobb(a, b).mean() + pairwise_iobb(b, a).mean()) / 2]


def by_image(agreement: pd.DataFrame) -> pd.DataFrame:
    """Mean over the pairs of readers of each image and finding: class_name, image_id and the scores AGREEMENT.

    >>> pairs = pd.DataFrame({"image_id": "a", "class_name": "ILD", "all_pairs": [0.2, 0.4]})
    >>> by_image(pairs.reindex(columns=["image_id", "class_name", *AGREEMENT]))["all_pairs"].round(2).tolist()
    [0.3]

    Args:
        agreement: from `reader_agreement`.
    """
    return agreement.groupby(["class_name", "image_id"], as_index=False)[AGREEMENT].mean()


def label_outcomes(annotations: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Each reader's labels as a prediction of what the image's other readers found together.

    >>> rows = [("a", "ILD", "R1"), ("a", "ILD", "R2"), ("a", "Nodule", "R3")]
    >>> annotations = pd.DataFrame(rows, columns=["image_id", "class_name", "rad_id"])
    >>> found = label_outcomes(annotations, ["ILD"]).loc["a"]  # R1, R2 and R3 each have a colleague who gave ILD
    >>> int(found["hits", "ILD"]), int(found["positives", "ILD"]), int(found["guesses", "ILD"])
    (2, 3, 2)

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`.
        classes: labels to compare.

    Returns:
        Counts over the readers of each image with two or more, indexed by image_id; columns (outcome, class): hits
        (the reader and another gave the label), positives (another gave it), guesses (the reader gave it).
    """
    named = pd.crosstab([annotations["image_id"], annotations["rad_id"]], annotations["class_name"])
    given = named.reindex(columns=classes, fill_value=0) > 0
    together = given.groupby(level="image_id").transform("sum")
    several = given.groupby(level="image_id").transform("size") > 1
    others = (together - given)[several] > 0
    given = given[several]
    outcomes = {"hits": given & others, "positives": others, "guesses": given}
    return pd.concat(outcomes, axis=1).groupby(level="image_id").sum()
