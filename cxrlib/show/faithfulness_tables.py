"""Tables of notebook 07: what replacing a heatmap's pixels does, beside as many other pixels."""

import numpy as np
import pandas as pd

from cxrlib.evaluate.bootstrap import ALL, interval, mean_samples
from cxrlib.evaluate.controls import beside_controls
from cxrlib.evaluate.faithfulness import CONTROLS, MEAN, OWN


def faithfulness_table(
    cases: pd.DataFrame, findings: list[str], healthy: str | None, weights: pd.DataFrame
) -> pd.DataFrame:
    """`beside_controls` of all labels; the mean is over the findings, without the label "No finding".

    Args:
        cases: from `fall_cases` and `area_cases`.
        findings: in the order of the result.
        healthy: the label "No finding"; None where the model does not have it.
        weights: resamples by image_id.
    """
    table = beside_controls(cases, findings, weights)
    if healthy is None:
        return table
    extra = beside_controls(cases, [healthy], weights)
    return pd.concat([table, extra[extra["class_name"] != ALL]], ignore_index=True)


def control_curves(curves: pd.DataFrame, method: str, classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """Mean fall of the own class's probability by the mean grey: the heatmap's pixels, and each control's.

    Args:
        curves: from `perturbation_curves`.
        method: whose heatmaps.
        classes: in the order of the result.
        weights: resamples by image_id.

    Returns:
        class_name, pixels (OWN, then CONTROLS), share, ours, low, high and n, of what has a case.
    """
    known = curves[(curves["method"] == method) & (curves["replacement"] == MEAN)]
    known, rows = known.assign(fall=known["before"] - known["after"]), []
    groups = dict(list(known.groupby(["class_name", "pixels", "share"])))
    for class_name in classes:
        for pixels in [OWN, *CONTROLS]:
            for share in sorted(known["share"].unique()):
                if (class_name, pixels, share) in groups:
                    cases = groups[class_name, pixels, share]
                    samples = mean_samples(cases["fall"], cases["image_id"], weights)
                    low, high = interval(samples, np.array(len(cases)))
                    rows.append((class_name, pixels, share, samples[0], float(low), float(high), len(cases)))
    return pd.DataFrame(rows, columns=["class_name", "pixels", "share", "ours", "low", "high", "n"])
