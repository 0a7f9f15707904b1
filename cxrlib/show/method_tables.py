"""Tables of notebook 08: every method, and Grad-CAM of every network, on the same cases."""

import math

import numpy as np
import pandas as pd
from torch import nn

from cxrlib.evaluate.bootstrap import ALL, interval, mean_of_findings, mean_samples_of_groups, with_mean_of_findings
from cxrlib.evaluate.classification import auroc_samples, f1_samples
from cxrlib.explain.methods import find
from cxrlib.show.tables import scores_with_interval


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
    shape = (len(metrics), len(classes))
    cases = cases[cases["class_name"].isin(classes)]
    values = cases[metrics].to_numpy(float).T.ravel()  # all cases of the first metric, then of the next
    number = np.arange(len(metrics)).repeat(len(cases)) * len(classes)
    number += np.tile(pd.Index(classes).get_indexer(cases["class_name"]), len(metrics))
    known, image_ids = ~np.isnan(values), np.tile(cases["image_id"].to_numpy(), len(metrics))
    counts = np.bincount(number[known], minlength=math.prod(shape)).reshape(shape)
    samples = mean_samples_of_groups(values[known], image_ids[known], number[known], counts.size, weights)
    samples, counts = with_mean_of_findings(samples.reshape(-1, *shape), counts)
    low, high = interval(samples, counts)
    columns = {"ours": samples[0], "low": low, "high": high, "n": counts}
    names = {"metric": np.repeat(metrics, len(classes) + 1), "class_name": [*classes, ALL] * len(metrics)}
    return pd.DataFrame(names | {name: column.ravel() for name, column in columns.items()})


def scores_beside(
    scored: dict[str, pd.DataFrame],
    beside: dict[str, str],
    classes: list[str],
    weights: pd.DataFrame,
    gain: str = "gain",
) -> pd.DataFrame:
    """Mean case by case gain of several methods or networks over others, in pairs.

    Args:
        scored: name -> cases, all of the same cases; a metric may be missing.
        beside: name -> the name that it is compared with.
        classes, weights: as in `mean_scores`.
        gain: name of the columns of the result.

    Returns:
        name, metric, class_name, gain (mean over cases of the difference), gain_low, gain_high.
    """
    key, parts = ["image_id", "class_name"], []
    for name, cases in scored.items():
        metrics = [column for column in cases if column not in key]
        reference = scored[beside[name]].set_index(key)[metrics].astype(float)
        difference = (cases.set_index(key)[metrics].astype(float) - reference).reset_index()
        part = mean_scores(difference, metrics, classes, weights).drop(columns="n").assign(name=name)
        parts.append(part.rename(columns={"ours": gain, "low": f"{gain}_low", "high": f"{gain}_high"}))
    return pd.concat(parts, ignore_index=True)


def scores_of_each(scored: dict[str, pd.DataFrame], classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """`mean_scores` of several methods or networks: name, metric, class_name, ours, low, high, n.

    Args:
        scored: name -> cases.
        classes, weights: as in `mean_scores`.
    """
    parts = [
        mean_scores(cases, [c for c in cases if c not in ("image_id", "class_name")], classes, weights).assign(
            name=name
        )
        for name, cases in scored.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["name", *table.columns.drop("name")]]


def methods_table(
    scored: dict[str, pd.DataFrame],
    control: dict[str, str],
    about: pd.DataFrame,
    network: str,
    classes: list[str],
    weights: pd.DataFrame,
) -> pd.DataFrame:
    """Every method's scores, its gain over the first method and over its control in pairs, and its cost.

    Args:
        scored: title -> cases.
        control: title -> title of the random maps of the same form; a control is its own.
        about: cost by title, with further columns; a row that is absent leaves them empty.
        network: the explained network.
        classes, weights: as in `mean_scores`.

    Returns:
        method, network, metric, class_name, ours, low, high, n, gain and its bounds (over the first method),
        over_random and its bounds, and the columns of `about`.
    """
    key = ["name", "metric", "class_name"]
    first = dict.fromkeys(scored, next(iter(scored)))
    table = scores_of_each(scored, classes, weights)
    table = table.merge(scores_beside(scored, first, classes, weights), on=key)
    table = table.merge(scores_beside(scored, control, classes, weights, "over_random"), on=key)
    table = table.rename(columns={"name": "method"})
    table.insert(1, "network", network)
    return table.join(about, on="method")


def method_costs(compared: dict[str, dict], network: nn.Module, layer: str, n_classes: int, size: int) -> pd.DataFrame:
    """What an image costs by each method, all classes at once: title by forwards and backwards, in passes.

    Args:
        compared: name -> parameters where they differ from the method's defaults.
        network, layer: what is explained.
        n_classes: number of classes.
        size: side of the network's input in pixels.
    """
    rows = {}
    for name, parameters in compared.items():
        method = find(name)
        cost = method.cost(network, n_classes, (size, size), **({"layer": layer} | parameters))
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

    The mean AUROC is that of the findings; micro F1 counts all labels.

    Args:
        probabilities: name -> those of the whole test split, image_id by class.
        labels: 0/1, image_id by class; of these studies and classes among others.
        scored: name -> cases of the boxed findings, from `score_methods`; controls among them.
        classes: of the cases.
        weights: resamples of the test studies, by image_id.

    Returns:
        network, metric, class_name, ours, low, high, n, gain, gain_low, gain_high.
    """
    first = next(iter(probabilities.values()))
    labels, drawn = labels.loc[first.index, first.columns], weights[first.index].to_numpy()
    counts, samples = labels.sum(), {}
    own = [labels.columns.get_loc(name) for name in classes]
    for name, one in probabilities.items():
        area, micro = auroc_samples(labels, one, drawn), f1_samples(labels, one, drawn)[:, -1]
        overall, count = mean_of_findings(area[:, own], counts.iloc[own].to_numpy())
        samples[name] = np.column_stack([area, overall, micro])
    about = pd.DataFrame({"class_name": [*labels, ALL, "all labels"], "n": [*counts, count, counts.sum()]})
    about["metric"] = ["AUROC"] * (len(about) - 1) + ["micro F1"]
    parts = []
    for name, one in samples.items():
        table = scores_with_interval(one, about["class_name"].tolist(), about["n"].tolist()).reset_index(drop=True)
        gain = scores_with_interval(
            one - next(iter(samples.values())), about["class_name"].tolist(), about["n"].tolist()
        )
        gain = gain.reset_index(drop=True).drop(columns="n").set_axis(["gain", "gain_low", "gain_high"], axis=1)
        parts.append(pd.concat([about.drop(columns="n"), table, gain], axis=1).assign(name=name))
    maps = scores_of_each(scored, classes, weights)
    beside = scores_beside(scored, dict.fromkeys(scored, next(iter(scored))), classes, weights)
    parts.append(maps.merge(beside, on=["name", "metric", "class_name"]))
    table = pd.concat(parts, ignore_index=True).rename(columns={"name": "network"})
    columns = ["network", "metric", "class_name", "ours", "low", "high", "n", "gain", "gain_low", "gain_high"]
    order = pd.Categorical(table["network"], [*scored])
    return table.assign(order=order).sort_values("order", kind="stable", ignore_index=True)[columns]


def who_is_better(
    table: pd.DataFrame, compared: pd.DataFrame, random: set[str], metric: str = "average_precision"
) -> list[str]:
    """Which other methods, and which other networks, certainly point better than the first: two sentences.

    Args:
        table: from `methods_table`; a method whose column `same_as` names another one is no other method.
        compared: from `networks_table`.
        random: titles of random maps in both, which are neither.
        metric: the score of both.

    >>> row = {"metric": "energy", "class_name": ALL, "gain_low": 0.1, "same_as": None}
    >>> table = pd.DataFrame([row | {"method": title} for title in ("Grad-CAM", "RISE", "Random 5 x 5")])
    >>> table.loc[0, "gain_low"] = 0
    >>> compared = pd.DataFrame([row | {"network": "this run", "gain_low": 0}])
    >>> print(*who_is_better(table, compared, {"Random 5 x 5"}, "energy"), sep=chr(10))
    Certainly better than Grad-CAM on the same network: RISE.
    Certainly better on another network: no other was trained.
    """
    methods = of_metric(table[table["same_as"].isna()], metric).set_index("method")["gain_low"]
    networks = of_metric(compared, metric).set_index("network")["gain_low"]
    methods, networks = (gains[~gains.index.isin(random)] for gains in (methods, networks))
    better, others = (", ".join(gains.index[gains > 0]) for gains in (methods, networks))
    none = "none" if len(networks) > 1 else "no other was trained"
    return [
        f"Certainly better than {methods.index[0]} on the same network: {better or 'no other method'}.",
        f"Certainly better on another network: {others or none}.",
    ]


def of_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a metric that are means of findings."""
    return table[(table["class_name"] == ALL) & (table["metric"] == metric)]
