"""The verdict reads the names that the notebooks before it write."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.evaluate.faithfulness import RANDOM_REGION
from cxrlib.evaluate.invariance import LIMIT
from cxrlib.evaluate.place_controls import RANDOM_MAP, USUAL_MAP
from cxrlib.evaluate.place_scores import PLACE_SCORES
from cxrlib.evaluate.sanity import OTHER_IMAGES
from cxrlib.evaluate.similarity import MEASURES
from cxrlib.evaluate.trusted_measures import UNFIT, fitness
from cxrlib.evaluate.verdict import GREEN, GREY, RED, verdict_table
from cxrlib.show.figures.phantom_figures import truth_ladder
from cxrlib.show.figures.verdict_figures import verdict_lights
from cxrlib.show.verdict_tables import (
    BESIDE,
    CHANCE,
    FAIR_AUROC,
    OTHERS,
    QUESTIONS,
    RULE,
    TABLES,
    USUAL,
    auroc_evidence,
    phantom_evidence,
    rule_table,
    verdict_evidence,
    with_ceilings,
)
from cxrlib.stages.sanity_checks import INVARIANCE, LABELS, PARAMETERS, SENSITIVITY


def test_the_rule_asks_for_what_the_notebooks_measure():
    assert (OTHERS, CHANCE, USUAL) == (OTHER_IMAGES, RANDOM_MAP, USUAL_MAP)
    asked = {(check.table, check.measure, check.control) for check in RULE}
    likeness = [
        f"{name} ({how}{', absolute' if form == 'absolute' else ''})"
        for name in ("seeds", PARAMETERS, LABELS)
        for how, form in MEASURES
    ]
    for table, measure, control in asked:
        known = {
            "auroc": measure == "AUROC",
            "localisation": measure in PLACE_SCORES and control == USUAL_MAP,
            "faithfulness": measure == "fall mean 10 %" and control == RANDOM_REGION,
            "stability": measure in (SENSITIVITY, *likeness) and control == OTHER_IMAGES,
            "sanity": (measure in likeness and control == OTHER_IMAGES)
            or (measure == INVARIANCE and control == f"rank correlation of {LIMIT}"),
            "phantom": measure == "average_precision" and control in (RANDOM_MAP, USUAL_MAP),
        }
        assert known[table], (table, measure, control)
    assert {check.table for check in RULE} == set(TABLES)
    assert (
        list(QUESTIONS)
        == list(dict.fromkeys(check.light for check in RULE))
        == rule_table(RULE)["light"].unique().tolist()
    )


@pytest.fixture
def tables():
    """Of notebooks 03 and 09: a finding that is told well and one that is not, and a method that finds the cause."""
    auroc = pd.DataFrame(
        {"label": ["Mass", "ILD"], "ours": [0.9, 0.6], "low": [0.8, 0.5], "high": [0.95, 0.65], "n": 20}
    )
    phantom = pd.DataFrame(
        {"method": "Grad-CAM", "class_name": "Mass", "metric": "average_precision", "against": ["cause", "boxes"]}
    )
    phantom = phantom.assign(
        ours=[0.4, 0.9], low=0.3, high=0.5, n=12, over_random=[0.3, 0.8], over_random_low=[0.1, 0.7]
    )
    phantom = phantom.assign(over_random_high=[0.5, 0.9], over_usual=0.2, over_usual_low=0.05, over_usual_high=0.3)
    return {"auroc": auroc, "phantom": phantom}


def test_scores_become_gains_over_what_is_asked(tables):
    area = auroc_evidence(tables["auroc"]).set_index("class_name")
    assert area.loc["Mass", ["control_score", "gain"]].tolist() == pytest.approx([FAIR_AUROC, 0.2])
    cause = phantom_evidence(tables["phantom"])
    assert cause["control"].tolist() == [CHANCE, USUAL]
    plain, wider = np.array([0.1, 0.05]), cause["gain"] - cause["gain_low"]
    assert (wider > cause["gain"] - plain).all() and (cause["gain_low"] > 0).all()
    assert cause["control_score"].tolist() == pytest.approx([0.1, 0.2])
    verdict = verdict_table(RULE, verdict_evidence(tables), ["Mass", "ILD"], ["Grad-CAM"]).set_index(
        ["class_name", "light"]
    )
    lights = verdict["verdict"]
    assert lights["Mass", "predicts"] == GREEN and lights["ILD", "predicts"] == RED
    assert lights["Mass", "true"] == GREEN and lights["ILD", "true"] == GREY
    assert set(lights[:, "points"]) == set(lights[:, "passes"]) == {GREY}
    assert verdict.loc[("ILD", "predicts"), "because"] == "the AUROC is below 0.7, the least that counts as acceptable"


def test_the_cause_must_be_found_better_than_its_usual_place(tables):
    beaten = tables["phantom"].assign(over_usual=-0.2, over_usual_low=-0.3, over_usual_high=-0.1)
    verdict = verdict_table(RULE, verdict_evidence(tables | {"phantom": beaten}), ["Mass"], ["Grad-CAM"])
    row = verdict.set_index("light").loc["true"]
    assert row["verdict"] == RED and row["because"] == "the average precision on the cause is below the usual heatmap's"
    older = tables["phantom"].drop(columns=["over_usual", "over_usual_low", "over_usual_high"])
    verdict = verdict_table(RULE, verdict_evidence({"phantom": older}), ["Mass"], ["Grad-CAM"])
    assert verdict.set_index("light").loc["true", "verdict"] == GREY


def test_cases_without_a_number_say_what_happened():
    cases = pd.DataFrame({"image_id": list("abc"), "class_name": "Mass", "method": "Grad-CAM", "score": np.nan})
    check = next(check for check in RULE if check.measure.startswith("parameters"))
    cases = cases.assign(measure=check.measure, control_score=0.2, because=["the map is constant"] * 2 + [np.nan])
    row = {"method": "Grad-CAM", "measure": check.measure, "control": check.control, "class_name": "Mass", "n": 0}
    row |= dict.fromkeys(["ours", "control_score", "gain", "gain_low", "gain_high"], np.nan)
    evidence = verdict_evidence({"sanity": pd.DataFrame([row]), "sanity_cases": cases})
    verdict = verdict_table(RULE, evidence, ["Mass"], ["Grad-CAM"]).set_index("light")
    said = verdict.loc["passes", "because"]
    assert "0 cases (findings that a reader boxed)" in said and "in 2 of 3 cases the map is constant" in said
    assert "in 1 of 3 cases a constant map, or no other one to compare" in said
    assert set(BESIDE) & set(TABLES) == set()


def test_a_place_is_read_beside_what_can_be_reached():
    about = {"class_name": ["Mass", "ILD", "Mass"], "light": ["points", "points", "true"], "because": "open"}
    verdict = pd.DataFrame({**about, "method": "Grad-CAM", "number": [0.1, np.nan, 0.1]})
    grid = pd.DataFrame(
        {
            "share": [0.1, 0.2] * 2,
            "class_name": ["Mass", "Mass", "ILD", "ILD"],
            "ours": [0.05, 0.1, 0.1, 0.1],
            "grid_ceiling": [0.2, 0.25, 0, 0],
        }
    )
    readers = pd.DataFrame({"protocol": ["all_pairs", "mask_iou"], "class_name": "Mass", "ours": [0.5, 0.9]})
    said = with_ceilings(verdict, grid, readers)["because"].tolist()
    both = "40 % of what its grid allows and 20 % of what two radiologists reach on all real studies"
    assert said == [f"open; on the findings of Table 6 its IoU is {both}", "open", "open"]
    assert with_ceilings(verdict, None, None).equals(verdict)


def test_the_figure_draws_every_light_once(tables):
    table = verdict_table(RULE, verdict_evidence(tables), ["Mass", "ILD"], [f"method {number}" for number in range(7)])
    figure = verdict_lights(table)
    drawn = sum(len(line.get_xdata()) for ax in figure.axes for line in ax.lines)
    assert drawn == len(table) == 2 * 7 * len(QUESTIONS) and len(figure.axes) == 2
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert len(legend) == 3
    unfit = table.assign(measure_on_truth=UNFIT)
    figure = verdict_lights(unfit)
    squares = [line for ax in figure.axes for line in ax.lines if line.get_marker() == "s"]
    assert sum(len(line.get_xdata()) for line in squares) == (table["verdict"] == GREY).sum()
    assert sum(len(line.get_xdata()) for ax in figure.axes for line in ax.lines) == len(table)
    assert len(figure.legends[0].texts) == 4
    assert "No finding was judged" in verdict_lights(table.iloc[:0]).texts[0].get_text()


def test_the_ladder_of_measures_draws_every_known_gain():
    rows = {"measure": ["energy", "energy", "hit"], "control": ["a", "b", "a"], "class_name": "all", "ours": 0.5}
    table = pd.DataFrame(
        {**rows, "control_score": 0.25, "gain": [0.25, 0.1, np.nan], "gain_low": 0.05, "gain_high": 0.4, "n": 9}
    )
    figure = truth_ladder(table, fitness(table, "all"), "all")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["energy inside"]
    assert "n = 0" in truth_ladder(table.iloc[2:], fitness(table, "all"), "all").texts[0].get_text()
