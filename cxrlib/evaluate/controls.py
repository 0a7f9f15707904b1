"""Scores of explanations beside controls, in pairs: what a map scores more than one that knows less.

Every measure of trust states its cases in one form, CASE_COLUMNS, a row per case, method, measure and control. A higher
score is better, whatever the measure: where a lower value is better, its negative is the score.
"""

import numpy as np
import pandas as pd

from cxrlib.evaluate.bootstrap import (
    ALL,
    FEWEST,
    expanded,
    interval,
    mean_of_findings,
    mean_samples,
    patients_of,
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
    known, parts = cases.dropna(subset=["score", "control_score"]), []
    patient_of = patients_of(weights[known["image_id"].unique()])
    for about, group in known.groupby(["method", "measure", "control"], sort=False):
        of_class = [group[group["class_name"] == name] for name in classes]
        counts = np.array([len(rows) for rows in of_class])
        scored, control = (
            np.column_stack([mean_samples(rows[column], rows["image_id"], weights) for rows in of_class])
            for column in ("score", "control_score")
        )
        (mean, count), (mean_control, _) = mean_of_findings(scored, counts), mean_of_findings(control, counts)
        scored, control = np.column_stack([scored, mean]), np.column_stack([control, mean_control])
        enough = [rows for rows in of_class if len(rows) >= FEWEST] or [group.iloc[:0]]
        patients = [patient_of[rows["image_id"]].nunique() for rows in (*of_class, pd.concat(enough))]
        low, high = interval(scored, patients)
        gains = scored - control
        gain_low, gain_high = (expanded(gains[0], bound, patients) for bound in interval(gains, patients))
        table = {"class_name": [*classes, ALL], "ours": scored[0], "low": low, "high": high}
        table |= {"control_score": control[0], "gain": gains[0]}
        table |= {"gain_low": gain_low, "gain_high": gain_high, "n": [*counts, count], "patients": patients}
        parts.append(pd.DataFrame(dict(zip(KEYS, about, strict=True)) | table))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*KEYS, *COLUMNS])


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
