"""Bootstrap over studies: against scikit-learn on really resampled studies, SciPy, and by hand."""

import numpy as np
import pandas as pd
import pytest
from peaks import peak_of
from scipy import stats
from sklearn import metrics

from cxrlib.evaluate.bootstrap import interval, mean_samples, study_weights
from cxrlib.evaluate.classification import auroc_samples, f1_samples


def scores(n=60, seed=0):
    random = np.random.default_rng(seed)
    labels = pd.DataFrame(random.integers(0, 2, (n, 3)), columns=list("abc"))
    probabilities = pd.DataFrame(random.random((n, 3)).round(1), columns=list("abc"))  # rounded: many ties
    return labels, probabilities


def resampled(frame, weights):
    """The frame with every study as often as its weight says."""
    return frame.loc[frame.index.repeat(weights.astype(int))]


def test_weights_draw_as_many_studies_as_there_are_and_begin_with_the_studies_themselves():
    studies = [f"study {number}" for number in range(20)]
    weights = study_weights(studies, 50, seed=1)
    assert weights.shape == (51, 20) and weights.columns.tolist() == studies
    assert (weights.loc[0] == 1).all()
    assert (weights.sum(axis=1) == 20).all()
    assert weights.equals(study_weights(studies, 50, seed=1))
    assert not weights.equals(study_weights(studies, 50, seed=2))
    assert not weights.loc[1].equals(weights.loc[2])


def test_patients_are_drawn_with_all_their_studies():
    patients = pd.Series(list("aabbbccd"), [f"study {number}" for number in range(8)])
    weights = study_weights(patients.index[::-1], 50, seed=1, patients=patients)
    for row in weights.itertuples(index=False):
        drawn = pd.Series(row, weights.columns).groupby(patients).agg(["nunique", "first"])
        assert (drawn["nunique"] == 1).all() and drawn["first"].sum() == 4
    alone = pd.Series(patients.index, patients.index)
    assert study_weights(patients.index, 9, 1, alone).equals(study_weights(patients.index, 9, 1))


def test_auroc_and_f1_of_each_resample_are_scikit_learns_on_the_resampled_studies():
    labels, probabilities = scores()
    weights = study_weights(labels.index, 10, seed=0).to_numpy()
    areas, f1 = auroc_samples(labels, probabilities, weights), f1_samples(labels, probabilities, weights)
    for row, drawn in enumerate(weights):
        true, guess = resampled(labels, drawn), resampled(probabilities, drawn)
        for column, name in enumerate(labels):
            assert areas[row, column] == pytest.approx(metrics.roc_auc_score(true[name], guess[name]))
            assert f1[row, column] == pytest.approx(metrics.f1_score(true[name], guess[name] >= 0.5))
        assert f1[row, -1] == pytest.approx(metrics.f1_score(true, guess >= 0.5, average="micro"))


def test_a_label_without_positives_has_no_score():
    labels, probabilities = scores()
    labels["b"] = 0
    weights = study_weights(labels.index, 5, seed=0).to_numpy()
    for samples in (auroc_samples(labels, probabilities, weights), f1_samples(labels, probabilities, weights)):
        assert np.isnan(samples[:, 1]).all() and not np.isnan(samples[:, 0]).any()
        low, high = interval(samples)
        assert np.isnan(low[1]) and np.isnan(high[1]) and low[0] < samples[0, 0] < high[0]


def test_means_keep_all_cases_of_a_drawn_study_together():
    values, studies = np.array([1.0, 3.0, 10.0]), np.array([0, 0, 1])
    weights = pd.DataFrame([[1, 1, 1], [2, 0, 1], [0, 1, 2], [0, 0, 3]])
    assert mean_samples(values, studies, weights)[:3].tolist() == [14 / 3, 2.0, 10.0]
    assert np.isnan(mean_samples(values, studies, weights)[3])
    with pytest.raises(KeyError):
        mean_samples(values, np.array([0, 1, 9]), weights)


def test_means_work_on_several_columns_at_once():
    values, studies = np.random.default_rng(0).random((30, 2, 4)), np.arange(30) % 7
    weights = study_weights(range(7), 3, seed=0)
    together = mean_samples(values, studies, weights)
    assert together.shape == (4, 2, 4)
    assert np.allclose(together[0], values.mean(axis=0))
    assert np.allclose(together[:, 1, 2], mean_samples(values[:, 1, 2], studies, weights))


def test_the_interval_of_a_mean_is_close_to_scipys_bootstrap():
    values = np.random.default_rng(3).exponential(size=300)
    low, high = interval(mean_samples(values, np.arange(300), study_weights(range(300), 4000, seed=0)))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.01) and high == pytest.approx(theirs.high, abs=0.01)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        values = random.normal(size=60)
        low, high = interval(mean_samples(values, np.arange(60), study_weights(range(60), 300, seed)))
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_resamples_in_parts_give_the_same_scores(monkeypatch):
    labels, probabilities = scores()
    weights = study_weights(labels.index, 40, seed=0)
    several = np.repeat(labels.index.to_numpy(), 2)  # two cases of each study
    values = np.random.default_rng(0).random((len(several), 3))

    def both() -> list[np.ndarray]:
        return [auroc_samples(labels, probabilities, weights.to_numpy()), mean_samples(values, several, weights)]

    whole = both()
    monkeypatch.setattr("cxrlib.evaluate.bootstrap.AT_ONCE", 600)
    for expected, found in zip(whole, both(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_memory_for_resamples_does_not_grow_with_the_studies(monkeypatch):
    """Beyond the weights, which the caller holds, a study costs its name and its place, not its 201 weights again."""
    monkeypatch.setattr("cxrlib.evaluate.bootstrap.AT_ONCE", 2**15)
    peaks = []
    for n in (1000, 8000):
        labels, probabilities = scores(n)
        weights = study_weights(labels.index, 200, seed=0)
        areas = peak_of(auroc_samples, labels[["a"]], probabilities[["a"]], weights.to_numpy())
        peaks.append([areas, peak_of(mean_samples, labels["a"].to_numpy(), labels.index, weights)])
    assert (np.diff(peaks, axis=0) / 7000 < 200).all(), peaks
