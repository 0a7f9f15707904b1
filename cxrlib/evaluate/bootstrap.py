"""Bootstrap over patients (Efron 1979): how far a score would change with other patients.

A resample is a row of weights: how often each study was drawn, together with all others of its patient. Row 0 is the
study set as it is, so that one call gives the score and its resamples. Two methods that are scored with the same
weights can be compared resample by resample.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

LEVEL = 0.95


FEWEST = 5
"""Cases below which a mean has no interval: resamples of fewer cases differ too little."""


AT_ONCE = 2**24
"""Weights that are copied in float64 at once, 128 MiB."""


ALL = "mean of findings"
"""Name of the row that is the mean over the findings with enough cases for an interval, or over all where none has."""


def study_weights(image_ids: Sequence, resamples: int, seed: int, patients: pd.Series | None = None) -> pd.DataFrame:
    """How often each study is drawn in every resample.

    Patients are drawn with replacement, as many as there are; a study is drawn as often as its patient.

    Args:
        image_ids: the studies.
        resamples: number of resamples.
        seed: same seed, same resamples.
        patients: patient of each study, by image_id. None: every study is a patient.

    Returns:
        float32 (1 + resamples) rows, one column per study; the first row is all ones, the study set as it is.

    >>> weights = study_weights(["a", "b", "c"], 2, seed=0, patients=pd.Series({"a": "P", "b": "P", "c": "Q"}))
    >>> weights.loc[0].tolist(), weights["a"].equals(weights["b"])
    ([1.0, 1.0, 1.0], True)
    >>> weights[["a", "c"]].sum(axis=1).tolist()  # two patients are drawn each time
    [2.0, 2.0, 2.0]
    """
    names = image_ids if patients is None else patients.loc[list(image_ids)]
    of_study, known = pd.factorize(np.asarray(names))
    random, count = np.random.default_rng(seed), len(known)
    weights = np.ones((1 + resamples, len(image_ids)), np.float32)
    for row in weights[1:]:
        row[:] = np.bincount(random.integers(count, size=count), minlength=count)[of_study]
    return pd.DataFrame(weights, columns=image_ids)


def interval(samples: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval (Efron 1979): the 2.5th and 97.5th percentile of the resamples.

    Where the score itself is NaN there is no interval: both bounds are NaN. With `counts` there is none either where
    fewer than FEWEST cases are behind the score, or where all resamples give the same value. Five findings that are
    all missed, for instance, have an IoU of 0 in every resample, although the next finding may be found.

    Args:
        samples: float64 (1 + resamples, ...), first the score itself; NaN where a resample holds no case.
        counts: cases behind each score, shaped like one score.

    Returns:
        Lower and upper bound, shaped like one score.

    >>> low, high = interval(np.array([50.0, *range(101)]))
    >>> print(f"{low:.1f} to {high:.1f}")
    2.5 to 97.5
    >>> interval(np.array([50.0, *range(101)]), counts=4)
    (array(nan), array(nan))
    """
    known = ~np.isnan(samples[0])
    drawn = np.where(known, samples[1:], 0.0)
    low, high = np.nanpercentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    if counts is not None:
        known = known & (np.asarray(counts) >= FEWEST) & (low < high)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def expanded(score: np.ndarray, bound: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """A bound of a percentile interval, as far from the score as few patients demand (Hesterberg 2015).

        score + k (bound - score),  k = t_(n-1, 97.5 %) / z_(97.5 %) * sqrt(n / (n - 1))

    Resamples of n patients spread less than means of n patients do. Of gains that are zero on average the percentile
    interval excludes zero in 16 % of all cases with five patients and in 11 % with ten, in place of 5 %.

    Args:
        score, bound: of one shape.
        patients: n, of that shape; below two there is no bound.

    >>> expanded(np.array([0.5, 0.5]), np.array([0.4, 0.4]), np.array([5, 1000])).round(3)
    array([0.342, 0.4  ])
    """
    from scipy import stats  # takes a second to import, and the browser does without it

    n = np.maximum(np.asarray(patients, np.float64), 2)
    level = (1 + LEVEL) / 2
    factor = stats.t.ppf(level, n - 1) / stats.norm.ppf(level) * np.sqrt(n / (n - 1))
    return np.where(np.asarray(patients) >= 2, score + factor * (bound - score), np.nan)


def patients_of(weights: pd.DataFrame) -> pd.Series:
    """A number for the patient of each study: studies of one patient are drawn together in every resample.

    Args:
        weights: from `study_weights`.

    Returns:
        Numbers from 0 on, by image_id.

    >>> patients_of(pd.DataFrame({"a": [1, 2, 0], "b": [1, 2, 0], "c": [1, 0, 2]})).tolist()
    [0, 0, 1]
    """
    numbers, _ = pd.factorize(np.array([column.tobytes() for column in weights.to_numpy().T], dtype=object))
    return pd.Series(numbers, weights.columns)


def in_words(scored: pd.Series, digits: int = 2) -> str:
    """A score and its interval for reading.

    Args:
        scored: ours, low and high; the bounds are NaN where there is no interval.
        digits: after the decimal point.

    >>> in_words(pd.Series({"ours": 0.741, "low": 0.678, "high": 0.79}))
    '0.74 (0.68 to 0.79)'
    >>> in_words(pd.Series({"ours": 0.741, "low": np.nan, "high": np.nan}))
    '0.74 (no interval)'
    >>> in_words(pd.Series({"ours": -0.2, "low": -0.3, "high": -0.001}))
    '−0.20 (−0.30 to 0.00)'
    """
    ours, low, high = (f"{scored[name]:z.{digits}f}".replace("-", "\N{MINUS SIGN}") for name in ("ours", "low", "high"))
    return f"{ours} ({'no interval' if np.isnan(scored['low']) else f'{low} to {high}'})"


def some_resamples(weights: np.ndarray | pd.DataFrame, columns: int) -> Iterator[np.ndarray | pd.DataFrame]:
    """The resamples in parts, so that a float64 copy of `columns` weights a row needs no more than AT_ONCE.

    A part has two rows or more, since NumPy adds a single row in another order.

    Args:
        weights: from `study_weights`, or their values.
        columns: weights of a row that are copied; one that is copied twice counts twice.

    >>> [len(part) for part in some_resamples(np.ones((1001, 3)), columns=100_000)]
    [166, 167, 167, 167, 167, 167]
    """
    parts = max(1, min(-(-len(weights) * columns // AT_ONCE), len(weights) // 2))
    ends = [len(weights) * part // parts for part in range(parts + 1)]
    for start, end in pairwise(ends):
        yield weights[start:end]


def mean_samples(values: np.ndarray, image_ids: Sequence, weights: pd.DataFrame) -> np.ndarray:
    """Mean over cases in every resample: sum_i w_i v_i / sum_i w_i, with the weight w_i of case i's study.

    Args:
        values: v, (cases, ...).
        image_ids: the study of each case; a study may have several cases or none.
        weights: from `study_weights`.

    Returns:
        float64 (1 + resamples, ...); NaN where no case was drawn.

    Raises:
        KeyError: a case's study is not among those of `weights`.

    >>> weights = pd.DataFrame({"a": [1, 2, 0], "b": [1, 0, 0], "c": [1, 1, 3]})
    >>> mean_samples([1.0, 3.0], ["a", "b"], weights).tolist()
    [2.0, 1.0, nan]
    """
    values, image_ids, means = np.asarray(values, np.float64), list(image_ids), []
    for some in some_resamples(weights, len(image_ids)):
        of_cases = some[image_ids].to_numpy(np.float64)
        total = of_cases.sum(axis=1).reshape(-1, *[1] * (values.ndim - 1))
        with np.errstate(invalid="ignore"):
            means.append(np.tensordot(of_cases, values, axes=1) / np.where(total > 0, total, np.nan))
    return np.concatenate(means)


def mean_samples_of_groups(
    values: np.ndarray, image_ids: Sequence, groups: np.ndarray, count: int, weights: pd.DataFrame
) -> np.ndarray:
    """`mean_samples` of many groups of cases at once: of each the mean over its cases in every resample.

    Args:
        values: (cases,).
        image_ids: the study of each case.
        groups: the number of each case's group, 0 to count - 1.
        count: of the groups; one without a case has no mean.
        weights: from `study_weights`.

    Returns:
        float64 (1 + resamples, count); NaN where no case was drawn.

    Raises:
        KeyError: a case's study is not among those of `weights`.

    >>> weights = pd.DataFrame({"a": [1, 2, 0], "b": [1, 0, 0]})
    >>> mean_samples_of_groups([1.0, 3.0, 5.0], ["a", "b", "b"], [0, 0, 1], 2, weights).tolist()
    [[2.0, 5.0], [1.0, nan], [nan, nan]]
    """
    from scipy import sparse  # imported late, as in `expanded`

    image_ids = pd.Index(image_ids)
    studies = image_ids.unique()
    at = (np.asarray(groups, int), studies.get_indexer(image_ids))
    sums, cases = (
        sparse.csr_array((np.asarray(numbers, np.float64), at), (count, len(studies)))
        for numbers in (values, np.ones(len(image_ids)))
    )
    means = []
    for some in some_resamples(weights, 2 * len(studies) + 2 * count):
        drawn = np.ascontiguousarray(some[studies].to_numpy(np.float64).T)
        total = cases @ drawn
        means.append((sums @ drawn / np.where(total > 0, total, np.nan)).T)
    return np.concatenate(means)


def mean_of_findings(samples: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, int]:
    """Mean over the same findings in every resample: those with FEWEST cases or more.

    Args:
        samples: (1 + resamples, findings), NaN where a resample holds no case of a finding.
        counts: cases of each finding.

    Returns:
        (1 + resamples,), NaN where one of these findings was not drawn; and the number of their cases. Where no finding
        has enough cases, the mean over those that have any, and 0 cases, so that there is no interval.

    >>> mean_of_findings(np.array([[0.8, 0.0], [0.6, np.nan]]), np.array([10, 1]))
    (array([0.8, 0.6]), 10)
    """
    enough = counts >= FEWEST
    if enough.any():
        return samples[:, enough].mean(axis=1), int(counts[enough].sum())
    some = samples[:, counts > 0]
    return (some.mean(axis=1) if some.size else np.full(len(samples), np.nan)), 0


def with_mean_of_findings(samples: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples and counts of several groups, with the `mean_of_findings` of each as one more finding.

    Args:
        samples: (1 + resamples, groups, findings).
        counts: (groups, findings).

    >>> samples, counts = with_mean_of_findings(np.array([[[0.8, 0.4]]]), np.array([[10, 5]]))
    >>> samples.round(1).tolist(), counts.tolist()
    ([[[0.8, 0.4, 0.6]]], [[10, 5, 15]])
    """
    means = [mean_of_findings(samples[:, group], cases) for group, cases in enumerate(counts)]
    overall = np.stack([mean for mean, _ in means], axis=1)
    total = np.array([[count] for _, count in means])
    return np.concatenate([samples, overall[..., None]], axis=2), np.hstack([counts, total])
