"""How often the classifier is right, label by label: F1, area under the ROC curve, curves and confusions."""

import numpy as np
import pandas as pd
from sklearn import metrics

from cxrlib.evaluate.bootstrap import some_resamples


def predictions(results: dict[str, tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    """Every prediction in one long table.

    Args:
        results: experiment -> labels (0/1) and probabilities, both image_id by class.

    Returns:
        Columns experiment, image_id, label, truth (0/1) and probability.

    >>> labels, probabilities = pd.DataFrame({"Mass": [1]}, ["a"]), pd.DataFrame({"Mass": [0.75]}, ["a"])
    >>> predictions({"7 labels": (labels, probabilities)}).to_dict("records")
    [{'experiment': '7 labels', 'image_id': 'a', 'label': 'Mass', 'truth': 1, 'probability': 0.75}]
    """
    parts = []
    for experiment, (labels, probabilities) in results.items():
        long = pd.DataFrame({"truth": labels.stack(), "probability": probabilities.stack()})
        parts.append(long.rename_axis(["image_id", "label"]).reset_index().assign(experiment=experiment))
    return pd.concat(parts, ignore_index=True)[["experiment", "image_id", "label", "truth", "probability"]]


def roc_curves(labels: pd.DataFrame, probabilities: pd.DataFrame) -> dict[str, tuple]:
    """False and true positive rates of each label that has both outcomes.

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.

    Returns:
        Label -> false and true positive rates, float64, from (0, 0) to (1, 1).

    >>> curves = roc_curves(pd.DataFrame({"A": [0, 1], "B": [1, 1]}), pd.DataFrame({"A": [0.2, 0.7], "B": [0.5, 0.5]}))
    >>> {name: [rates.tolist() for rates in curve] for name, curve in curves.items()}
    {'A': [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]}
    """
    return {
        name: metrics.roc_curve(labels[name], probabilities[name])[:2] for name in labels if labels[name].nunique() == 2
    }


def confusion_matrices(labels: pd.DataFrame, probabilities: pd.DataFrame, threshold: float = 0.5) -> dict:
    """Counts of each label's outcomes.

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        threshold: a label is predicted where its probability reaches this.

    Returns:
        Label -> int64 (2, 2): rows true no and yes, columns predicted no and yes.

    >>> confusion_matrices(pd.DataFrame({"A": [0, 1, 1]}), pd.DataFrame({"A": [0.9, 0.5, 0.2]}))["A"].tolist()
    [[0, 1], [1, 1]]
    """
    predicted = probabilities >= threshold
    return {name: metrics.confusion_matrix(labels[name], predicted[name], labels=[0, 1]) for name in labels}


def f1_samples(
    labels: pd.DataFrame, probabilities: pd.DataFrame, weights: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    """F1 of each label and, in the last column, the micro average, in every resample: `f1_of_counts` of a threshold.

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        weights: values of `study_weights`, (1 + resamples, studies).
        threshold: a label is predicted where its probability reaches this.

    Returns:
        float64 (1 + resamples, classes + 1); NaN for a label without positives.

    One of two positives is found, and one negative is taken for a positive: F1 = 2 * 1 / (2 + 2).

    >>> labels, probabilities = pd.DataFrame({"A": [1, 1, 0]}), pd.DataFrame({"A": [0.9, 0.2, 0.5]})
    >>> f1_samples(labels, probabilities, np.ones((1, 3))).tolist()
    [[0.5, 0.5]]
    """
    true, predicted = labels.to_numpy() > 0, probabilities.to_numpy() >= threshold
    return f1_of_counts(true & predicted, true, predicted, weights)


def f1_of_counts(hits: np.ndarray, positives: np.ndarray, guesses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of each label and, in the last column, the micro average, in every resample.

        F1 = 2 TP / (positives + guesses),  the micro average with the sums over all labels

    Args:
        hits: true positives TP of each study, (studies, classes).
        positives: all true ones, the same shape.
        guesses: all predicted ones, the same shape.
        weights: values of `study_weights`, (1 + resamples, studies).

    Returns:
        float64 (1 + resamples, classes + 1); NaN for a label without positives.

    Two labels, of which the second is guessed once and never there:

    >>> f1_of_counts([[1, 0]], [[1, 0]], [[1, 1]], np.ones((1, 1))).round(3).tolist()
    [[1.0, nan, 0.667]]
    """
    sums = [weights @ np.asarray(part, np.float32) for part in (hits, positives, guesses)]
    hits, positives, guesses = (np.column_stack([part, part.sum(axis=1)]).astype(np.float64) for part in sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(positives > 0, 2 * hits / (positives + guesses), np.nan)


def auroc_samples(labels: pd.DataFrame, probabilities: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each label in every resample, as the Mann-Whitney statistic.

        AUROC = (pairs with p_positive > p_negative + 1/2 pairs with equal p) / all pairs of a positive and a negative

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        weights: values of `study_weights`, (1 + resamples, studies).

    Returns:
        float64 (1 + resamples, classes); NaN where one outcome is absent.

    Of two pairs one is in order and one is tied:

    >>> auroc_samples(pd.DataFrame({"A": [0, 1, 1]}), pd.DataFrame({"A": [0.5, 0.5, 0.9]}), np.ones((1, 3))).tolist()
    [[0.75]]
    """
    return np.column_stack([_auroc(labels[name].to_numpy() > 0, probabilities[name], weights) for name in labels])


def _auroc(true: np.ndarray, probability: pd.Series, weights: np.ndarray) -> np.ndarray:
    values, group = np.unique(probability.to_numpy(), return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(values)))
    return np.concatenate([_auroc_of(true, order, starts, rows) for rows in some_resamples(weights, weights.shape[1])])


def _auroc_of(true: np.ndarray, order: np.ndarray, starts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of some resamples.

    Args:
        true: boolean (studies,).
        order: studies from the lowest to the highest probability.
        starts: where each probability begins in `order`.
        weights: (resamples, studies).
    """
    positive, negative = (
        np.add.reduceat((weights * part)[:, order].astype(np.float64), starts, axis=1) for part in (true, ~true)
    )
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (positive * below).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)
