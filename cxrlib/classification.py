"""How well the classifier does: scikit-learn's metrics, label by label, with absent labels named instead of scored."""

import pandas as pd
from sklearn import metrics


def f1_scores(labels: pd.DataFrame, probabilities: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
    """F1 of each label and the micro average (thesis, Table 3).

    Args:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        threshold: a label is predicted where its probability reaches this.

    Returns:
        Indexed by label and "micro avg": f1 (NaN for a label without positives) and n (positive studies).
    """
    predicted = probabilities >= threshold
    rows = {
        name: (
            metrics.f1_score(labels[name], predicted[name], zero_division=0) if labels[name].any() else float("nan"),
            int(labels[name].sum()),
        )
        for name in labels
    }
    micro = metrics.f1_score(labels.to_numpy(), predicted.to_numpy(), average="micro", zero_division=0)
    rows["micro avg"] = (micro, int(labels.to_numpy().sum()))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["f1", "n"]).rename_axis("label")


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


def auroc_scores(labels: pd.DataFrame, probabilities: pd.DataFrame) -> pd.Series:
    """Area under the ROC curve of each label and their mean "macro avg"; NaN where one outcome is absent."""
    scores = pd.Series(
        {
            name: metrics.roc_auc_score(labels[name], probabilities[name])
            if labels[name].nunique() == 2
            else float("nan")
            for name in labels
        }
    )
    scores["macro avg"] = scores.mean()
    return scores.rename("auroc").rename_axis("label")


def roc_curves(labels: pd.DataFrame, probabilities: pd.DataFrame) -> dict[str, tuple]:
    """False and true positive rates of each label that has both outcomes."""
    return {
        name: metrics.roc_curve(labels[name], probabilities[name])[:2] for name in labels if labels[name].nunique() == 2
    }


def confusion_matrices(labels: pd.DataFrame, probabilities: pd.DataFrame, threshold: float = 0.5) -> dict:
    """2x2 counts of each label: rows true no/yes, columns predicted no/yes."""
    predicted = probabilities >= threshold
    return {name: metrics.confusion_matrix(labels[name], predicted[name], labels=[0, 1]) for name in labels}
