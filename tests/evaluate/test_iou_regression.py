"""Regression against least squares of repeated rows, and features by hand."""

import numpy as np
import pandas as pd
import pytest
from fixtures import annotation_rows, small_cohort
from peaks import peak_of

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.iou_regression import FEATURES, box_features, regress

COUNT = 40
RANDOM = np.random.default_rng(3)
X = pd.DataFrame(RANDOM.normal(size=(COUNT, 2)), columns=["size", "readers"])
GROUPS = np.array(["ILD", "Mass"])[RANDOM.integers(2, size=COUNT)]
Y = X["size"].to_numpy() + 0.1 * RANDOM.normal(size=COUNT) + 2 * (GROUPS == "Mass")
IDS = [f"study {row // 2}" for row in range(COUNT)]
WEIGHTS = study_weights(sorted(set(IDS)), 5, seed=1)


def plain(rows: np.ndarray, groups: bool) -> np.ndarray:
    """Coefficients of the rows, as often as they are listed."""
    intercepts = np.stack([GROUPS == "ILD", GROUPS == "Mass"], 1) if groups else np.ones((COUNT, 1))
    design = np.concatenate([X.to_numpy(), intercepts], axis=1)[rows]
    return np.linalg.lstsq(design, Y[rows], rcond=None)[0][:2]


@pytest.mark.parametrize("grouped", [False, True])
def test_a_resample_is_the_regression_of_its_rows(grouped):
    found, deviation, fit = regress(Y, X, GROUPS if grouped else None, IDS, WEIGHTS)
    for row, drawn in enumerate(WEIGHTS[IDS].to_numpy().astype(int)):
        np.testing.assert_allclose(found[row], plain(np.repeat(np.arange(COUNT), drawn), grouped), atol=1e-8)
    assert fit > 0.9 if grouped else fit < 0.6  # the classes differ by 2, which one intercept cannot know
    within = X.to_numpy() - X.groupby(GROUPS).transform("mean").to_numpy() if grouped else X - X.mean()
    np.testing.assert_allclose(deviation, np.asarray(within).std(axis=0), rtol=1e-9)


def test_a_feature_without_spread_and_too_few_cases_have_no_coefficient():
    found, _, _ = regress(Y, X.assign(readers=3.0), None, IDS, WEIGHTS)
    assert np.isfinite(found[:, 0]).all() and np.isnan(found[:, 1]).all()
    found, _, fit = regress(Y[:8], X[:8], None, IDS[:8], WEIGHTS)
    assert np.isnan(found).all() and np.isnan(fit)
    found, _, fit = regress(Y[:0], X[:0], GROUPS[:0], [], WEIGHTS)
    assert found.shape == (6, 2) and np.isnan(found).all() and np.isnan(fit)
    assert np.isnan(regress(0 * Y, X, None, IDS, WEIGHTS)[2])


def test_features_that_tell_the_same_have_no_coefficient():
    found, _, _ = regress(Y, X.assign(readers=2 * X["size"]), None, IDS, WEIGHTS)
    assert np.isnan(found).all()


def test_features_by_hand():
    """R1 drew 2 x 4 and 4 x 4 pixels, R2 the first again: 24 of 64 pixels, on average 5/3 as long as wide."""
    rows = annotation_rows(
        ("a", "ILD", "R1", 0, 0, 2, 4), ("a", "ILD", "R1", 4, 4, 8, 8), ("a", "ILD", "R2", 0, 0, 2, 4)
    )
    cases = pd.DataFrame({"image_id": ["a"], "class_name": ["ILD"], "probability": [0.75]})
    (row,) = box_features(small_cohort(["ILD"], rows, size=8), cases)[FEATURES].to_numpy().tolist()
    assert row == pytest.approx([37.5, 5 / 3, 1.5, 2, 0.75])


def test_resamples_are_fitted_one_after_the_other():
    x = pd.DataFrame({"size": RANDOM.normal(size=3000)})
    ids, y = [f"study {row}" for row in range(len(x))], x["size"].to_numpy()
    few, many = (study_weights(ids, resamples, seed=1) for resamples in (5, 40))
    peaks = [peak_of(regress, y, x, None, ids, weights) for weights in (few, many)]
    assert peaks[1] < 1.5 * peaks[0]
