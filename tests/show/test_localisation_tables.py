"""Tables and figures of localisation beside controls and of what grids allow, also where there is nothing to tell."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from matplotlib import pyplot as plt

from cxrlib.data.annotations import union_labels
from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.froc import ALL_FINDINGS, RATES, froc_table
from cxrlib.evaluate.iou_regression import FEATURES
from cxrlib.evaluate.place_scores import place_cases
from cxrlib.explain.explanations import Explanations
from cxrlib.show.figures.iou_figures import between_chance_and_readers
from cxrlib.show.figures.localisation_figures import VINDR, coefficient_plot, control_panels, froc_curves
from cxrlib.show.localisation_tables import (
    ceiling_sentences,
    grid_ceiling_table,
    place_tables,
    regression_table,
    with_ceiling,
)

NAMES = [f"study {number}" for number in range(12)]
WEIGHTS = study_weights(NAMES, 200, seed=1)
KEY = ["share", "class_name"]


def case_scores(name: str, share: float, values) -> pd.DataFrame:
    return pd.DataFrame({"image_id": NAMES[: len(values)], "class_name": name, "share": share, "all_pairs": values})


def test_table_6_beside_what_the_grid_allows():
    """The oracle's best share is 0.2, where it has 0.5 on average: 0.2 at 0.1 is two fifths of that."""
    ours = pd.concat([case_scores("Mass", 0.1, [0.1, 0.3] * 3), case_scores("Mass", 0.2, [0.5] * 6)])
    most = pd.concat([case_scores("Mass", 0.1, [0.2] * 6), case_scores("Mass", 0.2, [0.4, 0.6] * 3)])
    index = pd.MultiIndex.from_product([[0.1, 0.2], ["Mass", "ILD"]], names=KEY)
    table = with_ceiling(pd.DataFrame({"ours": 0.0}, index), ours, most, WEIGHTS, "areas")
    row = table.loc[(0.1, "Mass")]
    assert row["grid_ceiling"] == pytest.approx(0.5) and row["of_ceiling"] == pytest.approx(0.4)
    assert row["of_ceiling_low"] < 0.4 < row["of_ceiling_high"]
    assert table.loc[(0.2, "Mass"), "of_ceiling"] == pytest.approx(1.0)
    assert table.loc[(0.1, "ILD")].iloc[1:].isna().all()
    assert with_ceiling(table[["ours"]], ours[:0], most[:0], WEIGHTS, "areas")["grid_ceiling"].isna().all()


def test_the_thesis_as_a_fraction_of_its_grid():
    parts = [case_scores("Mass", share, [most] * 3 + [most + 0.1] * 3) for share, most in ((0.1, 0.35), (0.2, 0.2))]
    allowed = pd.concat([part.assign(grid=grid) for part in parts for grid in (7, 14)])
    table = grid_ceiling_table(allowed, pd.DataFrame({"Mass": [0.1, 0.02]}, [0.05, 0.1]), WEIGHTS, "areas")
    seven, fourteen = (table.set_index("grid").loc[grid] for grid in (7, 14))
    assert (seven["share"], seven["n"]) == (0.1, 6) and seven["ours"] == pytest.approx(0.4)
    assert seven["thesis_of_ceiling"] == pytest.approx(0.25) and np.isnan(fourteen["thesis"])
    assert ceiling_sentences(table) == [
        "Mass: 7 x 7 cells allow 0.40, 14 x 14 cells allow 0.40; the thesis's 0.100 is 25% of what its grid allows"
    ]
    readers = pd.DataFrame(
        {"class_name": ["Mass"], "protocol": "all_pairs", "ours": 0.7, "low": 0.6, "high": 0.8, "n": 9}
    )
    index = pd.MultiIndex.from_tuples([(0.1, "Mass")], names=KEY)
    ours = pd.DataFrame({"ours": [0.2], "low": 0.1, "high": 0.3, "n": 9, "random_heatmap": 0.1}, index)
    probe = ours.assign(usual_place=0.2, learned_from=3)
    thesis = pd.DataFrame({"Mass": [0.1]}, [0.1])
    drawn = ours.assign(grid_ceiling=0.5)
    (ax,) = between_chance_and_readers(drawn, probe, thesis, readers, "all_pairs", table).axes
    lines = {line.get_label(): line.get_xdata().tolist() for line in ax.lines}
    assert lines["perfect map in this run's cells"] == [0.5]
    assert lines["perfect map of 7 x 7 cells, real studies"] == pytest.approx([0.4])


def test_a_regression_in_both_units():
    random = np.random.default_rng(0)
    features = pd.DataFrame(random.normal(size=(48, 5)) * [10, 1, 1, 1, 1], columns=FEATURES)
    features = features.assign(image_id=np.repeat(NAMES, 4), class_name=["Mass", "ILD"] * 24)
    scores = 0.02 * features["size"] + 0.001 * random.normal(size=48)
    scores[0] = np.nan
    table = regression_table(scores, features, WEIGHTS)
    rows = table[table["feature"] == "size"]
    assert rows["coefficient"].to_numpy() == pytest.approx([0.02, 0.02], abs=1e-3) and (table["n"] == 47).all()
    assert (rows["low"] < rows["coefficient"]).all() and (rows["coefficient"] < rows["high"]).all()
    assert rows["standardised"].iloc[0] == pytest.approx(0.02 * features["size"][1:].std(ddof=0), rel=0.05)
    assert (rows["r_squared"] > 0.99).all()
    assert len(coefficient_plot(table).axes[0].containers) == 2
    few = regression_table(scores[:6], features[:6], WEIGHTS)
    assert few["coefficient"].isna().all()
    assert coefficient_plot(few).texts[0].get_text() == "5 findings are too few for a regression."


@pytest.fixture(scope="module")
def cohort():
    """Twelve test studies with an ILD at the upper right, and as many for validation."""
    rows = [(name, "ILD", "R1", 4, 0, 8, 4) for name in [*NAMES, "v"]]
    annotations, labels = annotation_rows(*rows), ["ILD", "Mass"]
    studies = pd.DataFrame({"split": ["test"] * 12 + ["valid"]}, [*NAMES, "v"])
    return small_cohort(labels, annotations, union_labels(annotations, labels).loc[studies.index], studies, size=8)


def of_corner(names: list[str]) -> Explanations:
    """Maps whose ILD is at the upper right, and whose mass is at the lower left."""
    maps = torch.zeros(len(names), 2, 4, 4)
    maps[:, 0, :2, 2:] = 1
    maps[:, 1, 2:, :2] = 1
    return Explanations(pd.DataFrame(0.9, pd.Index(names, name="image_id"), ["ILD", "Mass"]), maps, 8, identity="")


def test_tables_of_a_method_beside_its_controls(cohort):
    methods, options = {"CAM": {"valid": of_corner(["v"]), "test": of_corner(NAMES)}}, ([0.25, 0.5], 0, "areas")
    cases, chosen = place_cases(cohort, methods, {}, *options)
    froc = froc_table(cohort, "CAM", methods["CAM"], *options, WEIGHTS)
    probabilities = methods["CAM"]["test"].probabilities
    tables = {
        name: made for name, (made, _) in place_tables(cohort, cases, chosen, froc, probabilities, WEIGHTS).items()
    }
    located = tables["localisation"].set_index(["measure", "control", "class_name"])
    assert located.loc[("energy", "class swap", "ILD"), "gain"] > 0.5
    assert located.loc[("energy", "usual heatmap", "ILD"), "gain"] == 0  # all patients are alike
    assert located.loc[("iou", "random map", "ILD"), "share"] == 0.25
    assert np.isnan(located.loc[("energy", "random map", "ILD"), "share"])
    assert located.loc[("iou", "random map", "Mass"), "n"] == 0
    froc = tables["froc"].set_index(["meet_by", "class_name", "false_boxes"])
    assert froc.loc[("iou", "ILD", 0.5), "ours"] == 1 and froc.loc[("iou", "ILD", 0.5), "reached"] == 0
    assert froc.loc[("iou", ALL_FINDINGS, 1.0), ["n", "images"]].tolist() == [12, 12]
    assert np.isnan(froc.loc[("iou", "Mass", 1.0), "ours"])
    assert (tables["iou_regression"]["n"] == 12).all() and tables["iou_regression"]["coefficient"].isna().all()
    figure = control_panels(tables["localisation"], "CAM")
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["ILD\nn = 12", "mean of findings\nn = 12"]
    assert "n = 0" in control_panels(tables["localisation"], "another").texts[0].get_text()


def test_nothing_boxed_gives_empty_tables(cohort):
    none = of_corner(NAMES).of([])
    methods, options = {"CAM": {"valid": none, "test": none}}, ([0.25], 0, "areas")
    cases, chosen = place_cases(cohort, methods, {}, *options)
    froc = froc_table(cohort, "CAM", methods["CAM"], *options, WEIGHTS)
    tables = place_tables(cohort, cases, chosen, froc, none.probabilities, WEIGHTS)
    assert tables["localisation"][0].empty and tables["froc"][0]["ours"].isna().all()
    assert tables["iou_regression"][0]["coefficient"].isna().all()
    assert "n = 0" in control_panels(tables["localisation"][0], "CAM").texts[0].get_text()


def test_the_froc_figure_draws_every_point_and_the_published_one_where_it_belongs():
    rows = [(rule, name, rate) for rule in ("iou", "iobb") for name in ("Mass", "ILD", ALL_FINDINGS) for rate in RATES]
    table = pd.DataFrame(rows, columns=["meet_by", "class_name", "false_boxes"])
    table = table.assign(ours=np.linspace(0, 0.9, len(table)), low=np.nan, high=np.nan, random=0.01, n=7, images=20)
    figure = froc_curves(table)
    iou, iobb = figure.axes
    drawn = [line.get_ydata().tolist() for line in iou.lines if line.get_marker() in "os^"]
    assert sum(drawn, []) == pytest.approx(table[table["meet_by"] == "iou"]["ours"].tolist())
    stars = [line for ax in (iou, iobb) for line in ax.lines if line.get_marker() == "*"]
    assert len(stars) == 1 and stars[0] in iou.lines and float(np.ravel(stars[0].get_ydata())[0]) == VINDR[1]
    place = float(np.ravel(stars[0].get_xdata())[0])
    assert [label.get_text() for label in iou.get_xticklabels()][int(place)] == f"{VINDR[0]:g}" == "1"
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert "Mass (n = 7)" in legend and f"{ALL_FINDINGS} (n = 7)" in legend
    assert "n = 0" in froc_curves(table.assign(n=0)).texts[0].get_text()
    plt.close("all")
