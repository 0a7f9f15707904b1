"""Which findings a heatmap meets: linear regression of a score on what the boxes are like.

The analysis is that of cheXlocalize (Saporta et al. 2022).
"""

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import mask_of_boxes

FEATURES = ["size", "elongation", "boxes", "readers", "probability"]
"""size: the image's part that the readers' boxes cover, in %; elongation: longer over shorter side, mean of the
boxes; boxes: how many a reader drew; readers: how many of them boxed the finding; probability: of the finding, by the
network."""


UNITS = {"size": "% of the image", "elongation": "", "boxes": "a reader", "readers": "", "probability": "0..1"}


PER_COEFFICIENT = 4
"""Fewest cases for each coefficient; fewer are not fitted."""


def box_features(cohort: Cohort, cases: pd.DataFrame) -> pd.DataFrame:
    """FEATURES of every boxed finding, beside image_id and class_name.

    Args:
        cohort: boxes, in its square frame.
        cases: columns image_id, class_name and probability; each must have a reader's box.
    """
    rows = []
    for image_id, class_name, probability in cases[["image_id", "class_name", "probability"]].itertuples(index=False):
        drawn = cohort.boxes(image_id, class_name)
        boxes, readers = drawn[BOX_COLUMNS].to_numpy(np.float64), drawn["rad_id"].nunique()
        sides = boxes[:, 2:] - boxes[:, :2]
        elongation = float((sides.max(axis=1) / sides.min(axis=1)).mean())
        size = 100 * float(mask_of_boxes(boxes, cohort.size).mean())
        rows.append((image_id, class_name, size, elongation, len(boxes) / readers, readers, float(probability)))
    return pd.DataFrame(rows, columns=["image_id", "class_name", *FEATURES])


def regress(
    score: np.ndarray, features: pd.DataFrame, groups: np.ndarray | None, image_ids: list[str], weights: pd.DataFrame
) -> tuple[np.ndarray, pd.Series, float]:
    """Ordinary least squares in every resample of the studies: b minimises sum_i w_i (y_i - a - b x_i)^2.

    Args:
        score: y, (cases,).
        features: x, one column each; a column whose values are all alike has no coefficient.
        groups: a class of each case, which gets an intercept of its own; None: all have one intercept.
        image_ids: the study of each case.
        weights: w, from `study_weights`.

    Returns:
        b, float64 (1 + resamples, features), NaN without a coefficient or where a resample leaves it open; the standard
        deviation of each feature (with groups: within them), so that b times it is the change of the score for one
        standard deviation; and R^2 of all but the intercepts, NaN where nothing is fitted.

    Without noise the coefficient is found in every resample that has two studies:

    >>> x, weights = pd.DataFrame({"size": [1.0, 2.0, 3.0, 5.0] * 2}), pd.DataFrame(1.0, range(2), list("abcdefgh"))
    >>> found, deviation, fit = regress(0.5 * x["size"] + 1, x, None, list("abcdefgh"), weights)
    >>> found.round(6).tolist(), round(float(deviation["size"]), 3), round(fit, 6)
    ([[0.5], [0.5]], 1.479, 1.0)
    """
    y, x = np.asarray(score, np.float64), features.to_numpy(np.float64)
    drawn, of_case = weights.to_numpy(), [weights.columns.get_loc(image_id) for image_id in image_ids]
    member = np.ones((len(y), 1)) if groups is None else pd.get_dummies(np.asarray(groups)).to_numpy(np.float64)
    coefficients, fit = np.full((len(drawn), x.shape[1]), np.nan), np.nan
    within = x - member @ (member.T @ x / np.maximum(member.sum(0), 1)[:, None])
    deviation = np.sqrt((within**2).mean(0)) if len(y) else np.zeros(x.shape[1])
    used = deviation > 1e-9 * np.maximum(1, np.abs(x).max(0, initial=0))
    if used.any() and len(y) >= PER_COEFFICIENT * (used.sum() + member.shape[1]):
        design = np.concatenate([within[:, used] / deviation[used], member], axis=1)
        for row, studies in enumerate(drawn):
            one = studies[of_case].astype(np.float64)
            root = np.sqrt(one)
            solution, _, rank, _ = np.linalg.lstsq(design * root[:, None], y * root, rcond=1e-8)
            if rank == (design[one > 0] != 0).any(axis=0).sum():
                coefficients[row, used] = solution[: used.sum()] / deviation[used]
        centred = y - member @ (member.T @ y / member.sum(0))
        residual = centred - within[:, used] @ coefficients[0, used]
        fit = float(1 - (residual**2).sum() / (centred**2).sum()) if (centred**2).sum() > 0 else np.nan
    return coefficients, pd.Series(deviation, features.columns), fit
