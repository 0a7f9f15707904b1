"""The verdict's rule on made-up results: all pass, each one fails, something is missing."""

import itertools

import numpy as np
import pandas as pd
import pytest

from cxrlib.evaluate.bootstrap import ALL
from cxrlib.evaluate.trusted_measures import FIT, UNFIT
from cxrlib.evaluate.trusted_measures import OPEN as OPEN_MEASURE
from cxrlib.evaluate.verdict import (
    COLUMNS,
    GREEN,
    GREY,
    KNOWN_CAUSE,
    NOT_TRIED,
    RED,
    Check,
    answers,
    cases_to_decide,
    colour_of,
    headline,
    limits,
    verdict_table,
)

RULE = [
    Check("predicts", "auroc", "AUROC", "chance", "AUROC", "chance"),
    Check(
        "points",
        "localisation",
        "energy",
        "usual place",
        "energy",
        "that of the usual place",
        "boxed findings",
        "ask for it",
        "energy",
        "usual map",
    ),
    Check("passes", "sanity", "weights", "other images", "change with the weights", "that of other images"),
    Check("passes", "sanity", "labels", "other images", "change with the labels", "that of other images"),
]
PASS, FAIL, OPEN = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3)


def results(**gains):
    """Tables in which every check of "Mass" by CAM has the interval PASS, but for those given by measure."""
    tables = {}
    for check in RULE:
        low, high = gains.get(check.measure, PASS)
        row = {"method": "CAM", "measure": check.measure, "control": check.control, "class_name": "Mass", "ours": 0.5}
        row |= {"control_score": 0.5 - (low + high) / 2, "gain": (low + high) / 2, "gain_low": low, "gain_high": high}
        tables.setdefault(check.table, []).append(row | {"n": 20})
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def lights(tables, rule=RULE, measures=None):
    table = verdict_table(rule, tables, ["Mass"], ["CAM"], measures)
    assert list(table) == COLUMNS
    return table.set_index("light")


def test_all_pass():
    found = lights(results())
    assert found["verdict"].to_dict() == {"predicts": GREEN, "points": GREEN, "passes": GREEN}
    row = found.loc["points"]
    assert row[["number", "control", "low", "high", "n"]].tolist() == pytest.approx([0.5, 0.3, 0.1, 0.3, 20])
    assert row["because"] == "energy is above that of the usual place"


@pytest.mark.parametrize("check", RULE, ids=lambda check: check.measure)
@pytest.mark.parametrize(("gain", "colour"), [(FAIL, RED), (OPEN, GREY)])
def test_one_check_that_fails_or_is_open_turns_its_own_light_only(check, gain, colour):
    found = lights(results(**{check.measure: gain}))
    assert found.loc[check.light, "verdict"] == colour
    assert set(found.drop(check.light)["verdict"]) == {GREEN}
    assert check.words in found.loc[check.light, "because"] and found.loc[check.light, "low"] == gain[0]


def test_a_red_check_is_not_hidden_by_a_grey_or_a_green_one():
    for first, second in itertools.permutations([PASS, FAIL, OPEN], 2):
        colour = RED if FAIL in (first, second) else GREY
        assert lights(results(weights=first, labels=second)).loc["passes", "verdict"] == colour
    weakest = lights(results(weights=(0.2, 0.3), labels=(0.1, 0.2))).loc["passes"]
    assert weakest["low"] == 0.1 and "labels" in weakest["because"]


def on_truth(random=PASS, usual=PASS, n=20):
    """What the true cause gains by "energy" over a random map and over a usual one, as notebook 09 stores it."""
    rows = [
        {"measure": "energy", "control": control, "class_name": ALL, "gain": sum(gain) / 2, "gain_low": gain[0], "n": n}
        for control, gain in (("random map", random), ("usual map", usual))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("gain", [PASS, FAIL, OPEN])
@pytest.mark.parametrize("measures", [None, on_truth(), on_truth(usual=OPEN), on_truth(usual=FAIL, n=3)])
def test_a_measure_that_is_fit_or_open_or_not_tried_changes_no_light(gain, measures):
    found, before = (lights(results(energy=gain), measures=one) for one in (measures, None))
    assert found.drop(columns="measure_on_truth").equals(before.drop(columns="measure_on_truth"))
    said = NOT_TRIED if measures is None else FIT if measures["gain_low"].min() > 0 else OPEN_MEASURE
    assert found["measure_on_truth"].to_dict() == dict.fromkeys(found.index, NOT_TRIED) | {"points": said}


@pytest.mark.parametrize(("random", "usual"), [(PASS, FAIL), (FAIL, PASS), (FAIL, FAIL)])
@pytest.mark.parametrize(("gain", "colour"), [(PASS, GREEN), (OPEN, GREY), (FAIL, RED)])
def test_an_unfit_measure_is_never_green_and_red_only_where_the_truth_would_not_be(gain, colour, random, usual):
    found = lights(results(energy=gain), measures=on_truth(random, usual))
    row, red = found.loc["points"], colour == RED and usual == PASS
    assert row["verdict"] == (RED if red else GREY) and row["measure_on_truth"] == UNFIT
    assert row["number"] == 0.5 and row["low"] == gain[0]  # the number is still told
    assert set(found.drop("points")["verdict"]) == {GREEN}
    above = " or the ".join(name for name, one in (("random map", random), ("usual map", usual)) if one == FAIL)
    said = "the known cause itself is above a usual map" if red else f"score the known cause above the {above}"
    assert said in row["because"] and "more case" not in row["because"]


def test_an_unfit_measure_says_nothing_where_there_is_no_interval_or_no_number():
    tables = results()
    few = tables | {"localisation": tables["localisation"].assign(gain_low=np.nan, gain_high=np.nan, n=3)}
    found = lights(few, measures=on_truth(usual=FAIL)).loc["points"]
    assert found["because"] == "energy: 3 cases (boxed findings); an interval needs 5"
    absent = lights({}, measures=on_truth(usual=FAIL)).loc["points"]
    assert absent["measure_on_truth"] == UNFIT and absent["because"] == "energy: not measured here (ask for it)"


def test_an_unfit_check_keeps_its_light_from_green_beside_one_that_passes():
    rule = [RULE[1], Check("points", "sanity", "labels", "other images", "change", "that of other images")]
    found = lights(results(), rule, on_truth(usual=FAIL)).loc["points"]
    assert found["verdict"] == GREY and found["measure_on_truth"] == UNFIT
    assert lights(results(labels=FAIL), rule, on_truth(usual=FAIL)).loc["points", "verdict"] == RED


def test_a_count_without_a_number_says_why():
    tables = results()
    about = {"n": 0, "gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "missing": "in 8 of 8 cases constant"}
    found = lights(tables | {"localisation": tables["localisation"].assign(**about)}).loc["points"]
    assert found["because"] == "energy: 0 cases (boxed findings); an interval needs 5; in 8 of 8 cases constant"


def test_what_is_missing_is_grey_with_its_reason():
    tables = results()
    without_table = {name: table for name, table in tables.items() if name != "localisation"}
    without_row = tables | {"localisation": tables["localisation"].assign(method="other")}
    for incomplete in (without_table, without_row):
        row = lights(incomplete).loc["points"]
        assert row["verdict"] == GREY and row["n"] == 0 and "not measured here" in row["because"]
        assert np.isnan(row[["number", "control", "low", "high"]].to_numpy(float)).all()
    few = lights(tables | {"localisation": tables["localisation"].assign(gain_low=np.nan, gain_high=np.nan, n=3)})
    assert few.loc["points", "because"] == "energy: 3 cases (boxed findings); an interval needs 5"
    none = {"gain": 0.0, "gain_low": np.nan, "gain_high": np.nan}
    same = lights(tables | {"localisation": tables["localisation"].assign(**none)})
    assert same.loc["points", "verdict"] == GREY and "no gain in any case" in same.loc["points", "because"]


@pytest.mark.parametrize(("gain", "n", "colour"), [(0.01, 20, GREEN), (-0.01, 20, RED), (0.01, 4, GREY)])
def test_a_gain_that_is_the_same_in_every_case_is_decided_by_its_sign(gain, n, colour):
    tables = results()
    same = tables["localisation"].assign(gain=gain, gain_low=np.nan, gain_high=np.nan, n=n)
    assert lights(tables | {"localisation": same}).loc["points", "verdict"] == colour


def test_many_studies_of_one_patient_decide_nothing():
    tables = results()
    one = tables["localisation"].assign(gain=0.3, gain_low=np.nan, gain_high=np.nan, n=9, patients=1)
    judged = lights(tables | {"localisation": one}).loc["points"]
    assert (
        judged["verdict"] == GREY and "9 cases (boxed findings) of 1 patient; an interval needs 5" in judged["because"]
    )


def test_a_light_of_the_known_cause_is_asked_only_where_one_is_known():
    table = verdict_table(RULE, results(), ["Mass"], ["CAM"])
    unknown = table.iloc[:1].assign(light=KNOWN_CAUSE, verdict=GREY, number=np.nan)
    both = pd.concat([table, unknown])
    assert headline(both, "CAM").startswith("CAM may be relied on for 1 of 1 findings (Mass)")
    assert answers(both, "CAM") == ["Mass: the map may be relied on; every light is green."]
    known = pd.concat([table, unknown.assign(number=0.2)])
    assert headline(known, "CAM").startswith("CAM may be relied on for 0 of 1 findings")


def test_a_light_that_no_map_can_turn_green_is_named():
    table = verdict_table(RULE, results(), ["Mass"], ["CAM"])
    assert limits(table) == []
    table.loc[table["light"] == "points", "measure_on_truth"] = UNFIT
    assert limits(table) == ["No map can be green for points here: its measure is unfit where the cause is known."]


def test_a_row_without_a_method_or_a_class_holds_for_all():
    tables = results()
    tables["auroc"]["method"] = None
    tables["sanity"]["class_name"] = np.nan
    table = verdict_table(RULE, tables, ["Mass", "ILD"], ["CAM", "LRP"]).set_index(["class_name", "method", "light"])
    assert table.loc[("Mass", "LRP", "predicts"), "verdict"] == GREEN
    assert table.loc[("ILD", "CAM", "passes"), "verdict"] == GREEN
    assert table.loc[("ILD", "CAM", "points"), "verdict"] == GREY and len(table) == 12


def test_touching_zero_decides_nothing():
    assert colour_of(0.0, 0.2) == colour_of(-0.2, 0.0) == colour_of(np.nan, np.nan) == GREY


def test_how_many_cases_would_decide():
    assert cases_to_decide(0.2, -0.2, 0.6, 25) == cases_to_decide(-0.2, -0.6, 0.2, 25) == 75
    assert cases_to_decide(0.2, 0.0, 0.4, 25) == 1  # zero is the bound itself
    assert cases_to_decide(0.0, -0.1, 0.1, 25) == np.inf and np.isnan(cases_to_decide(0.1, np.nan, np.nan, 3))
    open_ = lights(results(energy=(-0.2, 0.6))).loc["points"]
    assert open_["because"].endswith("about 60 more cases would decide it at this gain")
    assert "more than 10,000" in lights(results(energy=(-0.2, 0.2))).loc["points", "because"]


def test_as_many_cases_as_promised_decide_at_the_same_gain_and_spread():
    random = np.random.default_rng(0)
    gains = random.normal(0.1, 0.5, 40)
    half = 1.96 * gains.std() / np.sqrt(len(gains))
    more = cases_to_decide(gains.mean(), gains.mean() - half, gains.mean() + half, len(gains))
    assert gains.mean() - 1.96 * gains.std() / np.sqrt(len(gains) + more + 1) > 0
    assert gains.mean() - 1.96 * gains.std() / np.sqrt(len(gains) + more - 2) < 0


def test_answers_in_words():
    relied = verdict_table(RULE, results(), ["Mass"], ["CAM"])
    failed = verdict_table(RULE, results(energy=FAIL, AUROC=OPEN), ["Mass"], ["CAM"]).assign(class_name="ILD")
    opened = verdict_table(RULE, results(AUROC=OPEN), ["Mass"], ["CAM"]).assign(class_name="Nodule")
    table = pd.concat([relied, failed, opened])
    assert answers(table, "CAM") == [
        "Mass: the map may be relied on; every light is green.",
        "ILD: do not rely on the map (red: points).",
        "Nodule: nothing speaks against the map, but not decided: predicts.",
    ]
    expected = "CAM may be relied on for 1 of 3 findings (Mass), fails a check for 1, and is undecided for 1."
    assert headline(table, "CAM") == expected and answers(table, "LRP") == []
