"""Tables of notebook 12: what networks make of planted cues, and which methods show them."""

import pandas as pd

from cxrlib.data.render.shortcuts import WITHOUT_PLACE
from cxrlib.evaluate.shortcut import (
    LEAST,
    NO_PLACE,
    NOTHING,
    UNKNOWN,
    ShortcutModel,
    cue_tests,
    detection,
    score_on_cue,
    verdict,
)

ANY = "any method"
"""In place of a method's title where a network has no maps."""


RELIANCE = ["reliance", "reliance_low", "reliance_high"]


COLUMNS = [
    "method",
    "kind",
    "strength",
    *RELIANCE,
    "verdict",
    "shows",
    "low",
    "high",
    "random",
    "energy",
    "energy_low",
    "energy_high",
    "area",
    "n",
]


def cue_tests_table(models: list[ShortcutModel], threshold: float, weights: pd.DataFrame) -> pd.DataFrame:
    """`cue_tests` of every network: kind, strength, label, test, metric, ours, low, high, n."""
    columns = ["kind", "strength", "label", "test", "metric", "ours", "low", "high", "n"]
    parts = [
        cue_tests(model.cases, threshold, weights).assign(kind=model.kind, strength=model.strength, label=model.label)
        for model in models
    ]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def shortcut_table(models: list[ShortcutModel], weights: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Which method shows which cue, beside how far the network relies on it.

    Args:
        models: networks and maps.
        weights: resamples of the test studies, by image_id.
        seed: of the random maps.

    Returns:
        method, kind, strength, reliance with its interval, verdict, shows (share of maps with their peak on the cue)
        with low and high, random (the same of random maps with as many cells), energy (share on the cue) with its
        interval, area (share of the pixels that the cue covers) and n. A network without maps has one row: its cue has
        no place, or it predicts the label nowhere.
    """
    rows = []
    for model in models:
        reliance = cue_tests(model.cases, 0.5, weights).iloc[0][["ours", "low", "high"]].tolist()
        about = dict(zip(["kind", "strength", *RELIANCE], [model.kind, model.strength, *reliance], strict=True))
        if not model.maps:
            unshown = NO_PLACE if model.kind in WITHOUT_PLACE else UNKNOWN
            rows.append({"method": ANY, **about, "verdict": unshown if reliance[1] > LEAST else NOTHING, "n": 0})
        cues = dict(zip(model.cases.index, model.cues, strict=True))
        for title, maps in model.maps.items():
            scores = score_on_cue(maps, model.label, cues, seed)
            found = detection(scores, weights)
            rows.append(
                {
                    "method": title,
                    **about,
                    "verdict": verdict(found, reliance[1]),
                    "shows": found["peak"],
                    "low": found["peak_low"],
                    "high": found["peak_high"],
                    "random": found["random_peak"],
                    **{name: found[name] for name in ("energy", "energy_low", "energy_high", "n")},
                    "area": scores["area"].mean(),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """What each method does with each cue at the greatest strength: method by kind.

    Args:
        table: from `shortcut_table`.

    >>> table = pd.DataFrame({"method": "LRP", "kind": "marker", "strength": [0.5, 1.0], "verdict": ["no", "yes"]})
    >>> verdicts(table).to_dict()
    {'marker': {'LRP': 'yes'}}
    """
    full = table[table["strength"] == table["strength"].max()]
    return full.pivot(index="method", columns="kind", values="verdict").reindex(full["method"].unique())
