"""The rules by which the radiographs of a figure are chosen."""

import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS, box_centres
from cxrlib.data.cohort import Cohort


def labelled(cohort: Cohort, image_ids: list[str], classes: list[str], count: int) -> list[str]:
    """The first `count` images that carry all `classes`, sorted by the number of other labels and then by image id."""
    labels = cohort.labels.loc[image_ids]
    fitting = labels[labels[classes].all(axis=1)]
    return fitting.sum(axis=1).sort_index().sort_values(kind="stable").index[:count].tolist()


def most_disputed(cohort: Cohort, class_name: str) -> str | None:
    """The image whose readers put a finding furthest apart; None where no image has two readers of the finding.

    Images with most readers come first. Of these, the one with the largest `std(x) + std(y)` of the centres of the
    readers' boxes is taken.
    """
    boxed = cohort.annotations[(cohort.annotations["class_name"] == class_name) & cohort.annotations["x_min"].notna()]
    readers = boxed.groupby("image_id")["rad_id"].nunique()
    if boxed.empty or readers.max() < 2:
        return None
    centres = pd.DataFrame(box_centres(boxed[BOX_COLUMNS].to_numpy()), columns=["x", "y"])
    spread = centres.groupby(boxed["image_id"].to_numpy()).std().sum(axis=1)
    return spread[readers == readers.max()].sort_index().idxmax()


def surest(probabilities: pd.DataFrame, truth: pd.DataFrame, classes: list[str], count: int) -> list[str]:
    """The `count` images that truly carry all `classes` and whose smallest probability of these is highest.

    >>> probabilities = pd.DataFrame({"ILD": [0.9, 0.7], "Nodule": [0.1, 0.6]}, ["a", "b"])
    >>> surest(probabilities, probabilities > 0, ["ILD", "Nodule"], 1)  # min(0.7, 0.6) is above min(0.9, 0.1)
    ['b']

    Args:
        probabilities, truth: image_id by class, same index.
    """
    fitting = truth[classes].all(axis=1)
    lowest = probabilities.loc[fitting, classes].min(axis=1)
    return lowest.sort_values(ascending=False, kind="stable").index[:count].tolist()


def most_labels(cohort: Cohort, image_ids: list[str], classes: list[str], count: int) -> list[str]:
    """The `count` images with most labels of `classes`; of these with most readers' boxes of them, then by image id."""
    labels = cohort.labels.loc[image_ids, classes].sum(axis=1)
    boxed = cohort.annotations[cohort.annotations["class_name"].isin(classes) & cohort.annotations["x_min"].notna()]
    boxes = boxed["image_id"].value_counts().reindex(image_ids, fill_value=0)
    order = pd.DataFrame({"labels": labels, "boxes": boxes}).sort_index()
    return order.sort_values(["labels", "boxes"], ascending=False, kind="stable").index[:count].tolist()


def right_class_wrong_place(scores: pd.DataFrame) -> pd.Series | None:
    """The case with the lowest IoU and, among equal ones, the highest probability; None where there is no case.

    Args:
        scores: image_id, class_name, all_pairs, probability of correctly predicted findings.
    """
    ordered = scores.sort_values(["all_pairs", "probability"], ascending=[True, False], kind="stable")
    return None if ordered.empty else ordered.iloc[0]


def wrong_class_right_place(scores: pd.DataFrame) -> pd.Series | None:
    """The case with the highest IoU; None where there is no case.

    Args:
        scores: image_id, class_name, all_pairs, probability of findings that are there but were not predicted.
    """
    ordered = scores.sort_values("all_pairs", ascending=False, kind="stable")
    return None if ordered.empty else ordered.iloc[0]
