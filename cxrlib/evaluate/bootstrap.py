"""Bootstrap over patients (Efron 1979): how far a score would move if others had been drawn.

A resample is a row of weights: how often each study was drawn, with all others of its patient. Row 0 is the study set
as it is, so that one call gives the score and its resamples; two methods scored with the same weights are compared in
pairs.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

LEVEL = 0.95


FEWEST = 5
"""Cases below which a mean has no interval: the resamples of so few hardly differ."""


def study_weights(image_ids: Sequence, resamples: int, seed: int, patients: pd.Series | None = None) -> pd.DataFrame:
    """How often each study is drawn.

    Args:
        image_ids: the studies.
        resamples, seed: how many draws, and what seeds them.
        patients: patient of each study, by image_id; they are drawn, as many as there are, with all their studies.
            None: every study is a patient.

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
    """Percentile interval (95 %) of the resamples.

    Args:
        samples: (1 + resamples, ...), first the score itself; NaN where a resample holds no case.
        counts: cases behind each score. Where they are given, there is no interval below FEWEST, nor where all
            resamples are alike, as those of zeros are: the bootstrap knows nothing of what it has never seen.

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
    """A score and its interval for reading, e.g. "0.74 (0.68 to 0.79)".

    Args:
        scored: ours, low and high; the bounds are NaN where there is no interval.
    """
    bounds = f"{scored['low']:.{digits}f} to {scored['high']:.{digits}f}"
    return f"{scored['ours']:.{digits}f} ({'no interval' if np.isnan(scored['low']) else bounds})"


def mean_samples(values: np.ndarray, image_ids: Sequence, weights: pd.DataFrame) -> np.ndarray:
    """Mean over cases in every resample.

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
