"""Every claim on made-up results that satisfy it, that violate it, and that have nothing to say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures import FINDINGS, SEVEN
from scipy.stats import norm

from cxrlib.thesis.case_tables import CaseTables, read_table
from cxrlib.thesis.claims import CHECKS, FAILS, HOLDS, OPEN, check, check_all, thesis_claims, verdict_of

AORTA, HEART, OPACITY, EFFUSION, THICKENING, FIBROSIS, HEALTHY = SEVEN
STUDIES = [f"study {number:04}" for number in range(4000)]
AREAS = dict(zip(SEVEN, [0.977, 0.977, 0.94, 0.96, 0.96, 0.94, 0.987], strict=True))
SHARES = [0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.2]
PEAKS = dict(zip(FINDINGS, [0.02, 0.05, 0.05, 0.08, 0.02, 0.05], strict=True))
REPLACED = [0.02, 0.05, 0.1, 0.2, 0.5]


def predictions() -> pd.DataFrame:
    """Scores whose ROC curve has a given area: two normal distributions, one for each outcome."""
    areas = {"3 labels": 0.995, "5 labels": 0.85, "all labels": 0.75}
    parts = []
    for experiment, labels in {"3 labels": 3, "5 labels": 5, "7 labels": 7, "all labels": 15}.items():
        for number in range(labels):
            label = SEVEN[number] if labels == 7 else f"label {number}"
            distance = np.sqrt(2) * norm.ppf(AREAS[label] if labels == 7 else areas[experiment])
            order = np.random.default_rng(number).permutation(len(STUDIES) // 2)
            scores = norm.ppf((order + 0.5) / len(order))
            values = np.concatenate([scores - distance / 2, scores[::-1] + distance / 2])
            truth = np.repeat([0, 1], len(order))
            columns = {"image_id": STUDIES, "label": label, "truth": truth, "probability": norm.cdf(values)}
            parts.append(pd.DataFrame(columns).assign(experiment=experiment))
    return pd.concat(parts, ignore_index=True)


def iou() -> pd.DataFrame:
    levels = dict(zip(FINDINGS, [0.3, 0.35, 0.2, 0.2, 0.1, 0.2], strict=True))
    rows = [
        (STUDIES[n], name, share, levels[name] * 0.8 ** abs(SHARES.index(share) - SHARES.index(PEAKS[name])) + n / 5000)
        for name in FINDINGS
        for share in SHARES
        for n in range(40)
    ]
    return pd.DataFrame(rows, columns=["image_id", "class_name", "share", "all_pairs"])


def own_fall(name: str, transform: str, share: float) -> float:
    """How far the class's own probability falls."""
    step = REPLACED.index(share) - 2
    if name == HEART:
        return (0.08 if transform == "mean" else 0.04) + 0.02 * (share == 0.2)
    if name == EFFUSION:
        return (0.5 if transform == "mean" else 0.35) + 0.05 * step
    levels = {
        AORTA: (0.1, 0),
        OPACITY: (0.15, 0),
        THICKENING: (0.1, -0.01),
        FIBROSIS: (0.3, -0.01),
        HEALTHY: (0.7, 0.08),
    }
    level, slope = levels[name]
    return level + slope * step


OTHER_FALLS = {
    AORTA: {EFFUSION: 0.03, FIBROSIS: 0.03, HEALTHY: -0.1},
    OPACITY: {AORTA: -0.05, HEART: -0.05},
    EFFUSION: {HEART: -0.2},
    HEALTHY: dict.fromkeys(FINDINGS, -0.1),
}


def drops() -> pd.DataFrame:
    rows = []
    for name in SEVEN:
        for transform in ("mean", "blur 11", "blur 21"):
            for share in REPLACED:
                falls = dict.fromkeys(SEVEN, 0.0) | OTHER_FALLS.get(name, {}) | {name: own_fall(name, transform, share)}
                about = {"heatmap_class": name, "transform": transform, "share": share}
                rows += [about | falls | {"image_id": STUDIES[n]} for n in range(10)]
    table = pd.DataFrame(rows)
    table[SEVEN] += np.random.default_rng(0).normal(0, 0.002, (len(table), 7))
    return table


@pytest.fixture(scope="module")
def results() -> CaseTables:
    few = STUDIES[:50]
    outside = [
        (image_id, name, noise, 0.01 if name in (AORTA, HEART) else noise / 2)
        for image_id in few
        for name in FINDINGS
        for noise in (0.1, 0.2)
    ]
    lungs = [0.35] * 40 + [0.1] * 10
    return CaseTables(
        predictions=predictions(),
        iou=iou(),
        smoothgrad=pd.DataFrame(outside, columns=["image_id", "class_name", "noise_level", "outside"]),
        no_finding=pd.DataFrame({"image_id": few, "left": lungs, "right": lungs, "x": 0.5, "y": 0.5}),
        false_positives=pd.DataFrame({"image_id": few, "hit": [1] * 30 + [0] * 20, "random_hit": [1] * 5 + [0] * 45}),
        drops=drops(),
        patients=pd.Series(STUDIES, STUDIES),
        union="areas",
        explained="7 labels",
        resamples=200,
        seed=0,
        rendered=False,
    )


def exchange(table: pd.DataFrame, column: str, first: object, second: object) -> pd.DataFrame:
    return table.assign(**{column: table[column].replace({first: second, second: first})})


def falls_less(results: CaseTables, name: str) -> CaseTables:
    """Replacing the pixels of a class's heatmap does the opposite."""
    table = results.drops.copy()
    table.loc[table["heatmap_class"] == name, SEVEN] *= -1
    return replace(results, drops=table)


def coarser_kernel(results: CaseTables) -> CaseTables:
    table = results.drops.copy()
    table.loc[table["transform"] == "blur 21", SEVEN] += 0.2
    return replace(results, drops=table)


def one_label_upside_down(results: CaseTables) -> CaseTables:
    table = results.predictions.copy()
    table.loc[table["label"] == OPACITY, "probability"] *= -1
    return replace(results, predictions=table.assign(probability=table["probability"] % 1))


VIOLATED = {
    "C1": lambda r: replace(r, predictions=exchange(r.predictions, "experiment", "3 labels", "all labels")),
    "C2": lambda r: replace(r, predictions=exchange(r.predictions, "label", HEALTHY, OPACITY)),
    "C3": one_label_upside_down,
    "C4": lambda r: replace(r, no_finding=r.no_finding.assign(left=[0.35] * 5 + [0.0] * 45)),
    "C5": lambda r: replace(r, iou=exchange(r.iou, "class_name", HEART, THICKENING)),
    "C6": lambda r: replace(r, iou=exchange(r.iou, "share", 0.02, 0.2)),
    "C7": lambda r: replace(r, smoothgrad=exchange(r.smoothgrad, "class_name", AORTA, OPACITY)),
    "C8": lambda r: replace(
        r, false_positives=r.false_positives.rename(columns={"hit": "random_hit", "random_hit": "hit"})
    ),
    "C9": lambda r: falls_less(r, AORTA),
    "C10": lambda r: falls_less(r, HEART),
    "C11": lambda r: falls_less(r, OPACITY),
    "C12": lambda r: falls_less(r, EFFUSION),
    "C13": lambda r: falls_less(r, FIBROSIS),
    "C14": lambda r: falls_less(r, HEALTHY),
    "C15": coarser_kernel,
}


@pytest.mark.parametrize("number", CHECKS)
def test_a_claim_holds_where_the_results_satisfy_it(results, number):
    found = check(number, results)
    assert found["verdict"] == HOLDS, found
    assert 0 < found["low"] <= found["margin"] <= found["high"]


@pytest.mark.parametrize("number", CHECKS)
def test_a_claim_fails_where_the_results_violate_it(results, number):
    found = check(number, VIOLATED[number](results))
    assert found["verdict"] == FAILS, found


def moved(heatmap, label, by, transform=None):
    """The fall of a label's probability under one class's heatmap becomes another."""

    def change(results):
        table = results.drops.copy()
        rows = table["heatmap_class"] == heatmap
        if transform:
            rows &= table["transform"] == transform
        table.loc[rows, label] += by
        return replace(results, drops=table)

    return change


def swapped(field, column, first, second):
    return lambda results: replace(results, **{field: exchange(getattr(results, field), column, first, second)})


ONE_PART = [
    ("C1", swapped("predictions", "experiment", "7 labels", "5 labels")),
    ("C2", swapped("predictions", "label", HEALTHY, HEART)),
    ("C2", swapped("predictions", "label", HEART, EFFUSION)),
    ("C2", swapped("predictions", "label", THICKENING, FIBROSIS)),
    ("C5", swapped("iou", "class_name", AORTA, OPACITY)),
    ("C5", swapped("iou", "class_name", FIBROSIS, THICKENING)),
    ("C7", swapped("smoothgrad", "noise_level", 0.1, 0.2)),
    ("C9", moved(AORTA, EFFUSION, -0.1)),
    ("C9", moved(AORTA, FIBROSIS, -0.1)),
    ("C9", moved(AORTA, HEALTHY, 0.3)),
    ("C9", moved(AORTA, HEART, 0.2)),
    ("C9", moved(AORTA, OPACITY, -0.2)),
    ("C9", moved(AORTA, THICKENING, 0.2)),
    ("C10", moved(HEART, HEART, 0.2, "blur 11")),
    ("C11", moved(OPACITY, AORTA, 0.2)),
    ("C11", moved(OPACITY, HEART, 0.2)),
    ("C12", moved(EFFUSION, EFFUSION, 0.25, "blur 11")),
    ("C12", moved(EFFUSION, HEART, 0.4)),
    ("C13", moved(THICKENING, THICKENING, 0.2)),
    ("C14", moved(HEALTHY, OPACITY, 0.3)),
]


@pytest.mark.parametrize(("number", "violate"), ONE_PART)
def test_one_false_part_is_enough(results, number, violate):
    assert check(number, violate(results))["verdict"] == FAILS


def test_the_corner_below_the_letter_counts(results):
    corner = results.no_finding.assign(left=0.1, right=0.1, x=[0.1] * 40 + [0.5] * 10, y=0.2)
    assert check("C4", replace(results, no_finding=corner))["verdict"] == HOLDS
    low = corner.assign(y=[0.2] * 5 + [0.5] * 45)
    assert check("C4", replace(results, no_finding=low))["verdict"] == FAILS
    lungs = [0.35] * 5 + [0.1] * 45
    without_peak = corner.assign(x=np.nan, y=np.nan, left=lungs, right=lungs)
    assert check("C4", replace(results, no_finding=without_peak))["verdict"] == FAILS


def test_patients_are_drawn_not_images(results):
    found = check("C3", replace(results, patients=pd.Series("p", STUDIES)))
    assert found["low"] == pytest.approx(found["margin"]) and found["high"] == pytest.approx(found["margin"])


def test_labels_of_a_few_studies_are_not_judged(results):
    table = results.predictions.copy()
    kept = table.loc[(table["label"] == OPACITY) & (table["truth"] == 1), "image_id"].unique()[:4]
    table.loc[(table["label"] == OPACITY) & ~table["image_id"].isin(kept), "truth"] = 0
    for number in ("C2", "C3"):
        found = check(number, replace(results, predictions=table))
        assert (found["verdict"], found["because"][:5]) == (OPEN, "n = 4")


MISSING = {
    "C1": lambda r: replace(r, predictions=r.predictions[r.predictions["experiment"] != "5 labels"]),
    "C2": lambda r: replace(r, predictions=r.predictions[r.predictions["label"] != FIBROSIS]),
    "C3": lambda r: replace(r, predictions=r.predictions.assign(truth=0)),
    "C4": lambda r: replace(r, no_finding=r.no_finding[:0]),
    "C5": lambda r: replace(r, iou=r.iou[r.iou["class_name"] != THICKENING]),
    "C6": lambda r: replace(r, iou=r.iou[r.iou["share"] != 0.08]),
    "C7": lambda r: replace(r, smoothgrad=r.smoothgrad[r.smoothgrad["noise_level"] != 0.2]),
    "C8": lambda r: replace(r, false_positives=r.false_positives[:4]),
    "C15": lambda r: replace(r, drops=r.drops[r.drops["transform"] != "blur 21"]),
}
for _number, _name in zip(range(9, 15), [AORTA, HEART, OPACITY, EFFUSION, THICKENING, HEALTHY], strict=True):
    MISSING[f"C{_number}"] = lambda r, name=_name: replace(r, drops=r.drops[r.drops["heatmap_class"] != name])


@pytest.mark.parametrize("number", CHECKS)
def test_a_claim_without_results_cannot_be_decided_and_says_why(results, number):
    found = check(number, MISSING[number](results))
    assert found["verdict"] == OPEN and len(found["because"]) > 20 and np.isnan(found["margin"])


def test_experiments_that_start_from_each_other_are_not_compared(results):
    found = check("C1", replace(results, warm_start_epochs=1))
    assert found["verdict"] == OPEN and "warm_start_epochs" in found["because"]


def test_the_verdict_depends_on_the_whole_interval():
    assert verdict_of(0.01, 0.2)[0] == HOLDS
    assert verdict_of(-0.2, -0.01)[0] == FAILS
    assert verdict_of(-0.01, 0.01)[0] == OPEN
    assert verdict_of(float("nan"), float("nan"))[0] == OPEN


def test_all_fifteen_claims_are_stated_and_checked_in_order(results):
    table = check_all(results)
    assert table["claim"].tolist() == list(CHECKS) == [f"C{number}" for number in range(1, 16)]
    assert thesis_claims()[["statement", "rule"]].map(len).min().min() > 20


def test_maps_that_are_all_alike_decide_nothing(results):
    alike = replace(results, no_finding=results.no_finding.assign(left=0.4, right=0.4)[:5])
    assert check("C4", alike)["verdict"] == OPEN and "all 5 maps are alike" in check("C4", alike)["because"]


def test_the_iou_of_claims_is_that_of_the_table(results):
    by_sum = results.iou.assign(all_pairs_sum=results.iou["all_pairs"] / (1 + results.iou["all_pairs"]))
    expected = by_sum[(by_sum["class_name"] == AORTA) & (by_sum["share"] == 0.02)]["all_pairs_sum"].mean()
    assert replace(results, iou=by_sum, union="sum").mean_iou(AORTA)[0.02][0] == pytest.approx(expected)


def test_names_in_tables_of_cases_are_text(tmp_path):
    (tmp_path / "tables").mkdir()
    text = "experiment,image_id,label,heatmap_class,truth\n010,007,NA,None,1\n1e5,NA,TRUE,nan,0\n"
    (tmp_path / "tables" / "predictions.csv").write_text(text)
    rows = read_table(tmp_path, "predictions").to_numpy().tolist()
    assert rows == [["010", "007", "NA", "None", 1], ["1e5", "NA", "TRUE", "nan", 0]]
