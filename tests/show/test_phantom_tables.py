import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.phantom import AGAINST, BOXES, CAUSE, CORE, TwinCases
from cxrlib.show.figures.phantom_figures import effect_curves, not_needed_grid, truth_panels, twin_grid
from cxrlib.show.method_tables import ALL
from cxrlib.show.phantom_tables import effects_table, not_needed_table, phantom_table

STUDIES = [f"s{number}" for number in range(10)]
WEIGHTS = study_weights(STUDIES, 200, seed=0)
RANDOM = np.random.default_rng(1)


def truth(shift):
    cases = pd.DataFrame({"image_id": STUDIES * 2, "class_name": (["ILD"] * 5 + ["Mass"] * 5) * 2})
    values = np.linspace(0, 0.5, 20)[:, None] + np.zeros((20, 4)) + shift
    scores = cases.assign(against=[CAUSE] * 10 + [BOXES] * 10, **dict(zip(AGAINST, values.T, strict=True)))
    return pd.concat([scores, scores[:10].assign(against=CORE)])


@pytest.fixture
def effects():
    cases = pd.DataFrame({"image_id": STUDIES, "class_name": ["ILD"] * 5 + ["Mass"] * 5})
    return cases.assign(p_with=0.9, p_without=RANDOM.random(10)).assign(effect=lambda c: c["p_with"] - c["p_without"])


@pytest.fixture
def estimates(effects):
    """The mean doubles every effect; the twin shows half of it at the top 10 %, and all of it on the cause."""
    parts = [
        effects[["image_id", "class_name"]].assign(
            pixels=pixels, share=share, replacement=name, fall=factor * effects["effect"]
        )
        for pixels, share, name, factor in [
            ("top", 0.1, "mean", 2.0),
            ("top", 0.1, "twin", 0.5),
            ("cause", RANDOM.random(10), "mean", -1.0),
            ("cause", RANDOM.random(10), "twin", 1.0),
        ]
    ]
    return pd.concat(parts, ignore_index=True)


def test_methods_are_scored_against_the_cause_and_the_boxes_apart():
    scored, control = {"A": truth(0), "B": truth(0.25)}, {"A": "A", "B": "A"}
    table = phantom_table(scored, control, {"B": truth(-0.25)}, ["ILD", "Mass"], WEIGHTS)
    rows = table.set_index(["method", "metric", "against", "class_name"])["ours"].sort_index()
    expected = truth(0).groupby(["against", "class_name"])["iou"].mean()
    assert rows["A", "iou", "cause", "ILD"] == pytest.approx(expected["cause", "ILD"])
    assert rows["B", "hit", "boxes", ALL] == pytest.approx(expected["boxes"].mean() + 0.25)
    assert list(table)[:8] == ["method", "class_name", "metric", "against", "ours", "low", "high", "n"]
    gains = table[table["method"] == "B"][["over_random", "over_random_low", "over_random_high"]].dropna()
    np.testing.assert_allclose(gains["over_random"], 0.25)
    over_usual = table.set_index("method")["over_usual"]
    np.testing.assert_allclose(over_usual["B"].dropna(), 0.5)
    assert over_usual["A"].isna().all() and set(table["against"]) == {CAUSE, CORE, BOXES} and len(table.columns) == 14
    figure = truth_panels(table, ALL)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A", "B"]
    assert figure.legends[0].get_title().get_text().startswith("n = ")
    plt.close("all")


def test_estimates_are_held_against_the_true_effect(effects, estimates):
    table = effects_table(effects, estimates, ["ILD", "Mass"], WEIGHTS).set_index(
        ["class_name", "pixels", "replacement"]
    )
    ild = effects["effect"][:5].mean()
    true = table.loc[("ILD", "finding", "twin")]
    assert true["ours"] == pytest.approx(ild) and true[["bias", "rank_correlation"]].isna().all()
    assert table.loc[("ILD", "top", "mean"), ["ours", "bias"]].tolist() == pytest.approx([2 * ild, ild])
    assert table.loc[("ILD", "cause", "mean"), ["bias", "rank_correlation"]].tolist() == pytest.approx([-2 * ild, -1])
    assert table.loc[("Mass", "cause", "twin"), ["bias", "rank_correlation", "n"]].tolist() == pytest.approx([0, 1, 5])
    assert table.loc[("Mass", "top", "twin"), "share"] == 0.1 and np.isnan(
        table.loc[("Mass", "cause", "twin"), "share"]
    )
    assert np.isnan(table.loc[(ALL, "top", "twin"), "rank_correlation"])  # sizes of findings would make it high


def test_the_share_of_findings_that_are_not_needed_is_that_of_those_predicted():
    cases = pd.DataFrame({"image_id": STUDIES, "class_name": ["ILD"] * 6 + ["Mass"] * 4})
    p_without = [0.9, 0.89, 0.1, 0.1, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1]
    effects = cases.assign(p_with=[0.9] * 5 + [0.3] + [0.9] * 4, p_without=p_without)
    table = not_needed_table(effects, 0.7, ["ILD", "Mass"], WEIGHTS).set_index("class_name")
    assert table.loc["ILD", ["ours", "n"]].tolist() == pytest.approx([3 / 5, 5])
    assert table.loc["Mass", ["ours", "n"]].tolist() == [0, 4]
    assert table.loc["ILD", "low"] < 0.6 < table.loc["ILD", "high"]


def test_figures_show_what_there_is_and_say_what_there_is_not(effects, estimates):
    images = torch.randint(0, 256, (10, 1, 12, 12), dtype=torch.uint8)
    twins = TwinCases(effects[["image_id", "class_name"]], images, images // 2)
    figure = twin_grid(twins, [0, 7], [torch.rand(3, 3), torch.rand(3, 3)])
    assert [ax.get_title() for ax in figure.axes[:8:4]] == ["ILD", "Mass"]  # a colour bar follows
    panels = effect_curves(effects_table(effects, estimates, ["ILD", "Mass"], WEIGHTS))
    assert [ax.get_title() for ax in panels.axes[:3]] == ["ILD\nn = 5", "Mass\nn = 5", f"{ALL}\nn = 10"]
    assert not_needed_grid(twins, effects.iloc[[3]]).axes[0].get_title().startswith("with\nILD\np = 0.90")
    for empty in (twin_grid(twins, [], []), not_needed_grid(twins, effects[:0])):
        assert "n = 0" in empty.texts[0].get_text()
    plt.close("all")
