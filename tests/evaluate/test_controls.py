"""Scores beside their controls."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.evaluate.bootstrap import ALL, study_weights
from cxrlib.evaluate.controls import CASE_COLUMNS, COLUMNS, KEYS, beside_controls

NAMES = [f"study {number}" for number in range(12)]
WEIGHTS = study_weights(NAMES, 400, seed=1)


def cases_of(name: str, scores, control, method="CAM", of="random"):
    about = {"class_name": name, "method": method, "measure": "energy", "control": of}
    names = NAMES[: len(scores)]
    return pd.DataFrame({"image_id": names, **about, "score": scores, "control_score": control})[CASE_COLUMNS]


def test_a_gain_is_in_pairs():
    spread = np.linspace(0, 1, 12)  # the scores differ much from case to case, the gain does not
    gains = 0.1 + 0.01 * np.cos(np.arange(12))
    table = beside_controls(cases_of("Mass", spread + gains, spread), ["Mass", "ILD"], WEIGHTS).set_index("class_name")
    mass = table.loc["Mass"]
    assert mass["ours"] == pytest.approx((spread + gains).mean()) and mass["control_score"] == pytest.approx(0.5)
    assert mass["gain"] == pytest.approx(gains.mean()) and mass["n"] == 12
    assert 0.09 < mass["gain_low"] < gains.mean() < mass["gain_high"] < 0.11
    assert mass["high"] - mass["low"] > 0.2
    assert table.loc["ILD", "n"] == 0 and np.isnan(table.loc["ILD", "ours"])
    assert table.loc[ALL, "gain"] == pytest.approx(gains.mean()) and table.loc[ALL, "n"] == 12


def test_few_cases_have_no_interval_and_a_missing_score_does_not_count():
    cases = cases_of("Mass", [0.5, 0.6, 0.7, 0.8, np.nan], [0.1, 0.2, 0.1, 0.2, 0.1])
    row = beside_controls(cases, ["Mass"], WEIGHTS).iloc[0]
    assert (
        row["n"] == 4 and row["gain"] == pytest.approx(0.5) and np.isnan(row[["low", "gain_low"]].to_numpy(float)).all()
    )


def test_findings_with_few_cases_each_have_no_interval_together():
    few = [cases_of(name, [0.5, 0.6, 0.9], [0.1, 0.2, 0.1]) for name in ("Mass", "ILD", "Cyst")]
    few[1]["image_id"], few[2]["image_id"] = NAMES[3:6], NAMES[6:9]
    row = beside_controls(pd.concat(few), ["Mass", "ILD", "Cyst"], WEIGHTS).set_index("class_name").loc[ALL]
    assert (row["n"], row["patients"]) == (0, 0) and np.isnan(row["gain_low"]) and row["gain"] > 0


def test_studies_of_one_patient_are_one_patient():
    patients = pd.Series([name if number > 5 else "one" for number, name in enumerate(NAMES)], NAMES)
    weights = study_weights(NAMES, 400, seed=1, patients=patients)
    scores = [0.9, -0.2, -0.2, -0.2, -0.2, -0.2]
    row = beside_controls(cases_of("Mass", scores, [0.0] * 6), ["Mass"], weights).iloc[0]
    assert (row["n"], row["patients"]) == (6, 1) and np.isnan(row["gain_low"])


def test_gains_of_few_patients_that_are_zero_on_average_seldom_exclude_zero():
    random, weights, excluded = np.random.default_rng(0), study_weights(NAMES[:6], 400, seed=0), []
    for _ in range(300):
        row = beside_controls(cases_of("Mass", random.normal(size=6), np.zeros(6)), ["Mass"], weights).iloc[0]
        excluded.append(row["gain_low"] > 0 or row["gain_high"] < 0)
    assert np.mean(excluded) < 0.1  # without the expansion about 0.15


def test_methods_and_controls_keep_their_order_and_no_case_gives_no_row():
    cases = pd.concat(
        [cases_of("Mass", [1.0] * 6, [0.0] * 6, *names) for names in (("b", "z"), ("a", "y"), ("a", "z"))]
    )
    table = beside_controls(cases, ["Mass"], WEIGHTS)
    assert table.drop_duplicates(KEYS)[["method", "control"]].to_numpy().tolist() == [
        ["b", "z"],
        ["a", "y"],
        ["a", "z"],
    ]
    empty = beside_controls(cases.iloc[:0], ["Mass"], WEIGHTS)
    assert list(empty) == [*KEYS, *COLUMNS] and empty.empty
