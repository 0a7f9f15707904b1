import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report

from cxrlib.classification import auroc_scores, confusion_matrices, f1_scores, roc_curves

NAMES = ["A", "B", "absent", "everywhere"]


@pytest.fixture(scope="module")
def tables():
    """60 studies; label "absent" has no positives, "everywhere" no negatives."""
    random = np.random.default_rng(0)
    labels = pd.DataFrame(random.integers(0, 2, (60, 4)), columns=NAMES)
    labels["absent"], labels["everywhere"] = 0, 1
    probabilities = pd.DataFrame(random.random((60, 4)).round(2), columns=NAMES)  # rounded: ties and exact thresholds
    return labels, probabilities


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_f1_equals_the_classification_report(tables, threshold):
    labels, probabilities = tables
    predicted = probabilities.to_numpy() >= threshold
    report = classification_report(labels.to_numpy(), predicted, target_names=NAMES, output_dict=True, zero_division=0)
    found = f1_scores(labels, probabilities, threshold)
    assert found.index.tolist() == [*NAMES, "micro avg"]
    for name in ("A", "B", "everywhere", "micro avg"):
        assert found.at[name, "f1"] == pytest.approx(report[name]["f1-score"])
        assert found.at[name, "n"] == report[name]["support"]
    assert np.isnan(found.at["absent", "f1"])
    assert found.at["absent", "n"] == 0


def test_f1_by_hand():
    labels = pd.DataFrame({"A": [1, 1, 0, 0], "B": [1, 0, 0, 0]})
    probabilities = pd.DataFrame({"A": [0.5, 0.4, 0.6, 0.1], "B": [0.4, 0.1, 0.1, 0.1]})
    found = f1_scores(labels, probabilities)["f1"]
    # A: 1 hit, 1 miss, 1 false alarm; B: 1 miss
    assert found.to_dict() == pytest.approx({"A": 2 / 4, "B": 0, "micro avg": 2 / (2 + 2 + 1)})
    matrices = confusion_matrices(labels, probabilities)
    assert matrices["A"].tolist() == [[1, 1], [1, 1]]
    assert matrices["B"].tolist() == [[3, 0], [1, 0]]
    assert confusion_matrices(labels * 0, probabilities * 0)["A"].tolist() == [[4, 0], [0, 0]]


def test_auroc_is_the_share_of_pairs_in_order(tables):
    labels, probabilities = tables
    found = auroc_scores(labels, probabilities)
    for name in ("A", "B"):
        positive, negative = (probabilities.loc[labels[name] == value, name].to_numpy() for value in (1, 0))
        pairs = np.sign(positive[:, None] - negative[None, :])
        assert found[name] == pytest.approx((pairs + 1).mean() / 2)
    assert found[["absent", "everywhere"]].isna().all()
    assert found["macro avg"] == pytest.approx(found[["A", "B"]].mean())


def test_roc_curves_enclose_the_auroc_and_skip_absent_labels(tables):
    labels, probabilities = tables
    curves = roc_curves(labels, probabilities)
    assert list(curves) == ["A", "B"]
    for name, (false_positives, true_positives) in curves.items():
        assert np.trapezoid(true_positives, false_positives) == pytest.approx(auroc_scores(labels, probabilities)[name])


def test_confusion_matrices_have_four_cells_even_for_absent_labels(tables):
    labels, probabilities = tables
    for name, matrix in confusion_matrices(labels, probabilities).items():
        true, predicted = labels[name].to_numpy(), (probabilities[name] >= 0.5).to_numpy().astype(int)
        assert matrix.tolist() == [[int(((true == t) & (predicted == p)).sum()) for p in (0, 1)] for t in (0, 1)]
