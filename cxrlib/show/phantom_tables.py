"""Tables of notebook 09: heatmaps against the cause of a finding, and what replaced pixels say of its effect."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from cxrlib.evaluate.grid_ceiling import CAUSE_IN
from cxrlib.evaluate.phantom import BOXES, CAUSE, CORE, not_needed
from cxrlib.show.method_tables import mean_scores, of_metric, scores_beside, scores_of_each


def phantom_table(
    scored: dict[str, pd.DataFrame],
    control: dict[str, str],
    usual: dict[str, pd.DataFrame],
    classes: list[str],
    weights: pd.DataFrame,
) -> pd.DataFrame:
    """Scores of every method against the cause and against the readers' boxes, with intervals over patients.

    Args:
        scored: title of the method -> cases, from `score_on_truth`.
        control: title -> title of the random maps of the same form.
        usual: title -> the same cases scored with the method's mean heatmap of the class; a method may be missing.
        classes: findings, in the order of the result.
        weights: resamples by image_id.

    Returns:
        method, class_name, metric, against, ours, low, high, n, over_random (gain over the control in pairs) and its
        bounds, over_usual (gain over the class's mean heatmap in pairs) and its bounds.
    """
    parts = []
    for against in (CAUSE, CORE, BOXES):
        own = {title: cases[cases["against"] == against].drop(columns="against") for title, cases in scored.items()}
        mean = {
            f"usual {title}": one[one["against"] == against].drop(columns="against") for title, one in usual.items()
        }
        table = scores_of_each(own, classes, weights)
        gains = scores_beside(own, control, classes, weights, "over_random")
        table = table.merge(gains, on=["name", "metric", "class_name"])
        if usual:
            with_usual = {title: own[title] for title in usual} | mean
            beside = {title: f"usual {title}" for title in usual} | {title: title for title in mean}
            gains = scores_beside(with_usual, beside, classes, weights, "over_usual")
            table = table.merge(gains, "left", ["name", "metric", "class_name"])
        parts.append(table.assign(against=against))
    table = pd.concat(parts, ignore_index=True).rename(columns={"name": "method"})
    order = ["method", "class_name", "metric", "against"]
    return table[[*order, *table.columns.drop(order)]]


def cause_sentences(table: pd.DataFrame, control: dict[str, str], metric: str = "average_precision") -> list[str]:
    """How many methods find the cause better than random maps, and how much of what their cells allow each reaches.

    Args:
        table: from `phantom_table`; the cause itself in the cells of a form of map may be among its methods.
        control: title -> title of the random maps of the same form.
        metric: the score.

    >>> row = {"class_name": "mean of findings", "metric": "energy", "against": "cause", "over_random_low": 0.1}
    >>> scores = {"CAM": 0.2, "Cause in 5 x 5 cells": 0.4, "Random 5 x 5": 0.1}
    >>> table = pd.DataFrame([row | {"method": title, "ours": score} for title, score in scores.items()])
    >>> print(*cause_sentences(table, dict.fromkeys(scores, "Random 5 x 5"), "energy"), sep=chr(10))
    1 of 1 methods finds the cause certainly better than random maps of its form.
    CAM: energy 0.20, 50% of what its cells allow
    """
    means = of_metric(table[table["against"] == CAUSE], metric).set_index("method")
    allowed = {control[title]: score for title, score in means["ours"].items() if title.startswith(CAUSE_IN)}
    methods = means[[not title.startswith(CAUSE_IN) and control[title] != title for title in means.index]]
    found = methods[methods["over_random_low"] > 0].sort_values("ours", ascending=False, kind="stable")
    form = "finds the cause certainly better than random maps of its form"
    form = form if len(found) == 1 else "find the cause certainly better than random maps of their form"
    lines = [f"{len(found)} of {len(methods)} methods {form}."]
    for title, score in found["ours"].items():
        line = f"{title}: {metric.replace('_', ' ')} {score:.2f}"
        of_cells = allowed.get(control[title])
        lines.append(f"{line}, {score / of_cells:.0%} of what its cells allow" if of_cells else line)
    return lines


def not_needed_table(
    effects: pd.DataFrame, threshold: float, classes: list[str], weights: pd.DataFrame
) -> pd.DataFrame:
    """Share of the predicted findings that are predicted without need of them, by finding.

    Args:
        effects: from `true_effects`.
        threshold: as in `not_needed`.
        classes, weights: as in `phantom_table`.

    Returns:
        class_name, ours, low, high and n, the findings predicted.
    """
    unneeded = not_needed(effects, threshold)
    cases = effects.loc[unneeded.index, ["image_id", "class_name"]].assign(share=unneeded.astype(float))
    return mean_scores(cases, ["share"], classes, weights).drop(columns="metric")


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
        bias_low, bias_high, and rank_correlation of the falls with the effects (Spearman, over the cases of a finding).
        The last four are empty for the true effect itself. The bias of replaced top pixels mixes two things: other
        pixels than the cause's, and what replaces them; that of the replaced cause shows the replacement alone.
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
    columns, beside = ["class_name", "pixels", "share", "replacement", "ours", "low", "high", "n"], ["bias", "bias_low"]
    beside += ["bias_high", "rank_correlation"]
    table = pd.concat(parts, ignore_index=True)[[*columns, *beside]]
    table.loc[table["pixels"] == "finding", beside] = np.nan
    return table


def _correlation(cases: pd.DataFrame, class_name: str) -> float:
    """Rank correlation of the falls and effects of a finding."""
    own = cases[cases["class_name"] == class_name]
    if own["fall"].nunique() < 2 or own["effect"].nunique() < 2:
        return float("nan")
    return float(spearmanr(own["fall"], own["effect"]).statistic)
