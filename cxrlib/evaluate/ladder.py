"""A ladder of difficulty: network and maps against the size and the strength of a finding's known cause."""

import numpy as np
import pandas as pd
import torch

from cxrlib.evaluate.bootstrap import interval, mean_samples
from cxrlib.evaluate.method_scores import RANDOM
from cxrlib.evaluate.phantom import CAUSE, TwinCases

NETWORK = "network"
"""Who predicts; the others are methods."""


MEASURES = ["size", "strength"]
"""What makes a cause easy."""


LOCALISED = ["hit", "average_precision"]
"""Scores of a map on the ladder, from `score_on_truth`."""


KEY = ["image_id", "class_name"]


def difficulty(twins: TwinCases) -> pd.DataFrame:
    """Size and strength of each finding's cause.

        size = pixels of the cause / all pixels,  strength = mean over the cause of |with - without| / 255

    Args:
        twins: the cases; one whose twin does not differ is left out.

    Returns:
        image_id, class_name, size and strength.

    One of four pixels differs, by 51 of 255:

    >>> with_finding, without = (torch.tensor([[[[grey, 9], [9, 9]]]], dtype=torch.uint8) for grey in (60, 9))
    >>> twins = TwinCases(pd.DataFrame({"image_id": ["a"], "class_name": "ILD"}), with_finding, without)
    >>> difficulty(twins)[["size", "strength"]].to_numpy().round(3)
    array([[0.25, 0.2 ]], dtype=float32)
    """
    difference = (twins.images.float() - twins.twins.float()).abs()[:, 0] / 255
    size = twins.cause.float().mean(dim=(1, 2))
    strength = torch.where(twins.cause, difference, 0.0).mean(dim=(1, 2)) / size
    cases = twins.cases.assign(size=size.numpy(), strength=strength.numpy())
    return cases[cases["size"] > 0].reset_index(drop=True)


def rungs(values: np.ndarray, count: int) -> np.ndarray:
    """The rung of each value, 1 for the lowest; rungs hold as many values as each other, or one more.

    >>> rungs(np.array([0.4, 0.1, 0.3, 0.2]), 2).tolist()
    [2, 1, 2, 1]
    """
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return 1 + order * count // max(1, len(values))


def climb(
    cases: pd.DataFrame,
    effects: pd.DataFrame,
    scored: dict[str, pd.DataFrame],
    control: dict[str, str],
    threshold: float,
    count: int,
    weights: pd.DataFrame,
) -> pd.DataFrame:
    """How the network and each method do on every rung.

    Args:
        cases: from `difficulty`.
        effects: of these cases among others, from `true_effects`.
        scored: title -> scores of these cases among others, from `score_on_truth`.
        control: title -> title of the random maps of the same form, from `with_controls`.
        threshold: a finding is predicted where its probability reaches this.
        count: rungs.
        weights: resamples by image_id, from `study_weights`.

    Returns:
        measure, rung, lowest and highest (value of the measure), who, metric, ours, low, high, n, gain, gain_low and
        gain_high. Metrics of the network are predicted (share of the cases) and effect; a method's gain is its mean
        difference to its control, case by case.

    >>> key = {"image_id": ["a", "b"], "class_name": "ILD"}
    >>> cases = pd.DataFrame({**key, "size": [0.1, 0.3], "strength": [0.2, 0.1]})
    >>> effects = pd.DataFrame({**key, "p_with": [0.4, 0.9], "effect": [0.1, 0.8]})
    >>> random = pd.DataFrame({**key, "against": "cause", "hit": 0.0, "average_precision": 0.1})
    >>> table = climb(cases, effects, {"CAM": random}, {"CAM": "CAM"}, 0.5, 2, pd.DataFrame(1.0, range(3), ["a", "b"]))
    >>> table[table["metric"] == "predicted"][["measure", "rung", "ours"]].values.tolist()
    [['size', 1, 0.0], ['size', 2, 1.0], ['strength', 1, 1.0], ['strength', 2, 0.0]]
    """
    network = cases[KEY].merge(effects, on=KEY)
    values = {
        (NETWORK, "predicted"): (network["p_with"] >= threshold).astype(float),
        (NETWORK, "effect"): network["effect"],
    }
    against = {title: of_method[of_method["against"] == CAUSE] for title, of_method in scored.items()}
    for title, of_method in against.items():
        merged = cases[KEY].merge(of_method, on=KEY, how="left")
        values |= {(title, metric): merged[metric] for metric in LOCALISED}
    rows = []
    for measure in MEASURES:
        rung = rungs(cases[measure].to_numpy(), count)
        for number in np.unique(rung):
            chosen = rung == number
            image_ids = cases.loc[chosen, "image_id"]
            ends = cases.loc[chosen, measure]
            for (who, metric), of_who in values.items():
                own = of_who[chosen].to_numpy(np.float64)
                gain = (np.nan,) * 3
                if who != NETWORK:
                    random = values[control[who], metric][chosen].to_numpy(np.float64)
                    gain = _bounded(own - random, image_ids, weights)[:3]
                about = (measure, int(number), ends.min(), ends.max(), who, metric)
                rows.append((*about, *_bounded(own, image_ids, weights), *gain))
    columns = ["measure", "rung", "lowest", "highest", "who", "metric", "ours", "low", "high", "n"]
    return pd.DataFrame(rows, columns=[*columns, "gain", "gain_low", "gain_high"])


def fails_first(table: pd.DataFrame) -> pd.DataFrame:
    """On which rungs the network uses the finding and a method's map does not find it.

    The network uses it where the interval of the mean true effect lies above 0. The map finds it where the interval of
    the gain in average precision over random maps does.

    Args:
        table: from `climb`.

    Returns:
        measure, method, used (rungs on which the network uses the finding), found (those of them on which the map finds
        it) and fails (the others, as text; "none" without any).

    >>> about = {"measure": "size", "rung": [1, 2, 1, 2], "who": ["network", "network", "LRP", "LRP"]}
    >>> about["metric"] = ["effect", "effect", "average_precision", "average_precision"]
    >>> fails_first(pd.DataFrame({**about, "low": 0.1, "gain_low": [None, None, -0.1, 0.2]})).to_dict("records")
    [{'measure': 'size', 'method': 'LRP', 'used': 2, 'found': 1, 'fails': '1'}]
    """
    rows = []
    effects = table[(table["who"] == NETWORK) & (table["metric"] == "effect")]
    maps = table[(table["metric"] == "average_precision") & ~table["who"].str.startswith(RANDOM)]
    for (measure, who), of_method in maps.groupby(["measure", "who"], sort=False):
        used = effects[(effects["measure"] == measure) & (effects["low"] > 0)]["rung"].tolist()
        found = of_method[of_method["gain_low"] > 0]["rung"].tolist()
        fails = [str(rung) for rung in used if rung not in found]
        rows.append((measure, who, len(used), len(used) - len(fails), ", ".join(fails) or "none"))
    return pd.DataFrame(rows, columns=["measure", "method", "used", "found", "fails"])


def _bounded(values: np.ndarray, image_ids: pd.Series, weights: pd.DataFrame) -> tuple[float, float, float, int]:
    """Mean of the known values, its bounds, and their number."""
    known = ~np.isnan(values)
    if not known.any():
        return np.nan, np.nan, np.nan, 0
    samples = mean_samples(values[known], image_ids[known], weights)
    low, high = interval(samples, int(known.sum()))
    return float(samples[0]), float(low), float(high), int(known.sum())
