"""What the classifier said, label by label, and its curves and confusions; the scores are in `cxrlib.bootstrap`."""

import pandas as pd
from sklearn import metrics


def predictions(results: dict[str, tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    """Every prediction in one long table: experiment, image_id, label, truth (0/1), probability.

    Args:
        results: experiment -> labels and probabilities, image_id by class.
    """
    parts = []
    for experiment, (labels, probabilities) in results.items():
        long = pd.DataFrame({"truth": labels.stack(), "probability": probabilities.stack()})
        parts.append(long.rename_axis(["image_id", "label"]).reset_index().assign(experiment=experiment))
    return pd.concat(parts, ignore_index=True)[["experiment", "image_id", "label", "truth", "probability"]]


def roc_curves(labels: pd.DataFrame, probabilities: pd.DataFrame) -> dict[str, tuple]:
    """False and true positive rates of each label that has both outcomes."""
    return {
        name: metrics.roc_curve(labels[name], probabilities[name])[:2] for name in labels if labels[name].nunique() == 2
    }


def confusion_matrices(labels: pd.DataFrame, probabilities: pd.DataFrame, threshold: float = 0.5) -> dict:
    """2x2 counts of each label: rows true no/yes, columns predicted no/yes."""
    predicted = probabilities >= threshold
    return {name: metrics.confusion_matrix(labels[name], predicted[name], labels=[0, 1]) for name in labels}
