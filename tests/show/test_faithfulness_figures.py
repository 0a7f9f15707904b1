"""Tables and figures of faithfulness beside controls."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from cxrlib.evaluate.bootstrap import ALL, study_weights
from cxrlib.evaluate.faithfulness import CURVE_COLUMNS, KEPT, MEAN, OWN, RANDOM_REGION, READERS, fall_cases
from cxrlib.show.faithfulness_tables import control_curves, faithfulness_table
from cxrlib.show.figures.faithfulness_figures import control_panels, gain_panels

IDS = list("abcdef")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def weights():
    return study_weights(IDS, 200, seed=0)


@pytest.fixture(scope="module")
def curves():
    """Six studies with Mass, one with No finding; 4 of the masses have boxes."""
    rows = []
    for number, image_id in enumerate(IDS):
        for pixels, fall in ((OWN, 0.1 * number), (RANDOM_REGION, 0.05), (READERS, 0.3)):
            if pixels == READERS and number > 3:
                continue
            for share in (0.1, 0.5):
                rows.append((image_id, "Mass", "Grad-CAM", MEAN, share, pixels, share, 0.9, 0.9 - fall * share, 0.2))
    for pixels in (OWN, RANDOM_REGION):
        rows.append(("a", "No finding", "Grad-CAM", MEAN, 0.1, pixels, 0.1, 0.9, 0.5, 0.2))
    rows.append(("a", "Mass", "Grad-CAM", KEPT, 0.1, OWN, 0.1, 0.9, 0.0, 0.2))
    rows.append(("a", "Mass", "LRP", MEAN, 0.1, OWN, 0.1, 0.9, 0.0, 0.2))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def test_curves_are_means_with_intervals_of_one_method(curves, weights):
    found = control_curves(curves, "Grad-CAM", ["Mass", "Nodule", "No finding"], weights)
    own = found[(found["pixels"] == OWN) & (found["class_name"] == "Mass")].set_index("share")
    assert own["ours"].tolist() == pytest.approx([0.25 * 0.1, 0.25 * 0.5])
    assert (own["low"] < own["ours"]).all() and (own["ours"] < own["high"]).all() and (own["n"] == 6).all()
    boxes = found[found["pixels"] == READERS]
    assert (boxes["n"] == 4).all() and boxes["low"].isna().all(), "fewer than five cases have no interval"
    assert found["class_name"].unique().tolist() == ["Mass", "No finding"]


def test_the_mean_of_findings_leaves_no_finding_out(curves, weights):
    table = faithfulness_table(fall_cases(curves), ["Mass", "Nodule"], "No finding", weights)
    same = table[(table["measure"] == "fall mean 10 %") & (table["control"] == RANDOM_REGION)].set_index("class_name")
    assert same.index.tolist() == ["Mass", "Nodule", ALL, "No finding"]
    assert same.loc[ALL, "n"] == 6 and same.loc["No finding", "n"] == 1 and same.loc["Nodule", "n"] == 0
    assert same.loc["Mass", "gain"] == pytest.approx(0.02)
    without = faithfulness_table(fall_cases(curves), ["Mass"], None, weights)
    assert set(without["class_name"]) == {"Mass", ALL}


def test_a_panel_for_each_class_with_its_n_and_no_boxes_of_few_cases(curves, weights):
    found = control_curves(curves, "Grad-CAM", ["Mass", "Nodule", "No finding"], weights)
    figure = control_panels(found, ["Mass", "Nodule", "No finding"])
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == ["Mass\nn = 6", "No finding\nn = 1"]
    lines = {tuple(np.round(line.get_ydata(), 3)) for line in figure.axes[0].lines if len(line.get_xdata())}
    assert (0.025, 0.125) in lines and (0.03, 0.15) not in lines
    figure.canvas.draw()


def test_seven_labels_and_one_leave_room_for_the_legend(curves, weights):
    one = control_curves(curves, "Grad-CAM", ["Mass"], weights)
    seven = pd.concat([one.assign(class_name=f"label {number}") for number in range(7)])
    for table, classes in ((one, ["Mass"]), (seven, [f"label {number}" for number in range(7)])):
        (legend,) = [ax.get_legend() for ax in control_panels(table, classes).axes if ax.get_legend()]
        assert legend.get_texts()[0].get_text() == OWN


def test_gains_have_a_panel_for_each_measure_and_a_row_for_each_method(curves, weights):
    table = faithfulness_table(fall_cases(curves), ["Mass"], None, weights)
    both = pd.concat([table, table.assign(method="LRP")])
    figure = gain_panels(both, ALL)
    assert [ax.get_title() for ax in figure.axes] == ["fall of p,\nmean, 10 %"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["Grad-CAM\nn = 6", "LRP\nn = 6"]


def test_without_cases_a_sentence_says_so(curves, weights):
    empty = control_curves(curves[:0], "Grad-CAM", ["Mass"], weights)
    assert "n = 0" in control_panels(empty, ["Mass"]).texts[0].get_text()
    table = faithfulness_table(fall_cases(curves[:0]), ["Mass"], "No finding", weights)
    assert "n = 0" in gain_panels(table, ALL).texts[0].get_text()
