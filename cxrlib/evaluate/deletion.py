"""One number for a curve: deletion and insertion areas, and the area over the perturbation curve."""

import numpy as np
import pandas as pd

from cxrlib.evaluate.faithfulness import KEPT, MEAN, beside_own

CURVE = ["image_id", "class_name", "method", "pixels"]


def area_under(covered: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Area under the probability over the share of pixels by the trapezoid rule (Petsiuk et al. 2018).

        sum_k (s_(k+1) - s_k) (p_k + p_(k+1)) / 2

    Args:
        covered: s, shares from 0 to 1, ascending, (..., points).
        probabilities: p, (..., points).

    Returns:
        float64 (...), NaN where a value is missing.

    A probability that falls in a straight line from 1 to 0 has half of the square below it:

    >>> float(area_under(np.array([0.0, 0.25, 1.0]), np.array([1.0, 0.75, 0.0])))
    0.5
    """
    return np.trapezoid(probabilities, covered, axis=-1)


def area_over(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Area over the perturbation curve, AOPC (Samek et al. 2017), of one image.

        sum_(k=0..L) (p_0 - p_k) / (L + 1)

    Args:
        before: p_0, (...).
        after: p_1 to p_L, after each of L steps, (..., L).

    Returns:
        float64 (...).

    >>> float(area_over(np.array(0.75), np.array([0.5, 0.25])))
    0.25
    """
    falls = np.asarray(before, np.float64)[..., None] - after
    return falls.sum(-1) / (falls.shape[-1] + 1)


def area_cases(curves: pd.DataFrame) -> pd.DataFrame:
    """Areas of every case's curves, beside each control that has all shares. They need no pass beyond the curves'.

    - "deletion": 1 minus the area under p while the top pixels become the mean grey, so that a higher score is better.
    - "insertion": the area under p while the top pixels come back into the blurred image.
    - "AOPC": the area over the curve of the mean grey, over the run's shares alone.

    The two areas reach from no pixel to all pixels. Petsiuk et al. take a step for every few pixels; here the steps are
    the run's shares.

    Args:
        curves: from `cxrlib.evaluate.faithfulness.perturbation_curves`.

    Returns:
        CASE_COLUMNS.

    >>> about = {"image_id": "a", "class_name": "Mass", "method": "CAM", "replacement": "mean", "share": 0.5}
    >>> chosen = {"pixels": ["heatmap", "random region"], "covered": 0.5, "after": [0.0, 0.5]}
    >>> curves = pd.DataFrame({**about, **chosen, "before": 1.0, "whole": 0.0})
    >>> area_cases(curves)[["measure", "score", "control_score"]].to_numpy().tolist()
    [['deletion', 0.75, 0.5], ['AOPC', 0.5, 0.25]]
    """
    parts = []
    for replacement, ends in ((MEAN, ("before", "whole")), (KEPT, ("whole", "before"))):
        curve = curves[curves["replacement"] == replacement]
        if curve.empty:
            continue
        wide = curve.pivot(index=CURVE, columns="share", values=["covered", "after"])
        first, last = (curve.groupby(CURVE)[name].first().reindex(wide.index).to_numpy() for name in ends)
        covered, after = (wide[name].to_numpy(np.float64) for name in ("covered", "after"))
        shares = np.pad(covered, ((0, 0), (1, 1)), constant_values=((0, 0), (0.0, 1.0)))
        area = area_under(shares, np.column_stack([first, after, last]))
        scores = {"insertion": area} if replacement == KEPT else {"deletion": 1 - area, "AOPC": area_over(first, after)}
        parts += [wide.index.to_frame(index=False).assign(measure=name, score=score) for name, score in scores.items()]
    scores = pd.concat(parts) if parts else pd.DataFrame(columns=[*CURVE, "measure", "score"])
    return beside_own(scores.dropna(subset="score"))
