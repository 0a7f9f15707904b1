"""Tables beside the thesis: values by hand, intervals from the bootstrap, n = 0 where a class is absent."""

import numpy as np
import pandas as pd
import pytest
from fixtures import FINDINGS, SEVEN, small_cohort
from scipy.stats import bootstrap
from sklearn import metrics

from cxrlib.evaluate.bootstrap import in_words, interval, mean_samples, study_weights
from cxrlib.evaluate.localisation import SCORES
from cxrlib.evaluate.readers import AGREEMENT
from cxrlib.show.tables import (
    as_code,
    auroc_table,
    best_of_each_finding,
    best_sentences,
    best_shares,
    f1_table,
    iou_table,
    one_radiograph_table,
    own_drops,
    probe_table,
    protocol_table,
    reader_f1,
    reader_pairs,
    reader_table,
    scores_with_interval,
    source_table,
    split_counts,
    whose_miss,
)
from cxrlib.thesis.reported import thesis_iou

STUDIES = [f"s{number}" for number in range(40)]
SHARES = [0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.2]


@pytest.fixture
def weights():
    return study_weights(STUDIES, 200, seed=0)


def results(labels):
    random = np.random.default_rng(len(labels))
    truth = pd.DataFrame(random.integers(0, 2, (40, len(labels))), STUDIES, labels)
    return truth, (truth * 0.3 + random.random(truth.shape) * 0.7)


def cases(level=0.0, slope=1.0):
    """Every protocol scores level + share + slope x number of the study / 1,000; Cardiomegaly has five studies."""
    rows = [
        {"image_id": STUDIES[n], "class_name": "Cardiomegaly", "share": share, "predicted_boxes": 1, "true_boxes": 1}
        | dict.fromkeys(SCORES, level + share + slope * n / 1000)
        for n in (3, 4, 5, 6, 7)
        for share in SHARES
    ]
    return pd.DataFrame(rows)


def test_f1_stands_beside_the_thesis_with_its_interval(weights):
    found = {"3 labels": results(["Aortic enlargement", "Cardiomegaly", "No finding"]), "7 labels": results(SEVEN)}
    table = f1_table(found, weights)
    truth, probabilities = found["3 labels"]
    row = table.loc[("3 labels", "Cardiomegaly")]
    assert row["thesis"] == 0.85 and row["n"] == truth["Cardiomegaly"].sum()
    assert row["ours"] == pytest.approx(metrics.f1_score(truth["Cardiomegaly"], probabilities["Cardiomegaly"] >= 0.5))
    assert row["difference"] == pytest.approx(row["ours"] - 0.85)
    assert (table["low"] <= table["ours"]).all() and (table["ours"] <= table["high"]).all()
    assert table.loc[("7 labels", "micro avg"), "thesis"] == 0.81


def test_a_label_without_positives_has_n_0_and_no_score(weights):
    truth, probabilities = results(SEVEN)
    truth["Lung Opacity"] = 0
    f1 = f1_table({"7 labels": (truth, probabilities)}, weights).loc[("7 labels", "Lung Opacity")]
    auroc = auroc_table(truth, probabilities, weights).loc["Lung Opacity"]
    for row in (f1, auroc):
        assert row["n"] == 0 and row[["ours", "low", "high"]].isna().all()


def test_areas_are_scikit_learns_and_their_mean_leaves_out_what_is_absent(weights):
    truth, probabilities = results(SEVEN)
    truth["Lung Opacity"] = 0
    table = auroc_table(truth, probabilities, weights)
    known = [name for name in SEVEN if name != "Lung Opacity"]
    areas = [metrics.roc_auc_score(truth[name], probabilities[name]) for name in known]
    assert table.loc[known, "ours"].tolist() == pytest.approx(areas)
    assert table.at["macro avg", "ours"] == pytest.approx(np.mean(areas))


def test_iou_stands_between_thesis_and_chance_and_is_compared_in_pairs(weights):
    table = iou_table(cases(0.1, 1.01), cases(0.0), thesis_iou("table_06"), FINDINGS, weights, "areas")
    assert len(table) == len(SHARES) * len(FINDINGS)
    row = table.loc[(0.05, "Cardiomegaly")]
    assert row[["thesis", "n"]].tolist() == [0.237, 5]
    assert row["ours"] == pytest.approx(0.15505) and row["random_heatmap"] == pytest.approx(0.055)
    # the same studies on both sides: their gains differ by 0.00001, the scores by 0.001
    assert row[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx([0.10005] * 3, abs=2e-5)
    values = 0.15 + 1.01 * np.arange(3, 8) / 1000
    low, high = interval(mean_samples(values, [f"s{n}" for n in range(3, 8)], weights))
    assert row[["low", "high"]].tolist() == pytest.approx([float(low), float(high)])
    absent = table.loc[(0.05, "Lung Opacity")]
    assert absent["n"] == 0 and np.isnan(absent["ours"]) and absent["thesis"] == 0.15


def test_the_thesiss_own_union_is_a_column_of_its_own(weights):
    scores = cases().assign(all_pairs_sum=0.25)
    table = iou_table(scores, scores, thesis_iou("table_06"), FINDINGS, weights, "sum")
    assert table.loc[(0.2, "Cardiomegaly"), "ours"] == 0.25


def test_protocols_and_their_best_share(weights):
    scores = cases()
    scores.loc[scores["share"] == 0.03, "mask_iou"] = 0.9
    table = protocol_table(scores, FINDINGS, weights)
    assert len(table) == len(SCORES) * len(SHARES) * len(FINDINGS)
    best = best_shares(table).set_index(["protocol", "class_name"])
    assert len(best) == len(SCORES) * len(FINDINGS)
    assert best.loc[("mask_iou", "Cardiomegaly"), ["share", "ours"]].tolist() == [0.03, 0.9]
    assert best.loc[("all_pairs", "Cardiomegaly"), "share"] == 0.2
    assert best.loc[("hit", "Lung Opacity"), "n"] == 0


def test_each_finding_at_its_best_share_the_best_finding_first(weights):
    table = iou_table(cases(), cases(), thesis_iou("table_06"), FINDINGS, weights, "areas")
    table.loc[(0.03, "Cardiomegaly"), "ours"] = 0.9
    best = best_of_each_finding(table)
    known = table.dropna(subset="ours").index.unique("class_name")
    assert best["class_name"].tolist()[0] == "Cardiomegaly" and set(best["class_name"]) == set(known)
    assert best["share"][0] == 0.03 and best["ours"].is_monotonic_decreasing
    assert best_of_each_finding(table[:0]).empty


def test_a_sentence_says_whether_the_heatmap_points_at_the_finding():
    row = {"ours": 0.25, "low": 0.125, "high": 0.5, "random_heatmap": 0.0625, "n": 6}
    gains = {"A": (0.1, 0.2), "B": (-0.1, 0.2), "C": (-0.2, -0.1), "D": (np.nan, np.nan)}
    rows = {(0.05, name): row | {"gain_low": low, "gain_high": high} for name, (low, high) in gains.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["share", "class_name"])
    told = best_sentences(table, pd.Series({"A": 0.75}))
    scored = "0.250 (0.125 to 0.500) at top 5%, random 0.062"
    assert told[0] == f"A: points there; {scored}, two radiologists 0.750 (n = 6)"
    words = ["points there", "not certain", "points elsewhere", "too few cases to tell"]
    assert [line.split(": ")[1].split("; ")[0] for line in told] == words
    assert "radiologists" not in told[1]


def probed(weights, probe=0.4, usual=0.1, learned=7):
    """`probe_table` where the probe, the usual place and Grad-CAM score these, 0.3 and more for each larger share."""
    parts = cases(probe, 1.01), cases(usual), cases(0.3)
    return probe_table(*parts, pd.Series(learned, FINDINGS).rename_axis("class_name"), weights, "areas")


def test_the_probe_is_compared_in_pairs_with_the_best_of_the_others(weights):
    table = probed(weights)
    assert len(table) == len(SHARES) * len(FINDINGS)
    row = table.loc[(0.05, "Cardiomegaly")]
    assert row["ours"] == pytest.approx(0.45505) and row["n"] == 5 and row["learned_from"] == 7
    # Grad-CAM's best share is 0.2, where it scores 0.3 + 0.2; the same studies on both sides
    assert row[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx([-0.04995] * 3, abs=2e-5)
    assert row["usual_place"] == pytest.approx(0.305)
    assert row[["beyond", "beyond_low", "beyond_high"]].tolist() == pytest.approx([0.15005] * 3, abs=2e-5)
    absent = table.loc[(0.05, "Lung Opacity")]
    assert absent["n"] == 0 and np.isnan(absent[["ours", "gain", "beyond", "usual_place"]].astype(float)).all()
    sums = [one.assign(all_pairs_sum=0.25) for one in (cases(), cases(), cases())]
    learned = pd.Series(1, FINDINGS).rename_axis("class_name")
    assert probe_table(*sums, learned, weights, "sum").loc[(0.2, "Cardiomegaly"), "ours"] == 0.25


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ({"probe": 0.4, "usual": 0.1}, "a miss is rather the method's"),
        ({"probe": 0.4, "usual": 0.401}, "open, since the usual place alone may score as much"),
        ({"probe": 0.29, "usual": 0.1}, "a miss is rather the network's"),
        ({"probe": 0.0, "usual": 0.0, "learned": 0}, "no training study has a box, so there is nothing to learn from"),
    ],
)
def test_whose_a_miss_is(weights, scores, verdict):
    (line,) = whose_miss(probed(weights, **scores))
    assert line.startswith("Cardiomegaly: gain over Grad-CAM ") and line.endswith(f": {verdict}")


def test_too_few_findings_and_none_settle_nothing(weights):
    few = [one[one["image_id"] == STUDIES[3]] for one in (cases(0.4), cases(0.1), cases(0.3))]
    learned = pd.Series(7, FINDINGS).rename_axis("class_name")
    (line,) = whose_miss(probe_table(*few, learned, weights, "areas"))
    assert line.endswith("(no interval): nothing can be said")
    assert whose_miss(probe_table(*(one[:0] for one in few), learned, weights, "areas")) == []


def test_a_function_s_source_is_a_table_of_its_lines():
    lines = source_table(best_shares)["code"].tolist()
    assert lines[0].startswith("def best_shares(") and lines[-1].startswith("    return ")
    assert as_code(source_table(best_shares)).data.splitlines() == ["```python", *lines, "```"]


def test_no_case_at_all_gives_n_0_everywhere(weights):
    table = iou_table(cases()[:0], cases()[:0], thesis_iou("table_06"), FINDINGS, weights, "areas")
    assert (table["n"] == 0).all() and table["ours"].isna().all() and table["thesis"].notna().all()
    assert (protocol_table(cases()[:0], FINDINGS, weights)["n"] == 0).all()


def test_one_radiograph_stands_in_the_range_of_all():
    single = cases().query("image_id == 's5'")
    table = one_radiograph_table(single, cases(), thesis_iou("table_05"), "all_pairs")
    row = table.loc[(0.02, "Cardiomegaly")]
    assert row[["thesis", "n"]].tolist() == [0.089, 5]
    assert row["ours"] == pytest.approx(0.025) and row["difference"] == pytest.approx(0.025 - 0.089)
    assert row["range_low"] == pytest.approx(0.023 + 0.1 * 0.001)
    assert row["range_high"] == pytest.approx(0.027 - 0.1 * 0.001)


def test_split_counts_of_a_small_set_of_annotations():
    real = pd.DataFrame(0, [f"r{n}" for n in range(30)], SEVEN)
    real.iloc[:20, 0] = 1
    labels = pd.DataFrame(1, STUDIES[:4], SEVEN)
    studies = pd.DataFrame({"split": ["train", "train", "valid", "test"]}, STUDIES[:4])
    cohort = small_cohort(SEVEN, labels=labels, studies=studies)
    table = split_counts(real, cohort, 0.1, 0.1, study_weights(real.index, 200, seed=0))
    assert table.loc["Train", ["thesis", "real_annotations", "this_run"]].tolist() == [11_836, 16, 2]
    row = table.loc["Aortic enlargement"]
    assert row[["real_annotations", "difference", "this_run"]].tolist() == [20, 20 - 3067, 4]
    assert 13 <= row["low"] < 20 < row["high"] <= 26  # 20 of 30, standard error 2.6
    assert pd.isna(table.loc["Train", "low"]) and table.loc["Cardiomegaly", "high"] == 0


def test_readers_have_one_row_per_finding_and_protocol_and_one_per_pair(weights):
    rows = [("s1", "X", "R1", "R2", 0.2), ("s1", "X", "R1", "R3", 0.4), ("s2", "X", "R1", "R2", 0.9)]
    agreement = pd.DataFrame(
        [row[:4] + (row[4],) * len(AGREEMENT) for row in rows],
        columns=["image_id", "class_name", "first", "second", *AGREEMENT],
    )
    table = reader_table(agreement, weights)
    assert table["protocol"].tolist() == sorted(AGREEMENT)
    assert table["ours"].tolist() == pytest.approx([0.6] * len(AGREEMENT)) and (table["n"] == 2).all()
    pairs = reader_pairs(agreement, weights).set_index(["first", "second"])
    assert pairs.loc[("R1", "R2"), ["all_pairs", "n"]].tolist() == pytest.approx([0.55, 2])
    assert pairs[["low", "high"]].isna().all(axis=None)


def test_a_pair_of_readers_with_enough_images_has_an_interval():
    values = np.random.default_rng(0).random(40)
    agreement = pd.DataFrame({"image_id": [f"i{n}" for n in range(40)], "class_name": "X", "first": "R1"})
    agreement = agreement.assign(second="R2", **dict.fromkeys(AGREEMENT, values))
    pair = reader_pairs(agreement, study_weights(agreement["image_id"], 2000, 0)).iloc[0]
    found = bootstrap((values,), np.mean, method="percentile", random_state=0).confidence_interval
    assert (pair["low"], pair["high"]) == pytest.approx((found.low, found.high), abs=0.01)


def test_own_drops_are_the_heatmap_class_s_own():
    keys = [(f"i{n}", name, t, s) for n in range(8) for name in "AB" for t in ("mean", "blur 11") for s in (0.1, 0.5)]
    cases = pd.DataFrame(keys, columns=["image_id", "heatmap_class", "transform", "share"])
    cases[["A", "B"]] = np.random.default_rng(0).random((len(cases), 2))
    own = own_drops(cases, ["A", "B"], study_weights([f"i{n}" for n in range(8)], 200, 0))
    assert len(own) == 8 and (own["n"] == 8).all() and (own["low"] < own["ours"]).all()
    row = own.query("class_name == 'B' and transform == 'blur 11' and share == 0.5").iloc[0]
    chosen = cases.query("heatmap_class == 'B' and transform == 'blur 11' and share == 0.5")
    assert row["ours"] == pytest.approx(chosen["B"].mean())
    assert own_drops(cases[:0], ["A", "B"], study_weights(["i0"], 200, 0)).empty


def test_readers_f1_counts_all_readings(weights):
    counts = {"hits": [1, 2], "positives": [2, 3], "guesses": [1, 3]}
    outcomes = pd.concat({name: pd.DataFrame({"X": values}, ["s1", "s2"]) for name, values in counts.items()}, axis=1)
    row = reader_f1(outcomes, weights).loc["X"]
    assert row["ours"] == pytest.approx(2 * 3 / (5 + 4)) and row["n"] == 5


def test_too_few_or_equal_cases_have_no_interval():
    varied = np.column_stack([np.arange(1, 11.0)] * 2 + [np.zeros(10)])
    table = scores_with_interval(varied, ["many", "few", "alike"], [5, 4, 12])
    assert table["low"].notna().tolist() == table["high"].notna().tolist() == [True, False, False]
    assert table["ours"].tolist() == [1, 1, 0]
    assert in_words(table.loc["few"]) == "1.00 (no interval)"
    assert in_words(table.loc["many"], 1) == f"1.0 ({table.at['many', 'low']:.1f} to {table.at['many', 'high']:.1f})"
