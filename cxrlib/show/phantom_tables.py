"""Tables of notebook 09: heatmaps against the cause of a finding, and what replaced pixels say of its effect."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from cxrlib.evaluate.phantom import AGAINST
from cxrlib.show.method_tables import mean_scores


def phantom_table(scored: dict[str, pd.DataFrame], classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """Scores of every method against the cause and against the readers' boxes, with intervals over patients.

    Args:
        scored: title of the method -> cases, from `score_on_truth`.
        classes: findings, in the order of the result.
        weights: resamples by image_id.

    Returns:
        method, class_name, metric, against, ours, low, high, n.
    """
    parts = [
        mean_scores(cases, AGAINST, classes, weights).assign(method=title, against=against)
        for title, of_method in scored.items()
        for against, cases in of_method.groupby("against", sort=False)
    ]
    columns = ["method", "class_name", "metric", "against", "ours", "low", "high", "n"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def effects_table(
    effects: pd.DataFrame, estimates: pd.DataFrame, classes: list[str], weights: pd.DataFrame
) -> pd.DataFrame:
    """The true effect of each finding beside what each replacement of pixels says of it.

    Args:
        effects: from `true_effects`.
        estimates: from `estimated_effects`, of the same cases.
        classes, weights: as in `phantom_table`.

    Returns:
        class_name, pixels ("finding": the true effect; "top", "cause"), share (of the top pixels; missing elsewhere),
        replacement, ours (mean fall of the probability), low, high, n, bias (mean of fall - effect over the cases),
        bias_low, bias_high, and rank_correlation of the falls with the effects (Spearman, over cases).
    """
    whole = effects.assign(pixels="finding", share=np.nan, replacement="twin", fall=effects["effect"])
    share = estimates["share"].where(estimates["pixels"] == "top")
    cases = pd.concat([whole, estimates.assign(share=share).merge(effects, on=["image_id", "class_name"])])
    cases = cases.assign(bias=cases["fall"] - cases["effect"])
    parts = []
    for about, same in cases.groupby(["pixels", "share", "replacement"], sort=False, dropna=False):
        table = mean_scores(same, ["fall", "bias"], classes, weights).set_index(["metric", "class_name"])
        part = table.loc["fall"].join(table.loc["bias", ["ours", "low", "high"]].add_prefix("bias_"))
        part = part.rename(columns={"bias_ours": "bias"}).reset_index()
        part["rank_correlation"] = [_correlation(same, name) for name in part["class_name"]]
        parts.append(part.assign(**dict(zip(["pixels", "share", "replacement"], about, strict=True))))
    columns = ["class_name", "pixels", "share", "replacement", "ours", "low", "high", "n"]
    return pd.concat(parts, ignore_index=True)[[*columns, "bias", "bias_low", "bias_high", "rank_correlation"]]


def _correlation(cases: pd.DataFrame, class_name: str) -> float:
    """Rank correlation of falls and effects of a finding, or of all cases where `class_name` is no finding's."""
    own = cases[cases["class_name"] == class_name]
    own = own if len(own) or class_name in set(cases["class_name"]) else cases
    if own["fall"].nunique() < 2 or own["effect"].nunique() < 2:
        return float("nan")
    return float(spearmanr(own["fall"], own["effect"]).statistic)
