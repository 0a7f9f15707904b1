"""What networks lose by a removal, with made-up probabilities."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.removal import BLURRED, KEEP, RANDOM, REMOVE
from cxrlib.evaluate.retrained import METRICS, WHOLE, Retrained, metric_samples, retrained_table

IDS = [f"image{number:02}" for number in range(24)]
LABELS = pd.DataFrame({"A": [0, 1] * 12, "B": [0, 0, 1] * 8, "C": [1, 0, 0, 0, 0, 0] * 4}, IDS)
WEIGHTS = study_weights(IDS, 200, seed=0)


def guesses(noise, seed=0):
    random = np.random.default_rng(seed).random(LABELS.shape)
    return ((1 - noise) * LABELS + noise * random).astype("float32")


def networks(*about):
    """A network of each (method, mode, share, noise) for two seeds."""
    return [Retrained(*one, seed, guesses(noise, seed)) for *one, noise in about for seed in (1, 2)]


def row(table, **about):
    found = table
    for name, value in about.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_metrics_are_those_of_sklearn_and_a_rare_label_has_no_auroc():
    found = guesses(0.9)
    f1, auroc = metric_samples(LABELS, found, np.ones((1, len(IDS))))[0]
    assert f1 == pytest.approx(f1_score(LABELS, found >= 0.5, average="micro"))
    assert auroc == pytest.approx(roc_auc_score(LABELS[["A", "B"]], found[["A", "B"]]))  # of C there are four


def test_the_fall_is_the_mean_over_seeds_and_the_gain_stands_beside_each_control():
    whole, about = (WHOLE, "", 0.0, 0.7), {"mode": REMOVE, "share": 0.5, "metric": "micro F1"}
    trained = networks(whole, ("CAM", REMOVE, 0.5, 1.0), (RANDOM, REMOVE, 0.5, 0.8), (BLURRED, REMOVE, 0.5, 0.95))
    table = retrained_table(trained, LABELS, WEIGHTS)
    f1 = {
        noise: np.array([f1_score(LABELS, guesses(noise, seed) >= 0.5, average="micro") for seed in (1, 2)])
        for noise in (0.7, 0.8, 0.95, 1.0)
    }
    cam = row(table, method="CAM", control=RANDOM, **about)
    falls = f1[0.7] - f1[1.0]
    assert cam["ours"] == pytest.approx(falls.mean()) and cam["spread"] == pytest.approx(falls.std(ddof=1))
    assert cam["value"] == pytest.approx(f1[1.0].mean()) and (cam["n_seeds"], cam["n"]) == (2, 24)
    assert cam["gain"] == pytest.approx((f1[0.8] - f1[1.0]).mean())
    assert cam["gain_low"] < cam["gain"] < cam["gain_high"] and cam["low"] < cam["ours"] < cam["high"]
    blurred = row(table, method="CAM", control=BLURRED, **about)
    assert blurred["gain"] == pytest.approx((f1[0.95] - f1[1.0]).mean())
    assert row(table, method=BLURRED, control=RANDOM, **about)["gain"] == pytest.approx((f1[0.8] - f1[0.95]).mean())


def test_where_pixels_are_kept_the_smaller_fall_is_the_better_score():
    trained = networks((WHOLE, "", 0.0, 0.7), ("CAM", KEEP, 0.5, 0.8), (RANDOM, KEEP, 0.5, 1.0))
    table = retrained_table(trained, LABELS, WEIGHTS)
    for metric in METRICS:
        cam = row(table, method="CAM", metric=metric)
        assert cam["ours"] < 0 < cam["gain"]


def test_one_seed_has_no_spread_and_no_control_no_gain():
    trained = [Retrained(WHOLE, "", 0.0, 1, guesses(0.5)), Retrained("CAM", REMOVE, 0.5, 1, guesses(1.0))]
    table = retrained_table(trained, LABELS, WEIGHTS)
    assert table["spread"].isna().all() and table["gain"].isna().all() and (table["control"] == "").all()
    assert table["ours"].notna().all()
