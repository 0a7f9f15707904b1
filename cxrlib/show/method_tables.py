"""Tables of notebook 08: every method, and Grad-CAM of every network, on the same cases."""

import numpy as np
import pandas as pd

from cxrlib.evaluate.bootstrap import mean_samples
from cxrlib.evaluate.classification import auroc_samples, f1_samples
from cxrlib.explain.methods import find
from cxrlib.show.tables import scores_with_interval

ALL = "mean of findings"
"""Name of the row that is the mean over all findings that have a case."""


def mean_scores(cases: pd.DataFrame, metrics: list[str], classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """Mean of case scores by metric and class, and over classes, with intervals over patients.

    Args:
        cases: image_id, class_name and one column per metric; a case whose value is missing does not count.
        metrics: those columns.
        classes: in the order of the result; a class without a case has no value and n = 0.
        weights: resamples by image_id, from `study_weights`.

    Returns:
        metric, class_name, ours, low, high, n.
    """
    parts = []
    for metric in metrics:
        known = cases.dropna(subset=metric)
        of_class = [known[known["class_name"] == name] for name in classes]
        samples = np.column_stack([mean_samples(rows[metric], rows["image_id"], weights) for rows in of_class])
        has_case = ~np.isnan(samples).all(axis=1)
        overall = np.full(len(samples), np.nan)
        overall[has_case] = np.nanmean(samples[has_case], axis=1)
        counts = [len(rows) for rows in of_class]
        table = scores_with_interval(np.column_stack([samples, overall]), [*classes, ALL], [*counts, sum(counts)])
        parts.append(table.rename_axis("class_name").reset_index().assign(metric=metric))
    return pd.concat(parts, ignore_index=True)[["metric", "class_name", "ours", "low", "high", "n"]]


def scores_beside(
    scored: dict[str, pd.DataFrame], beside: str, classes: list[str], weights: pd.DataFrame
) -> pd.DataFrame:
    """`mean_scores` of several methods or networks, and their gain over one of them in pairs.

    Args:
        scored: name -> cases, all of the same cases in the same order, or fewer where a metric is missing.
        beside: the name that the others are compared with.
        classes, weights: as in `mean_scores`.

    Returns:
        name, metric, class_name, ours, low, high, n, gain (mean over cases of the difference), gain_low, gain_high.
    """
    key, parts = ["image_id", "class_name"], []
    reference = scored[beside].set_index(key)
    for name, cases in scored.items():
        metrics = [column for column in cases if column not in key]
        table = mean_scores(cases, metrics, classes, weights)
        difference = (cases.set_index(key)[metrics].astype(float) - reference[metrics]).reset_index()
        gain = mean_scores(difference, metrics, classes, weights)[["ours", "low", "high"]]
        gain.columns = ["gain", "gain_low", "gain_high"]
        parts.append(pd.concat([table, gain], axis=1).assign(name=name))
    table = pd.concat(parts, ignore_index=True)
    return table[["name", *table.columns.drop("name")]]


def methods_table(
    scored: dict[str, pd.DataFrame],
    about: pd.DataFrame,
    network: str,
    classes: list[str],
    weights: pd.DataFrame,
) -> pd.DataFrame:
    """Every method's scores, its gain over the first method in pairs, and its cost.

    Args:
        scored: title -> cases.
        about: from `method_costs`, with further columns by title; a row that is absent leaves them empty.
        network: the explained network.
        classes, weights: as in `mean_scores`.

    Returns:
        method, network, metric, class_name, ours, low, high, n, gain, gain_low, gain_high, and the columns of `about`.
    """
    table = scores_beside(scored, next(iter(scored)), classes, weights).rename(columns={"name": "method"})
    table.insert(1, "network", network)
    return table.join(about, on="method")


def method_costs(compared: dict[str, dict], n_classes: int, size: int) -> pd.DataFrame:
    """What an image costs by each method, all classes at once: title by forwards and backwards, in passes.

    Args:
        compared: name -> parameters where they differ from the method's defaults.
        n_classes: number of classes.
        size: side of the network's input in pixels.
    """
    rows = {}
    for name, parameters in compared.items():
        method = find(name)
        cost = method.passes(n_classes, (size, size), **{**method.parameters, **parameters})
        rows[method.title] = {"forwards": cost.forward, "backwards": cost.backward}
    return pd.DataFrame.from_dict(rows, orient="index").astype("Int64")


def networks_table(
    probabilities: dict[str, pd.DataFrame],
    labels: pd.DataFrame,
    scored: dict[str, pd.DataFrame],
    classes: list[str],
    weights: pd.DataFrame,
) -> pd.DataFrame:
    """AUROC, micro F1 and the scores of Grad-CAM of every network, and their gain over the first network in pairs.

    Args:
        probabilities: name -> those of the whole test split, image_id by class.
        labels: 0/1, image_id by class; of these studies and classes among others.
        scored: name -> cases of the boxed findings, from `score_methods`.
        classes: of the cases.
        weights: resamples of the test studies, by image_id.

    Returns:
        network, metric, class_name, ours, low, high, n, gain, gain_low, gain_high.
    """
    first = next(iter(probabilities.values()))
    labels, samples = labels.loc[first.index, first.columns], {}
    counts, drawn = labels.sum(), weights[labels.index].to_numpy()
    for name, one in probabilities.items():
        area, micro = auroc_samples(labels, one, drawn), f1_samples(labels, one, drawn)[:, -1]
        samples[name] = np.column_stack([area, np.nanmean(area, axis=1), micro])
    names, total = [*labels, ALL, ALL], int(counts.sum())
    parts = []
    for name, one in samples.items():
        table = scores_with_interval(one, names, [*counts, total, total])
        gain = scores_with_interval(one - next(iter(samples.values())), names, [*counts, total, total])
        for column in ("ours", "low", "high"):
            table["gain" if column == "ours" else f"gain_{column}"] = gain[column].to_numpy()
        metrics = ["AUROC"] * (len(names) - 1) + ["micro F1"]
        parts.append(table.rename_axis("class_name").reset_index().assign(metric=metrics, name=name))
    parts.append(scores_beside(scored, next(iter(scored)), classes, weights))
    table = pd.concat(parts, ignore_index=True).rename(columns={"name": "network"})
    columns = ["network", "metric", "class_name", "ours", "low", "high", "n", "gain", "gain_low", "gain_high"]
    order = pd.Categorical(table["network"], [*probabilities])
    return table.assign(order=order).sort_values("order", kind="stable", ignore_index=True)[columns]
