"""What radiologists reach against each other: the ceiling for heatmaps (boxes) and for the classifier (labels)."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.evaluate.boxes import as_sum_union, pairwise_iobb, pairwise_iou, union_iou, with_union

PROTOCOLS = ["all_pairs", "best_match", "mask_iou"]
"""Three ways to score several boxes against several others; the thesis's is the first."""


AGREEMENT = [*PROTOCOLS, *(with_union(name, "sum") for name in PROTOCOLS), "iobb"]


def reader_agreement(annotations: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Every two readers who boxed the same finding, scored like a heatmap's boxes against a reader's.

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`; any frame.
        classes: findings to score.

    Returns:
        One row per image, finding and pair of readers: image_id, class_name, first, second (reader ids in order),
        all_pairs, best_match and iobb (each the mean of both directions), mask_iou (of the areas that each covers), and
        ..._sum with the thesis's area1 + area2 for union.

    Two boxes of 4 square pixels that share 2:

    >>> from cxrlib.data.annotations import COLUMNS
    >>> rows = [("a", "Mass", "R1", 0, 0, 2, 2), ("a", "Mass", "R2", 1, 0, 3, 2)]
    >>> pairs = reader_agreement(pd.DataFrame(rows, columns=COLUMNS), ["Mass"])
    >>> pairs[["image_id", "first", "second", "all_pairs", "all_pairs_sum", "iobb"]].round(3)
      image_id first second  all_pairs  all_pairs_sum  iobb
    0        a    R1     R2      0.333           0.25   0.5
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
    """The values of AGREEMENT for two readers' boxes."""
    iou, masks = pairwise_iou(a, b), union_iou(a, b)
    scores = []
    for values, covered in ((iou, masks), (as_sum_union(iou), as_sum_union(masks))):
        scores += [values.mean(), (values.max(axis=0).mean() + values.max(axis=1).mean()) / 2, covered]
    return [*scores, (pairwise_iobb(a, b).mean() + pairwise_iobb(b, a).mean()) / 2]


def by_image(agreement: pd.DataFrame) -> pd.DataFrame:
    """Mean over the pairs of readers of each image and finding.

    Args:
        agreement: from `reader_agreement`.

    Returns:
        Columns class_name, image_id and the scores of AGREEMENT.

    >>> from cxrlib.data.annotations import COLUMNS
    >>> rows = [("a", "Mass", "R1", 0, 0, 2, 2), ("a", "Mass", "R2", 0, 0, 2, 2), ("a", "Mass", "R3", 5, 5, 6, 6)]
    >>> by_image(reader_agreement(pd.DataFrame(rows, columns=COLUMNS), ["Mass"]))["all_pairs"].round(3).tolist()
    [0.333]
    """
    return agreement.groupby(["class_name", "image_id"], as_index=False)[AGREEMENT].mean()


def label_outcomes(annotations: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Each reader's labels as a prediction of what the image's other readers found together.

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`.
        classes: labels to compare.

    Returns:
        Counts over the readers of each image with two or more, indexed by image_id; columns (outcome, class): hits
        (the reader and another gave the label), positives (another gave it), guesses (the reader gave it).

    R1 and R2 gave the label and R3 did not; each of the three has another who gave it:

    >>> labels = {"image_id": "a", "rad_id": ["R1", "R2", "R3"], "class_name": ["Mass", "Mass", "No finding"]}
    >>> label_outcomes(pd.DataFrame(labels), ["Mass"]).loc["a"].to_dict()
    {('hits', 'Mass'): 2, ('positives', 'Mass'): 3, ('guesses', 'Mass'): 2}
    """
    named = pd.crosstab([annotations["image_id"], annotations["rad_id"]], annotations["class_name"])
    given = named.reindex(columns=classes, fill_value=0) > 0
    together = given.groupby(level="image_id").transform("sum")
    several = given.groupby(level="image_id").transform("size") > 1
    others = (together - given)[several] > 0
    given = given[several]
    outcomes = {"hits": given & others, "positives": others, "guesses": given}
    return pd.concat(outcomes, axis=1).groupby(level="image_id").sum()
