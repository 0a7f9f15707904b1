import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report, roc_auc_score

from cxrlib.evaluate.classification import auroc_samples, confusion_matrices, f1_samples, roc_curves

NAMES = ["A", "B", "absent", "everywhere"]
ONCE = np.ones((1, 60))
"""Every study once: no resample."""


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
    found = dict(zip([*NAMES, "micro avg"], f1_samples(labels, probabilities, ONCE, threshold)[0], strict=True))
    for name in ("A", "B", "everywhere", "micro avg"):
        assert found[name] == pytest.approx(report[name]["f1-score"])
    assert np.isnan(found["absent"])


def test_f1_and_confusion_by_hand():
    labels = pd.DataFrame({"A": [1, 1, 0, 0], "B": [1, 0, 0, 0]})
    probabilities = pd.DataFrame({"A": [0.5, 0.4, 0.6, 0.1], "B": [0.4, 0.1, 0.1, 0.1]})
    # A: 1 hit, 1 miss, 1 false alarm; B: 1 miss
    assert f1_samples(labels, probabilities, np.ones((1, 4)))[0] == pytest.approx([2 / 4, 0, 2 / (2 + 2 + 1)])
    matrices = confusion_matrices(labels, probabilities)
    assert matrices["A"].tolist() == [[1, 1], [1, 1]]
    assert matrices["B"].tolist() == [[3, 0], [1, 0]]
    assert confusion_matrices(labels * 0, probabilities * 0)["A"].tolist() == [[4, 0], [0, 0]]


def test_auroc_is_the_share_of_pairs_in_order(tables):
    labels, probabilities = tables
    found = dict(zip(NAMES, auroc_samples(labels, probabilities, ONCE)[0], strict=True))
    for name in ("A", "B"):
        positive, negative = (probabilities.loc[labels[name] == value, name].to_numpy() for value in (1, 0))
        pairs = np.sign(positive[:, None] - negative[None, :])
        assert found[name] == pytest.approx((pairs + 1).mean() / 2)
    assert np.isnan([found["absent"], found["everywhere"]]).all()


def test_roc_curves_enclose_the_auroc_and_skip_absent_labels(tables):
    labels, probabilities = tables
    curves = roc_curves(labels, probabilities)
    assert list(curves) == ["A", "B"]
    for name, (false_positives, true_positives) in curves.items():
        area = roc_auc_score(labels[name], probabilities[name])
        assert np.trapezoid(true_positives, false_positives) == pytest.approx(area)


def test_confusion_matrices_have_four_cells_even_for_absent_labels(tables):
    labels, probabilities = tables
    for name, matrix in confusion_matrices(labels, probabilities).items():
        true, predicted = labels[name].to_numpy(), (probabilities[name] >= 0.5).to_numpy().astype(int)
        assert matrix.tolist() == [[int(((true == t) & (predicted == p)).sum()) for p in (0, 1)] for t in (0, 1)]
