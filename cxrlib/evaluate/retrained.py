"""How far networks fall that learned without the pixels that a map calls important (Hooker et al. 2019)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.evaluate.bootstrap import interval, mean_of_findings
from cxrlib.evaluate.classification import auroc_samples, f1_samples
from cxrlib.evaluate.removal import CONTROLS, KEEP

WHOLE = "whole pictures"
"""Method of the networks that learned from the pictures as they are."""


METRICS = ["micro F1", "macro AUROC"]


@dataclass(frozen=True)
class Retrained:
    """What one of the networks says of the test studies.

    Attributes:
        method: title of the method whose maps chose the pixels, a control's name, or WHOLE.
        mode: of `cxrlib.evaluate.removal.taken_out`; empty for WHOLE.
        share: fraction of the pixels of the mask; 0 for WHOLE.
        seed: of the network.
        probabilities: image_id by class.
    """

    method: str
    mode: str
    share: float
    seed: int
    probabilities: pd.DataFrame


def metric_samples(labels: pd.DataFrame, probabilities: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """METRICS in every resample.

    The macro AUROC is the mean over the labels with at least five studies of either outcome.

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        weights: values of `study_weights`, (1 + resamples, studies).

    Returns:
        float64 (1 + resamples, 2).

    >>> labels, probabilities = pd.DataFrame({"A": [1, 1, 0]}), pd.DataFrame({"A": [0.9, 0.2, 0.5]})
    >>> metric_samples(labels, probabilities, np.ones((1, 3))).tolist()
    [[0.5, 0.5]]
    """
    f1 = f1_samples(labels, probabilities, weights)[:, -1]
    positives = labels.to_numpy().sum(0)
    aurocs = auroc_samples(labels, probabilities, weights)
    return np.column_stack([f1, mean_of_findings(aurocs, np.minimum(positives, len(labels) - positives))[0]])


def retrained_table(trained: list[Retrained], labels: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """What each removal costs, against removing as many pixels by each of CONTROLS, over all seeds.

        fall = mean over seeds of (score of the whole pictures - score without the pixels), both of one seed

    A higher score is better, whatever the mode. REMOVE: the fall, since important pixels are missed. KEEP: its
    negative, since important pixels suffice. MASK: the fall, since a mask should not tell the label by its shape.

    Args:
        trained: networks of WHOLE and of every method, mode and share, with the same seeds.
        labels: 0/1, image_id by class.
        weights: resamples by image_id, from `study_weights`.

    Returns:
        method, mode, share, metric, value (the metric itself), control, ours, low, high, control_score, gain, gain_low,
        gain_high, spread (standard deviation of `ours` over the seeds), n_seeds and n (studies); a row per control.
        Intervals are over patients. A control stands beside the others of CONTROLS. One seed has no spread.

    >>> labels = pd.DataFrame({"A": [1, 0]}, ["a", "b"])
    >>> whole = Retrained(WHOLE, "", 0.0, 1, pd.DataFrame({"A": [0.9, 0.1]}, ["a", "b"]))
    >>> without = Retrained("CAM", "remove", 0.5, 1, pd.DataFrame({"A": [0.1, 0.9]}, ["a", "b"]))
    >>> table = retrained_table([whole, without], labels, pd.DataFrame({"a": [1, 1], "b": [1, 1]}))
    >>> table[["metric", "value", "ours"]].to_numpy().tolist()
    [['micro F1', 0.0, 1.0], ['macro AUROC', 0.0, 1.0]]
    """
    samples: dict[tuple, dict[int, np.ndarray]] = {}
    drawn = weights[labels.index.tolist()].to_numpy()
    for one in trained:
        found = metric_samples(labels, one.probabilities.loc[labels.index], drawn)
        samples.setdefault((one.method, one.mode, one.share), {})[one.seed] = found
    whole, rows = samples.pop((WHOLE, "", 0.0)), []
    scores = {
        key: np.stack([(whole[seed] - found) * (-1 if key[1] == KEEP else 1) for seed, found in by_seed.items()])
        for key, by_seed in samples.items()
    }
    for (method, mode, share), score in scores.items():
        values = np.stack(list(samples[method, mode, share].values()))[:, 0].mean(0)
        beside = {
            name: scores[name, mode, share] for name in CONTROLS if name != method and (name, mode, share) in scores
        }
        for column, metric in enumerate(METRICS):
            row = {"method": method, "mode": mode, "share": share, "metric": metric, "value": values[column]}
            for control, other in beside.items() or [("", np.full_like(score, np.nan))]:
                pairs = _in_pairs(score[..., column], other[..., column], len(labels))
                rows.append(row | {"control": control} | pairs)
    return pd.DataFrame(rows)


def _in_pairs(own: np.ndarray, control: np.ndarray, n: int) -> dict[str, float]:
    """Mean over seeds (first axis) and interval over resamples of a score and of its gain."""
    (ours, beside), counts = (own.mean(0), control.mean(0)), np.array(n)
    (low, high), (gain_low, gain_high) = (interval(values, counts) for values in (ours, ours - beside))
    spread = own[:, 0].std(ddof=1) if len(own) > 1 else np.nan
    row = {"ours": ours[0], "low": float(low), "high": float(high), "control_score": beside[0]}
    row |= {"gain": ours[0] - beside[0], "gain_low": float(gain_low), "gain_high": float(gain_high)}
    return row | {"spread": spread, "n_seeds": len(own), "n": n}
