from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from sklearn.metrics import f1_score, roc_auc_score

from cxrlib.evaluate.transfer import Scored, best_share, compare, evaluate_model, shared_labels, with_labels
from cxrlib.explain.explanations import Explanations
from cxrlib.runtime.errors import Refusal
from cxrlib.show.figures.transfer_figures import transfer_plot

METRICS = ["AUROC", "F1", "IoU"]
RANDOM = np.random.default_rng(0)


def cohort(classes, explained, studies=4):
    ids = pd.Index([f"s{i}" for i in range(studies)], name="image_id")
    labels = pd.DataFrame(0, ids, classes).astype("uint8")
    labels.iloc[:, 0] = 1
    studies = pd.DataFrame({"split": "test", "patient_id": ids}, ids)
    annotations = annotation_rows(("s0", classes[0], "R", 1, 1, 9, 9))
    return small_cohort(explained, annotations, labels, studies, description="a data set")


def results_of(noise, n=200, classes=("A", "B")):
    labels = pd.DataFrame(RANDOM.integers(0, 2, (n, len(classes))), [f"s{i}" for i in range(n)], classes)
    probabilities = (labels * 0.4 + 0.3 + RANDOM.normal(0, noise, labels.shape)).clip(0, 1)
    rows = [
        (f"s{i}", name, share, (0.3 - noise / 4) * weight + RANDOM.normal(0, 0.02))
        for name in classes
        for i in range(40)
        for share, weight in ((0.05, 1.0), (0.1, 0.5))
    ]
    iou = pd.DataFrame(rows, columns=["image_id", "class_name", "share", "iou"])
    return Scored(labels, probabilities, iou, pd.Series(labels.index, labels.index))


def test_fewer_than_five_boxed_studies_have_no_interval():
    home, abroad = results_of(0.3), results_of(0.3)
    few = abroad.iou[abroad.iou["image_id"].isin(["s0", "s1"])]
    row = compare(home, replace(abroad, iou=few), 0.05, 200, 1).loc[("A", "IoU")]
    assert row["n_abroad"] == 2 and np.isfinite(row["abroad"]) and np.isfinite(row["home_low"])
    assert row[["abroad_low", "abroad_high", "drop_low", "drop_high"]].isna().all()


def test_patients_are_drawn_not_images():
    """All studies of one patient: every resample is the same, and nothing can be said about others."""
    home = results_of(0.3)
    one = replace(home, patients=pd.Series("p", home.labels.index))
    table = compare(home, one, 0.05, 100, 1)
    assert table[["home_low", "home_high", "abroad"]].notna().all(axis=None)
    assert table[["abroad_low", "abroad_high"]].isna().all(axis=None)


def test_only_labels_that_both_have_are_compared():
    home = cohort(["A", "B", "C", "No finding"], ["A", "B", "No finding"])
    abroad = cohort(["B", "D", "No finding"], ["D", "No finding"])
    home.labels["B"] = 1
    assert shared_labels(home, abroad) == ["B", "No finding"]
    seen = with_labels(abroad, ["B", "No finding"])
    assert seen.explained == ["B", "No finding"]
    assert seen.findings == ["B"]
    assert seen.of("test") == ["s0", "s1", "s2", "s3"]
    assert with_labels(abroad, ["No finding"]).of("test") == []
    with pytest.raises(Refusal, match="a data set: no test study has any of No finding"):
        shared_labels(home, replace(abroad, labels=abroad.labels[["D", "No finding"]]))
    with pytest.raises(Refusal, match="the model knows A, B, No finding; none of these is a label of a data set"):
        shared_labels(home, replace(abroad, labels=abroad.labels[["D"]]))


def test_scores_are_scikit_learns_and_intervals_hold_them():
    home, abroad = results_of(0.1), results_of(0.6)
    table = compare(home, abroad, 0.05, resamples=1000, seed=1)
    assert table.index.tolist() == [(label, metric) for label in "AB" for metric in METRICS]
    for place, result in {"home": home, "abroad": abroad}.items():
        for label in "AB":
            truth, guess = result.labels[label], result.probabilities[label]
            assert table.at[(label, "AUROC"), place] == pytest.approx(roc_auc_score(truth, guess))
            assert table.at[(label, "F1"), place] == pytest.approx(f1_score(truth, guess >= 0.5))
            iou = result.iou.query("class_name == @label and share == 0.05")["iou"]
            assert table.at[(label, "IoU"), place] == pytest.approx(iou.mean())
            # of a mean, the interval is known: 1.96 standard errors
            row = table.loc[(label, "IoU")]
            error = iou.std(ddof=0) / np.sqrt(len(iou))
            assert row[f"{place}_high"] - row[f"{place}_low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert (table["drop"] == table["home"] - table["abroad"]).all()
    assert (table["drop_low"] > 0).all()  # far worse abroad
    assert table.at[("A", "IoU"), "n_home"] == 40
    assert best_share(home) == 0.05


def test_a_data_set_against_itself_shows_no_drop():
    home = results_of(0.3)
    table = compare(home, home, 0.05, resamples=1000, seed=1)
    assert (table["drop"] == 0).all()
    assert (table["drop_low"] < 0).all() and (table["drop_high"] > 0).all()
    pd.testing.assert_frame_equal(table, compare(home, home, 0.05, resamples=1000, seed=1))


def test_what_cannot_be_scored_is_missing_and_still_drawn():
    home, abroad = results_of(0.3), results_of(0.3)
    abroad.labels["B"] = 0
    table = compare(
        home, replace(abroad, iou=abroad.iou[abroad.iou["class_name"] == "A"]), 0.05, resamples=1000, seed=1
    )
    assert table.loc["B", "abroad"].isna().all()
    assert table.loc["B", "n_abroad"].tolist() == [0, 0, 0]
    assert table.loc["A"].notna().all(axis=None)
    figure = transfer_plot(table, "here", "there")
    assert [ax.get_title() for ax in figure.axes] == METRICS


def test_a_model_is_scored_on_every_boxed_finding_by_hand():
    """One box of 8 x 8 pixels of 64; the heatmap's upper left quarter of 32 x 32 holds it."""
    tested = with_labels(cohort(["A", "No finding"], ["A", "No finding"]), ["A", "No finding"])
    image_ids = tested.of("test")
    probabilities = pd.DataFrame(0.3, image_ids, ["A", "No finding"])
    maps = torch.zeros(len(image_ids), 2, 2, 2)
    maps[:, :, 0, 0] = 1
    result = evaluate_model(tested, Explanations(probabilities, maps, 64, ""), [1 / 4096, 1.0])
    assert result.labels.equals(tested.labels.loc[image_ids])
    assert result.iou["image_id"].tolist() == ["s0", "s0"] and result.iou["class_name"].tolist() == ["A", "A"]
    # the first of the strongest pixels lies in the corner, outside the box; all lit pixels reach to 3/4 of the side
    assert result.iou["iou"].tolist() == pytest.approx([0, 64 / 48**2])
    assert best_share(result) == 1.0
    assert np.isnan(best_share(replace(result, iou=result.iou[:0])))
