import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from matplotlib import pyplot as plt

from cxrlib.evaluate.bootstrap import mean_samples, study_weights
from cxrlib.evaluate.classification import auroc_samples
from cxrlib.model.networks import build_network
from cxrlib.show.figures.methods_figures import agreement_matrix, method_sheet, score_panels
from cxrlib.show.method_tables import ALL, mean_scores, method_costs, methods_table, networks_table, scores_beside

STUDIES = [f"s{number}" for number in range(12)]
WEIGHTS = study_weights(STUDIES, 200, seed=0)
CLASSES = ["ILD", "Mass", "Nodule"]


def cases(shift=0.0):
    """Eight findings of ILD and six of Mass; the hit of one is unknown."""
    table = pd.DataFrame({"image_id": [*STUDIES[:8], *STUDIES[6:]], "class_name": ["ILD"] * 8 + ["Mass"] * 6})
    return table.assign(hit=[1.0, 0, 0, 1, 1, 0, np.nan, 1, 0, 1, 1, 0, 1, 1], energy=np.linspace(0, 1, 14) + shift)


def test_means_and_intervals_are_those_of_the_resamples():
    table = mean_scores(cases(), ["hit", "energy"], CLASSES, WEIGHTS).set_index(["metric", "class_name"])
    ild = cases()[:8]
    samples = mean_samples(ild["energy"], ild["image_id"], WEIGHTS)
    low, high = np.percentile(samples[1:], [2.5, 97.5])
    assert table.loc[("energy", "ILD"), ["ours", "low", "high"]].tolist() == pytest.approx([samples[0], low, high])
    assert table.loc[("hit", "ILD"), ["ours", "n"]].tolist() == pytest.approx([4 / 7, 7])
    assert np.isnan(table.loc[("hit", "Nodule"), "ours"]) and table.loc[("hit", "Nodule"), "n"] == 0
    assert table.loc[("hit", ALL), "ours"] == pytest.approx((4 / 7 + 4 / 6) / 2)


def test_the_mean_of_findings_is_over_the_same_findings_in_every_resample():
    """One case of a Nodule, which most resamples lack, moves neither the mean nor its interval."""
    rare = pd.concat([cases(), pd.DataFrame({"image_id": ["s0"], "class_name": ["Nodule"], "energy": [100.0]})])
    with_it, without = (
        mean_scores(one, ["energy"], CLASSES, WEIGHTS).set_index("class_name").loc[ALL] for one in (rare, cases())
    )
    assert with_it[["ours", "low", "high", "n"]].tolist() == without[["ours", "low", "high", "n"]].tolist()
    few = cases()[6:9]  # two of ILD, one of Mass
    overall = mean_scores(few, ["energy"], CLASSES, WEIGHTS).set_index("class_name").loc[ALL]
    assert overall["ours"] == pytest.approx((few["energy"][:2].mean() + few["energy"][2:].mean()) / 2)
    assert np.isnan(overall["low"]) and overall["n"] == 0


def test_gains_are_taken_in_pairs():
    table = scores_beside({"A": cases(), "B": cases(0.25)}, {"A": "A", "B": "A"}, CLASSES, WEIGHTS)
    gain = table[(table["metric"] == "energy") & (table["class_name"] != "Nodule")].set_index(["name", "class_name"])
    assert gain.loc["A", "gain"].tolist() == pytest.approx([0, 0, 0])
    assert gain.loc["B", "gain"].tolist() == pytest.approx([0.25, 0.25, 0.25])


def test_every_row_of_a_method_says_what_it_costs():
    network = build_network("resnet18", 3, 16)
    wanted = {"gradcam": {}, "gradient": {}, "rise": {"n_masks": 30}}
    costs = method_costs(wanted, network, "layer4", n_classes=3, size=32)
    assert costs.loc["Grad-CAM"].tolist() == [1, 0]  # behind average pooling and a linear layer
    assert costs.loc["Gradient"].tolist() == [1, 3] and costs.loc["RISE"].tolist() == [30, 0]
    assert method_costs({"gradcam": {}}, build_network("vgg11", 3), "auto", 3, 64).loc["Grad-CAM"].tolist() == [1, 3]
    control = {"Gradient": "Random", "Random": "Random"}
    table = methods_table({"Gradient": cases(), "Random": cases(-1)}, control, costs, "resnet18", CLASSES, WEIGHTS)
    assert (table.loc[table["method"] == "Gradient", "backwards"] == 3).all()
    assert table.loc[table["method"] == "Random", "forwards"].isna().all()
    wanted = ["method", "network", "metric", "class_name", "ours", "low", "high", "n"]
    assert list(table)[:8] == wanted and {"gain", "forwards", "backwards"} <= set(table)
    energy = table[(table["metric"] == "energy") & (table["class_name"] == "ILD")].set_index("method")
    assert energy["gain"].tolist() == pytest.approx([0, -1]) and energy["over_random"].tolist() == pytest.approx([1, 0])


def test_networks_are_compared_by_auroc_and_by_their_maps():
    random = np.random.default_rng(0)
    labels = pd.DataFrame(random.integers(0, 2, (12, 2)), STUDIES, CLASSES[:2])
    own = pd.DataFrame(random.random((12, 2)), STUDIES, CLASSES[:2])
    table = networks_table(
        {"this run": own, "perfect": labels.astype(float)},
        labels.assign(Other=1),
        {"this run": cases(), "perfect": cases(0.5)},
        CLASSES[:2],
        WEIGHTS,
    )
    rows = table.set_index(["network", "metric", "class_name"]).sort_index()
    expected = auroc_samples(labels, own, np.ones((1, 12)))[0]
    assert rows.loc[("this run", "AUROC"), "ours"].tolist() == pytest.approx([*expected, expected.mean()])
    assert rows.loc[("perfect", "AUROC"), "ours"].tolist() == [1, 1, 1]
    assert rows.loc[("perfect", "micro F1", "all labels"), "ours"] == 1
    assert rows.loc[("perfect", "AUROC", "ILD"), "gain"] == pytest.approx(1 - expected[0])
    assert rows.loc[("perfect", "energy", "ILD"), "gain"] == pytest.approx(0.5)
    assert table["network"].tolist() == sorted(table["network"], key=["this run", "perfect"].index)


def test_figures_name_every_method_and_the_same_maps():
    scored = {title: cases() for title in ("Grad-CAM", "HiResCAM", "Random heatmap")}
    control = dict.fromkeys(scored, "Random heatmap")
    table = methods_table(scored, control, pd.DataFrame(index=[*scored]), "resnet18", CLASSES, WEIGHTS)
    controls = {"Random heatmap"}
    figure = score_panels(table.rename(columns={"method": "name"}), ALL, controls, {"HiResCAM": "Grad-CAM"})
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["Grad-CAM", "HiResCAM (= Grad-CAM)", "Random heatmap"]
    assert [ax.get_title() for ax in figure.axes] == ["hit rate", "energy\ninside"]
    assert figure.get_supxlabel().startswith("n = ")
    empty = score_panels(table.assign(ours=np.nan).rename(columns={"method": "name"}), ALL, set(), {})
    assert "n = 0" in empty.texts[0].get_text()
    matrix = agreement_matrix(pd.DataFrame(0.5, ["A", "B"], ["A", "B"]))
    assert [text.get_text() for text in matrix.axes[0].texts] == ["0.50"] * 3
    plt.close("all")


@pytest.mark.parametrize(("methods", "lines"), [(3, 1), (7, 1), (8, 2)])
def test_the_sheet_has_a_panel_for_every_method_of_every_case(methods, lines):
    annotations = annotation_rows(("s0", "ILD", "R1", 1, 1, 30, 30))
    studies, pixels = pd.DataFrame({"row": [0]}, ["s0"]), np.zeros((1, 64, 64), np.uint8)
    cohort = small_cohort(CLASSES, annotations, studies=studies, pixels=pixels)
    maps = {f"Method {number}": [torch.rand(3, 3) - 0.5] for number in range(methods)}
    figure = method_sheet(cohort, [("s0", "ILD")], maps)
    titles = [ax.get_title().replace("\n", " ") for ax in figure.axes]
    assert [title for title in titles if title] == ["ILD", *maps]
    assert len({ax.get_subplotspec().rowspan.start for ax in figure.axes if ax.get_subplotspec()}) >= lines
    assert "n = 0" in method_sheet(cohort, [], {}).texts[0].get_text()
    plt.close("all")
