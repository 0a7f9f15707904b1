"""Scores of the classifier, label by label: F1, area under the ROC curve, ROC curves and confusion matrices."""

import numpy as np
import pandas as pd
from sklearn import metrics


def predictions(results: dict[str, tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    """Every prediction in one long table: experiment, image_id, label, truth (0/1), probability.

    >>> labels = pd.DataFrame({"ILD": [1, 0]}, ["a", "b"])
    >>> predictions({"one label": (labels, labels * 0.5)})
      experiment image_id label  truth  probability
    0  one label        a   ILD      1          0.5
    1  one label        b   ILD      0          0.0

    Args:
        results: experiment -> labels and probabilities, image_id by class.
    """
    parts = []
    for experiment, (labels, probabilities) in results.items():
        long = pd.DataFrame({"truth": labels.stack(), "probability": probabilities.stack()})
        parts.append(long.rename_axis(["image_id", "label"]).reset_index().assign(experiment=experiment))
    return pd.concat(parts, ignore_index=True)[["experiment", "image_id", "label", "truth", "probability"]]


def roc_curves(labels: pd.DataFrame, probabilities: pd.DataFrame) -> dict[str, tuple]:
    """False and true positive rates of each label that has positives and negatives, at every threshold.

    >>> truth = pd.DataFrame({"ILD": [0, 1], "Nodule": [0, 0]})
    >>> roc_curves(truth, truth.assign(ILD=[0.2, 0.7]))
    {'ILD': (array([0., 0., 1.]), array([0., 1., 1.]))}

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.

    Returns:
        Label -> (false positive rates, true positive rates), each from 0 to 1 and of the same length.
    """
    return {
        name: metrics.roc_curve(labels[name], probabilities[name])[:2] for name in labels if labels[name].nunique() == 2
    }


def confusion_matrices(labels: pd.DataFrame, probabilities: pd.DataFrame, threshold: float = 0.5) -> dict:
    """2x2 counts of studies of each label: rows true no/yes, columns predicted no/yes.

    >>> truth = pd.DataFrame({"ILD": [0, 0, 0, 1]})
    >>> confusion_matrices(truth, pd.DataFrame({"ILD": [0.1, 0.2, 0.9, 0.5]}))
    {'ILD': array([[2, 1],
           [0, 1]])}

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        threshold: a label is predicted where its probability reaches this.
    """
    predicted = probabilities >= threshold
    return {name: metrics.confusion_matrix(labels[name], predicted[name], labels=[0, 1]) for name in labels}


def f1_samples(
    labels: pd.DataFrame, probabilities: pd.DataFrame, weights: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    """F1 of each label and, in the last column, the micro average, in every resample.

    `F1 = 2 TP / (2 TP + FP + FN)`; the micro average adds up TP, FP and FN over the labels first (thesis, Table 3).

    >>> truth = pd.DataFrame({"ILD": [1, 1, 0], "Nodule": [0, 1, 0]})
    >>> probabilities = pd.DataFrame({"ILD": [0.9, 0.1, 0.8], "Nodule": [0.1, 0.6, 0.2]})
    >>> f1_samples(truth, probabilities, np.ones((1, 3)))  # 2*1 / (2*1 + 1 + 1), 2*1 / 2, 2*2 / (2*2 + 1 + 1)
    array([[0.5       , 1.        , 0.66666667]])

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        weights: values of `study_weights`, one column per study.
        threshold: a label is predicted where its probability reaches this.

    Returns:
        (1 + resamples, classes + 1); NaN for a label without positives.
    """
    true, predicted = labels.to_numpy() > 0, probabilities.to_numpy() >= threshold
    return f1_of_counts(true & predicted, true, predicted, weights)


def f1_of_counts(hits: np.ndarray, positives: np.ndarray, guesses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`f1_samples` from counts: `F1 = 2 hits / (positives + guesses)`.

    hits is TP, positives TP + FN, guesses TP + FP; each is summed over the studies with their weights.

    >>> f1_of_counts(np.array([[1]]), np.array([[2]]), np.array([[2]]), np.ones((1, 1)))  # 2*1 / (2 + 2)
    array([[0.5, 0.5]])

    Args:
        hits, positives, guesses: counts of each study, (studies, classes).
        weights: values of `study_weights`.

    Returns:
        (1 + resamples, classes + 1); NaN for a label without positives.
    """
    sums = [weights @ np.asarray(part, np.float32) for part in (hits, positives, guesses)]
    hits, positives, guesses = (np.column_stack([part, part.sum(axis=1)]).astype(np.float64) for part in sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(positives > 0, 2 * hits / (positives + guesses), np.nan)


def auroc_samples(labels: pd.DataFrame, probabilities: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each label in every resample, as the Mann-Whitney statistic.

    The area is the share of the pairs of a positive and a negative study in which the positive one has the higher
    probability; a pair of equal probabilities counts one half. A pair weighs as much as both its studies together,
    `w_i * w_j`.

    >>> truth = pd.DataFrame({"ILD": [0, 0, 1, 1]})
    >>> auroc_samples(truth, pd.DataFrame({"ILD": [0.1, 0.4, 0.4, 0.8]}), np.ones((1, 4)))  # (1 + 0.5 + 1 + 1) / 4
    array([[0.875]])

    Args:
        labels, probabilities, weights: as in `f1_samples`.

    Returns:
        (1 + resamples, classes); NaN where a resample lacks positives or negatives.
    """
    return np.column_stack([_auroc(labels[name].to_numpy() > 0, probabilities[name], weights) for name in labels])


def _auroc(true: np.ndarray, probability: pd.Series, weights: np.ndarray) -> np.ndarray:
    values, group = np.unique(probability.to_numpy(), return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(values)))
    positive, negative = (
        np.add.reduceat((weights * part)[:, order].astype(np.float64), starts, axis=1) for part in (true, ~true)
    )
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (positive * below).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)
