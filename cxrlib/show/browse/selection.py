"""The filters and orders of the studies: functions on a data frame with one row per study."""

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import all_pairs_iou
from cxrlib.evaluate.localisation import hit
from cxrlib.evaluate.readers import by_image, reader_agreement
from cxrlib.show.browse.browsed import BrowsedRun

PREDICTED_FROM = 0.5
"""Probability from which a class counts as predicted, as in the classification metrics."""


SCORED_SHARE = 0.05
"""Share of the heatmap's pixels whose IoU chooses the first view."""


MANY = 2
"""So many readers who boxed a finding are many."""


TRIED = 100
"""So many of the surest cases compete to be the first view."""


LOW_IOU = 0.1


DISAGREE = 0.5


OUTCOMES = ["true positive", "false positive", "false negative", "true negative"]


SHOWN = ["all studies", "labelled", "not labelled", "predicted", "not predicted", *OUTCOMES]


ONLY = {"": None, "readers disagree": "disagreement", "low IoU": "iou"}
"""The second filter: name -> the column that the filter needs."""


ORDERS = {
    "stored order": None,
    "study": "image_id",
    "probability": "probability",
    "label": "labelled",
    "outcome": "outcome",
    "reader disagreement": "disagreement",
    "IoU": "iou",
}
"""The orders of studies: name -> the column that is sorted by."""


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
    """How far a study's readers differ on one class: `1 - mean IoU` over pairs of readers.

    A pair of which only one reader boxed the class has the IoU 0. A pair of which neither reader boxed the class does
    not count. A study without a pair that counts has NaN.
    """
    annotations = cohort.annotations[cohort.annotations["image_id"].isin(image_ids)]
    readers = annotations.groupby("image_id")["rad_id"].nunique().reindex(image_ids, fill_value=0)
    rows = annotations[(annotations["class_name"] == class_name) & annotations["x_min"].notna()]
    boxing = rows.groupby("image_id")["rad_id"].nunique().reindex(image_ids, fill_value=0)
    agreement = by_image(reader_agreement(rows, [class_name])).set_index("image_id")["all_pairs"]
    agreement = agreement.reindex(image_ids).fillna(0)
    both, one = boxing * (boxing - 1) / 2, boxing * (readers - boxing)
    return 1 - agreement * both / (both + one).where(both + one > 0)


def clearest_case(results: BrowsedRun) -> tuple[str, str] | None:
    """The case with which a browser opens: image id and class name; None where no case fits.

    The finding is predicted and boxed, by MANY readers where there is such a case, and the peak of the first method's
    map lies in one of their boxes. Of the TRIED surest, that with the highest IoU at the top SCORED_SHARE is taken.
    """
    fitting = []
    boxed = results.cohort.annotations.dropna(subset="x_min").groupby(["image_id", "class_name"])["rad_id"].nunique()
    for (image_id, name), readers in boxed.items():
        if image_id not in results.probabilities.index or name not in results.classes:
            continue
        p = results.probabilities.at[image_id, name]
        raw = results.raw_map(results.first_view(image_id, name, SCORED_SHARE))
        if p >= PREDICTED_FROM and raw is not None:
            boxes = results.cohort.boxes(image_id, name)[BOX_COLUMNS].to_numpy()
            if hit(raw, boxes, results.cohort.size):
                fitting.append((readers, p, image_id, name))
    most = max((case[0] for case in fitting), default=0)
    surest = sorted((case for case in fitting if case[0] >= min(most, MANY)), key=lambda case: -case[1])[:TRIED]
    scored = {}
    for _, _, image_id, name in surest:
        evidence = results.evidence(results.first_view(image_id, name, SCORED_SHARE))
        scored[image_id, name] = all_pairs_iou(evidence.predicted, evidence.true)
    return max(scored, key=scored.get) if scored else None


def heatmap_iou(results: BrowsedRun, class_name: str, share: float) -> pd.Series:
    """IoU (all pairs) of the first method's top pixels with the readers' boxes; NaN without a reader's box.

    Args:
        results: the run.
        class_name: the finding.
        share: fraction of the pixels that are the top ones.
    """
    scores = {}
    for image_id in results.probabilities.index:
        if len(results.cohort.boxes(image_id, class_name)):
            evidence = results.evidence(results.first_view(image_id, class_name, share))
            scores[image_id] = all_pairs_iou(evidence.predicted, evidence.true)
    return pd.Series(scores, dtype=float).reindex(results.probabilities.index)
