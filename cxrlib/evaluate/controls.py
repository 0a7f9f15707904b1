"""Scores of explanations beside controls, in pairs: what a map scores more than one that knows less.

Every measure of trust states its cases in one form, CASE_COLUMNS, a row per case, method, measure and control. A higher
score is better, whatever the measure: where a lower value is better, its negative is the score.
"""

import math

import numpy as np
import pandas as pd

from cxrlib.evaluate.bootstrap import (
    ALL,
    FEWEST,
    expanded,
    interval,
    mean_samples_of_groups,
    patients_of,
    with_mean_of_findings,
)

CASE_COLUMNS = ["image_id", "class_name", "method", "measure", "score", "control", "control_score"]
"""The study and its finding, what was scored, its score, and the score of the same case's control."""


CONSTANT = "a constant map, or no other one to compare"
"""Why a case has no score where nothing else is said."""


KEYS = ["method", "measure", "control"]


COLUMNS = ["class_name", "ours", "low", "high", "control_score", "gain", "gain_low", "gain_high", "n", "patients"]


def beside_controls(cases: pd.DataFrame, classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """Mean scores and mean gains over each control, with intervals over patients.

        gain = mean_i (score_i - control_score_i)

    The intervals of gains are `expanded` for the number of patients. Fewer than FEWEST patients have none.

    Args:
        cases: CASE_COLUMNS; a row without a score or without a control's score does not count.
        classes: findings, in the order of the result; one without a case has no value and n = 0.
        weights: resamples by image_id, from `study_weights`.

    Returns:
        method, measure, control, class_name (and ALL, the mean over findings with enough cases), ours, low, high,
        control_score, gain, gain_low, gain_high, n (cases) and patients. Methods, measures and controls stand in the
        order of `cases`.

    >>> about = {"class_name": "Mass", "method": "CAM", "measure": "energy", "control": "random"}
    >>> cases = pd.DataFrame({"image_id": ["a", "b"], **about, "score": [0.75, 0.5], "control_score": [0.25, 0.25]})
    >>> weights = pd.DataFrame({"a": [1, 2], "b": [1, 0]})
    >>> row = beside_controls(cases, ["Mass"], weights).iloc[0]
    >>> print(row["class_name"], row["ours"], row["control_score"], row["gain"], row["n"])
    Mass 0.625 0.25 0.375 2
    """
    known = cases.dropna(subset=[*KEYS, "score", "control_score"])
    about = known[KEYS].drop_duplicates(ignore_index=True)
    if about.empty:
        return pd.DataFrame(columns=[*KEYS, *COLUMNS])
    known = known[known["class_name"].isin(classes)]
    shape = (len(about), len(classes))
    group = pd.MultiIndex.from_frame(about).get_indexer(pd.MultiIndex.from_frame(known[KEYS]))
    number = group * len(classes) + pd.Index(classes).get_indexer(known["class_name"])
    counts = np.bincount(number, minlength=math.prod(shape)).reshape(shape)
    scored, control = (
        mean_samples_of_groups(known[name], known["image_id"], number, counts.size, weights).reshape(-1, *shape)
        for name in ("score", "control_score")
    )
    patients = _patients(known["image_id"], number, counts, weights)
    (scored, n), (control, _) = (with_mean_of_findings(samples, counts) for samples in (scored, control))
    gains = scored - control
    low, high = interval(scored, patients)
    gain_low, gain_high = (expanded(gains[0], bound, patients) for bound in interval(gains, patients))
    columns = [scored[0], low, high, control[0], gains[0], gain_low, gain_high, n, patients]
    table = about.loc[about.index.repeat(len(classes) + 1)].reset_index(drop=True)
    table["class_name"] = [*classes, ALL] * len(about)
    return table.assign(**{name: column.ravel() for name, column in zip(COLUMNS[1:], columns, strict=True)})


def _patients(image_ids: pd.Series, number: np.ndarray, counts: np.ndarray, weights: pd.DataFrame) -> np.ndarray:
    """Patients of each group and class, and of all its classes with FEWEST cases or more together."""
    known = pd.DataFrame({"patient": patients_of(weights[image_ids.unique()])[image_ids].to_numpy(), "number": number})
    own = known.drop_duplicates()["number"]
    of_classes = np.bincount(own, minlength=counts.size).reshape(counts.shape)
    some = known[counts.ravel()[number] >= FEWEST]
    together = some.assign(number=some["number"] // counts.shape[1]).drop_duplicates()["number"]
    return np.hstack([of_classes, np.bincount(together, minlength=len(counts))[:, None]])


def without_number(cases: pd.DataFrame) -> pd.Series:
    """Why each case has no score or no control's score; "" where it has both.

    Args:
        cases: score, control_score and, where it is known, because.

    >>> cases = pd.DataFrame({"score": [0.5, None, None], "control_score": 0.4, "because": ["", "no rule", None]})
    >>> without_number(cases).tolist()
    ['', 'no rule', 'a constant map, or no other one to compare']
    """
    because = cases["because"].astype(object) if "because" in cases else pd.Series("", cases.index)
    because = because.fillna("").where(lambda text: text != "", CONSTANT)
    return because.where(cases["score"].isna() | cases["control_score"].isna(), "")
