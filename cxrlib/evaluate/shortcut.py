"""Which explanation method shows a planted shortcut, and how far the network relies on it.

A cue is planted into radiographs and tied to a label in training. The picture without the cue is its twin.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from cxrlib.evaluate.bootstrap import FEWEST, LEVEL, interval, mean_samples
from cxrlib.evaluate.classification import auroc_samples
from cxrlib.evaluate.pointing import energy_inside
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale

ON_CUE = ["peak", "energy"]
"""Scores of a heatmap on the cue."""


SHOWS, SOMETIMES, HIDES = "shows it", "shows it sometimes", "hides it"


NOTHING, NO_PLACE, UNKNOWN = "nothing to show", "cannot be shown by a place", "too few maps"


LEAST = 0.05
"""A network relies on a cue that raises the label's probability by more than this on average. A resampled interval may
lie above 0 by a thousandth, also where the cue was tied to nothing."""


MOST = 0.5
"""A method that shows a cue has its peak on it in more than this share of the maps."""


@dataclass(frozen=True)
class ShortcutModel:
    """A network that learned from pictures with a cue, and what it makes of the test pictures.

    Attributes:
        kind: of the cue.
        strength: how strongly it was tied to the label, 0..1.
        label: that it was tied to.
        cases: one row per test picture, by image_id: truth (0/1, of the label), healthy, tied (carries the cue as in
            training), with_cue and without (probability of the label).
        pictures: the test pictures with the cue, uint8 (n, 1, size, size), in the order of `cases`, in the frame of the
            network's input.
        cues: where each test picture changes by more than 1 of 255 grey levels, bool (n, size, size).
        maps: title of a method -> maps of pictures with the cue for which the network predicts the label; none where a
            cue has no place.
    """

    kind: str
    strength: float
    label: str
    cases: pd.DataFrame
    pictures: torch.Tensor
    cues: torch.Tensor
    maps: dict[str, Explanations]


def cue_tests(cases: pd.DataFrame, threshold: float, weights: pd.DataFrame) -> pd.DataFrame:
    """What the network does with the cue, without it, with it at the wrong pictures, and with it alone.

    Args:
        cases: as `ShortcutModel.cases`.
        threshold: the label is predicted where its probability reaches this.
        weights: resamples by image_id, from `study_weights`.

    Returns:
        test, metric, ours, low, high and n. The reliance is the mean of p with the cue - p without it. The AUROC is
        that of the cue as in training, removed, and swapped: on the other pictures only. The predicted share is that of
        healthy pictures without the cue, and with the cue alone.

    Here the network reads the cue and nothing else:

    >>> cases = pd.DataFrame({"truth": [1, 0], "healthy": [False, True], "tied": [True, False], "with_cue": 0.9})
    >>> cases = cases.assign(without=0.1).set_axis(["a", "b"])
    >>> tests = cue_tests(cases, 0.5, pd.DataFrame(1.0, range(3), ["a", "b"]))
    >>> tests.set_index("test")["ours"].round(2).to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'reliance': 0.8, 'as in training': 1.0, 'removed': 0.5, 'swapped': 0.0,
     'healthy without cue': 0.0, 'healthy, cue alone': 1.0}
    """
    drawn = weights[cases.index].to_numpy()
    swapped = cases["without"].where(cases["tied"], cases["with_cue"])
    probabilities = {
        "as in training": cases["with_cue"].where(cases["tied"], cases["without"]),
        "removed": cases["without"],
        "swapped": swapped,
    }
    rows = [("reliance", "p with - p without", *_difference(cases["with_cue"] - cases["without"], weights))]
    for test, p in probabilities.items():
        samples = auroc_samples(cases[["truth"]], p.to_frame("truth"), drawn)[:, 0]
        rows.append((test, "AUROC", *_bounds(samples, len(cases))))
    healthy = cases[cases["healthy"]]
    for test, column in (("healthy without cue", "without"), ("healthy, cue alone", "with_cue")):
        rows.append((test, "predicted share", *_scored(healthy[column] >= threshold, weights)))
    return pd.DataFrame(rows, columns=["test", "metric", "ours", "low", "high", "n"])


def touches(raw: torch.Tensor, mask: torch.Tensor) -> float:
    """1 where the strongest cell of a raw map covers a pixel of the mask, else 0; 0 for a map without a positive cell.

    A cue is smaller than a cell of a coarse map, whose centre may then lie beside it. Of equal cells the first counts.

    >>> mask = torch.zeros(4, 4, dtype=torch.bool)
    >>> mask[3, 3] = True
    >>> touches(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), mask), touches(torch.tensor([[0.0, 4.0], [2.0, 3.0]]), mask)
    (1.0, 0.0)
    """
    if raw.max() <= 0:
        return 0.0
    cells = functional.adaptive_max_pool2d(mask[None].float(), raw.shape)[0]
    return float(cells.flatten()[raw.argmax()])


def score_on_cue(maps: Explanations, label: str, cues: dict[str, torch.Tensor], seed: int) -> pd.DataFrame:
    """Peak and energy of a method's maps on the cue, and of random maps with as many cells.

    Args:
        maps: of pictures with the cue.
        label: whose maps.
        cues: image_id -> bool (size, size).
        seed: of the random maps.

    Returns:
        image_id, peak (1 where the strongest cell touches the cue), energy, random_peak, random_energy and area (the
        cue's share of the pixels).

    >>> raw = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    >>> maps = Explanations(pd.DataFrame({"ILD": [0.9]}, ["a"]), raw, 2, "")
    >>> cue = torch.tensor([[False, False], [False, True]])
    >>> score_on_cue(maps, "ILD", {"a": cue}, seed=0)[["peak", "energy", "area"]].to_dict("records")
    [{'peak': 1.0, 'energy': 0.75, 'area': 0.25}]
    """
    control, rows = maps.with_random_maps(seed), []
    for image_id in maps.probabilities.index:
        cue, scores = cues[image_id], []
        for one in (maps, control):
            raw = one.map(image_id, label)
            scores += [touches(raw, cue), energy_inside(upscale(raw, maps.input_size), cue)]
        rows.append((image_id, *scores, float(cue.float().mean())))
    return pd.DataFrame(rows, columns=["image_id", *ON_CUE, *(f"random_{name}" for name in ON_CUE), "area"])


def detection(scores: pd.DataFrame, weights: pd.DataFrame) -> dict[str, float]:
    """How often a method has its peak, and how much of its energy, on the cue, beside random maps in pairs.

    Args:
        scores: from `score_on_cue`.
        weights: resamples by image_id.

    Returns:
        peak, peak_low, peak_high, random_peak, peak_gain_low (lower bound of the mean difference to random maps), the
        same of energy, and n. Where all maps have their peak on the cue, or none has, the bounds of the rate are exact
        ones (Clopper and Pearson 1934): resamples of such maps are all the same.

    >>> scores = pd.DataFrame({"image_id": ["a", "b"], "peak": [1.0, 1.0], "energy": [0.5, 0.3], "random_peak": 0.0})
    >>> found = detection(scores.assign(random_energy=0.1), pd.DataFrame(1.0, range(3), ["a", "b"]))
    >>> found["peak"], found["energy"], found["random_energy"], found["n"]
    (1.0, 0.4, 0.1, 2)
    """
    found: dict[str, float] = {}
    for name in ON_CUE:
        own, random = (scores[column].set_axis(scores["image_id"]) for column in (name, f"random_{name}"))
        found[name], found[f"{name}_low"], found[f"{name}_high"], _ = _scored(own, weights)
        found[f"random_{name}"] = float(random.mean())
        found[f"{name}_gain_low"] = _difference(own - random, weights)[1]
    if len(scores) >= FEWEST and found["peak"] in (0, 1):
        found["peak_low"], found["peak_high"] = _all_or_none(found["peak"], len(scores))
    return found | {"n": len(scores)}


def verdict(found: dict[str, float], reliance_low: float) -> str:
    """Whether a method shows a cue, in words.

    Nothing is to show where the interval of the network's reliance does not lie above 0.05. Otherwise the method
    - shows the cue, where its peaks are on it more often than random maps' (lower bound of the difference above 0), and
      in more than half of the maps (lower bound of the rate above 0.5);
    - shows it sometimes, where the peaks or the energy are on it more than random maps', by the lower bound;
    - hides it, where neither is.

    Args:
        found: from `detection`.
        reliance_low: lower bound of the reliance.

    >>> seldom = {"n": 40, "peak_low": 0.2, "peak_gain_low": 0.1, "energy_gain_low": 0.0}
    >>> verdict(seldom, 0.3), verdict(seldom, -0.1)
    ('shows it sometimes', 'nothing to show')
    """
    if not reliance_low > LEAST:
        return NOTHING
    if found["n"] < FEWEST:
        return UNKNOWN
    if found["peak_gain_low"] > 0 and found["peak_low"] > MOST:
        return SHOWS
    return SOMETIMES if found["peak_gain_low"] > 0 or found["energy_gain_low"] > 0 else HIDES


def _scored(values: pd.Series, weights: pd.DataFrame) -> tuple[float, float, float, int]:
    """Mean of values by image_id, its bounds, and their number."""
    if not len(values):
        return np.nan, np.nan, np.nan, 0
    return _bounds(mean_samples(values.to_numpy(np.float64), values.index, weights), len(values))


def _difference(values: pd.Series, weights: pd.DataFrame) -> tuple[float, float, float, int]:
    """As `_scored`; differences that are all the same have their mean for both bounds."""
    if len(values) >= FEWEST and values.nunique() == 1:
        return *[float(values.iloc[0])] * 3, len(values)
    return _scored(values, weights)


def _bounds(samples: np.ndarray, count: int) -> tuple[float, float, float, int]:
    low, high = interval(samples, count)
    return float(samples[0]), float(low), float(high), count


def _all_or_none(rate: float, count: int) -> tuple[float, float]:
    """Exact bounds of a rate of 1 or 0 in `count` cases: 0.025^(1/n) and 1, or 0 and 1 - 0.025^(1/n).

    >>> [round(bound, 2) for bound in _all_or_none(1.0, 10)]
    [0.69, 1.0]
    """
    bound = ((1 - LEVEL) / 2) ** (1 / count)
    return (bound, 1.0) if rate else (0.0, 1 - bound)
