"""Bootstrap over patients (Efron 1979): how far a score would move if other patients had been drawn.

A resample is a row of weights: how often each study was drawn. All studies of a patient are drawn together. Row 0 has
weight 1 for every study, so one call gives the score itself and its resamples. Two methods that are scored with the
same weights can be compared resample by resample.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

LEVEL = 0.95
"""Share of the resamples that lie inside an interval."""


FEWEST = 5
"""Cases that a mean needs to have an interval. The resamples of fewer cases hardly differ."""


def study_weights(image_ids: Sequence, resamples: int, seed: int, patients: pd.Series | None = None) -> pd.DataFrame:
    """How often each study is drawn in each resample.

    A resample draws as many patients as there are, with replacement, and takes all studies of every drawn patient.

    >>> weights = study_weights(["a1", "a2", "b"], 2, seed=0, patients=pd.Series({"a1": "a", "a2": "a", "b": "b"}))
    >>> weights.to_numpy()  # the set itself; patient b twice; both patients once
    array([[1., 1., 1.],
           [0., 0., 2.],
           [1., 1., 1.]], dtype=float32)

    Args:
        image_ids: the studies.
        resamples: number of resamples.
        seed: seeds the draws.
        patients: patient of each study, by image_id. None: every study is a patient of its own.

    Returns:
        float32 (1 + resamples) rows, one column per study; the first row is all ones.
    """
    names = image_ids if patients is None else patients.loc[list(image_ids)]
    of_study, known = pd.factorize(np.asarray(names))
    random, count = np.random.default_rng(seed), len(known)
    weights = np.ones((1 + resamples, len(image_ids)), np.float32)
    for row in weights[1:]:
        row[:] = np.bincount(random.integers(count, size=count), minlength=count)[of_study]
    return pd.DataFrame(weights, columns=image_ids)


def interval(samples: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the resamples: their 2.5 % and 97.5 % quantiles.

    >>> samples = np.array([0.5, *np.linspace(0, 1, 101)])
    >>> low, high = interval(samples)
    >>> round(float(low), 3), round(float(high), 3)
    (0.025, 0.975)
    >>> interval(samples, counts=4)
    (array(nan), array(nan))

    Args:
        samples: (1 + resamples, ...), first the score itself; NaN where a resample holds no case.
        counts: number of cases behind each score. Where counts are given, a score of fewer than FEWEST cases has no
            interval, and neither has a score whose resamples are all equal. Equal cases, e.g. five zeros, give equal
            resamples; these do not show how far another draw of cases could lie.

    Returns:
        Lower and upper bound, shaped like one score; NaN where the score itself is NaN or there is no interval.
    """
    known = ~np.isnan(samples[0])
    drawn = np.where(known, samples[1:], 0.0)
    low, high = np.nanpercentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    if counts is not None:
        known = known & (np.asarray(counts) >= FEWEST) & (low < high)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def in_words(scored: pd.Series, digits: int = 2) -> str:
    """A score and its interval for reading.

    >>> in_words(pd.Series({"ours": 0.741, "low": 0.68, "high": 0.79}))
    '0.74 (0.68 to 0.79)'

    Args:
        scored: ours, low and high; low and high are NaN where there is no interval.
        digits: decimals.
    """
    bounds = f"{scored['low']:.{digits}f} to {scored['high']:.{digits}f}"
    return f"{scored['ours']:.{digits}f} ({'no interval' if np.isnan(scored['low']) else bounds})"


def mean_samples(values: np.ndarray, image_ids: Sequence, weights: pd.DataFrame) -> np.ndarray:
    """Weighted mean over cases in every resample r: `sum_i w_ri v_i / sum_i w_ri`, w the weight of the case's study.

    >>> weights = pd.DataFrame([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]], columns=["a", "b"])
    >>> mean_samples([0.1, 0.3, 0.8], ["a", "a", "b"], weights)
    array([0.4, 0.2, 0.8])

    Args:
        values: (cases, ...).
        image_ids: the study of each case; a study may have several cases or none.
        weights: from `study_weights`.

    Returns:
        (1 + resamples, ...); NaN where no case was drawn.

    Raises:
        KeyError: a case's study is not among those of `weights`.
    """
    values, of_cases = np.asarray(values, np.float64), weights[list(image_ids)].to_numpy(np.float64)
    total = of_cases.sum(axis=1).reshape(-1, *[1] * (values.ndim - 1))
    with np.errstate(invalid="ignore"):
        return np.tensordot(of_cases, values, axes=1) / np.where(total > 0, total, np.nan)
