"""Which studies are browsed, and in which order: pure functions on a data frame with one row per study."""

import numpy as np
import pandas as pd

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import all_pairs_iou
from cxrlib.evaluate.readers import by_image, reader_agreement
from cxrlib.show.browse.browsed import BrowsedRun

PREDICTED_FROM = 0.5
"""Probability from which a class counts as predicted (classification metrics use the same)."""


SCORED_SHARE = 0.05
"""Share of the heatmap's pixels whose IoU filters and sorts."""


LOW_IOU = 0.1


DISAGREE = 0.5


OUTCOMES = ["true positive", "false positive", "false negative", "true negative"]


SHOWN = ["all studies", "labelled", "not labelled", "predicted", "not predicted", *OUTCOMES]


ONLY = {"": None, "readers disagree": "disagreement", "low IoU": "iou"}
"""A second filter, and the column that it needs."""


ORDERS = {
    "stored order": None,
    "study": "image_id",
    "probability": "probability",
    "label": "labelled",
    "outcome": "outcome",
    "reader disagreement": "disagreement",
    "IoU": "iou",
}
"""What studies are sorted by, and its column."""


def study_frame(labels: pd.Series, probabilities: pd.Series) -> pd.DataFrame:
    """One class of every study.

    Args:
        labels: 0/1 by image_id.
        probabilities: same index.

    Returns:
        Same index: probability, labelled, predicted, outcome (categories OUTCOMES).
    """
    labelled, predicted = labels.astype(bool), probabilities >= PREDICTED_FROM
    which = np.select([labelled & predicted, predicted, labelled], [0, 1, 2], 3)
    outcome = pd.Categorical.from_codes(which, OUTCOMES, ordered=True)
    return pd.DataFrame(
        {"probability": probabilities, "labelled": labelled, "predicted": predicted, "outcome": outcome},
        index=probabilities.index,
    )


def select(
    studies: pd.DataFrame,
    search: str = "",
    shown: str = "all studies",
    only: str = "",
    order: str = "stored order",
    descending: bool = False,
) -> list[str]:
    """Image ids that pass all filters, sorted; ties keep the stored order, and missing values come last.

    Args:
        studies: from `study_frame`, with the columns disagreement and iou where `only` or `order` needs them.
        search: part of the image id, in any case.
        shown: one of SHOWN.
        only: one of ONLY.
        order: one of ORDERS.
        descending: reverses the order.
    """
    kept = pd.Series(studies.index.str.contains(search.strip(), case=False, regex=False), studies.index)
    if shown in OUTCOMES:
        kept &= studies["outcome"] == shown
    elif shown != "all studies":
        kept &= studies[shown.removeprefix("not ")] != shown.startswith("not ")
    if only == "readers disagree":
        kept &= studies["disagreement"] >= DISAGREE
    elif only == "low IoU":
        kept &= studies["iou"] < LOW_IOU
    chosen = studies[kept].rename_axis("image_id")
    column = ORDERS[order]
    if column is None:
        return chosen.index[:: -1 if descending else 1].tolist()
    return chosen.sort_values(column, ascending=not descending, kind="stable", na_position="last").index.tolist()


def disagreement(cohort: Cohort, class_name: str, image_ids: pd.Index) -> pd.Series:
    """How far a study's readers differ on one class: 1 - mean IoU over all pairs of readers.

    A pair of which only one boxed the class counts as IoU 0, a pair of which neither did does not count. NaN where no
    pair counts.
    """
    annotations = cohort.annotations[cohort.annotations["image_id"].isin(image_ids)]
    readers = annotations.groupby("image_id")["rad_id"].nunique().reindex(image_ids, fill_value=0)
    rows = annotations[(annotations["class_name"] == class_name) & annotations["x_min"].notna()]
    boxing = rows.groupby("image_id")["rad_id"].nunique().reindex(image_ids, fill_value=0)
    agreement = by_image(reader_agreement(rows, [class_name])).set_index("image_id")["all_pairs"]
    agreement = agreement.reindex(image_ids).fillna(0)
    both, one = boxing * (boxing - 1) / 2, boxing * (readers - boxing)
    return 1 - agreement * both / (both + one).where(both + one > 0)


def heatmap_iou(results: BrowsedRun, class_name: str) -> pd.Series:
    """IoU (all pairs) of the first method's top SCORED_SHARE with the readers' boxes; NaN without a reader's box."""
    scores = {}
    for image_id in results.probabilities.index:
        if len(results.cohort.boxes(image_id, class_name)):
            evidence = results.evidence(results.first_view(image_id, class_name, SCORED_SHARE))
            scores[image_id] = all_pairs_iou(evidence.predicted, evidence.true)
    return pd.Series(scores, dtype=float).reindex(results.probabilities.index)
