"""The report: coverage, evidence, tables for reading, and the page itself in a real browser."""

import json
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from cxrlib.data.provenance import Provenance
from cxrlib.evaluate.boxes import as_area_union
from cxrlib.evaluate.localisation import score_mask
from cxrlib.explain.masks import top_pixels
from cxrlib.params import load_params
from cxrlib.show.report.coverage import coverage
from cxrlib.show.report.notebook_pages import with_mathml, write_notebook_pages
from cxrlib.show.report.page import write_report
from cxrlib.show.report.readable import table_cells
from cxrlib.show.report.summary import not_comparable, summary
from cxrlib.thesis.errata import Ground, errata, sides, thesis_errata, threshold
from cxrlib.thesis.items import thesis_items
from cxrlib.thesis.unions import growth, own_growth, readers_needed

THESIS = (
    [f"Table {n}" for n in range(1, 7)]
    + [f"Figure {n}" for n in range(1, 26)]
    + [f"Figure 26 {letter}" for letter in "abcdef"]
    + [f"Figure {n}" for n in range(27, 32)]
    + [f"Figure 32 {letter}" for letter in "abcdefg"]
)


def test_every_table_and_figure_of_the_thesis_has_a_notebook_or_a_reason():
    items = thesis_items()
    assert items["item"].tolist() == THESIS
    redrawn = [3, 6, 8]
    others = {f"Figure {n}" for n in [*range(3, 9), *range(10, 16)] if n not in redrawn}
    without = items[items["artefact"] == ""]
    assert set(without["item"]) == others
    assert without["remark"].str.contains(r"\d{4}; .*not redrawn").all()
    assert (items.loc[items["artefact"] != "", "notebook"].str.match(r"0[1-7]_\w+")).all()


def test_what_a_run_lacks_is_named_with_the_command_that_makes_it(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "table_01.csv").write_text("a\n1\n")
    found = coverage(tmp_path, "demo").set_index("item")
    assert found.loc["Table 1", ["file", "status"]].tolist() == ["tables/table_01.csv", "present"]
    assert found.loc["Figure 32 c", ["file", "status", "remark"]].tolist() == [
        "",
        "missing",
        "run: python run_all.py demo --only 07",
    ]
    assert found.loc["Figure 4", "status"] == "another author's"


def test_tables_for_reading_have_one_interval_column_and_equal_decimals():
    table = pd.DataFrame(
        {
            "label": ["A", "3 B"],
            "difference": ["-0.5", "0"],
            "low": ["0.1", ""],
            "high": ["0.25", ""],
            "n": ["12000", "0"],
            "images": ["rendered", "rendered"],
        }
    )
    cells = table_cells(table, "no comparison")
    assert cells.header == ["label", "difference †", "95 %", "n"]
    assert cells.rows == [["A", "−0.500", "0.100 to 0.250", "12,000"], ["3 B", "0.000", "", "0"]]
    assert cells.right == [False, True, True, True]
    assert table_cells(table).header[1] == "difference"
    assert table_cells(pd.DataFrame({"year": ["2017"]})).rows == [["2017"]]
    assert table_cells(pd.DataFrame({"gain": ["-0.0001", "-0.01"]})).rows == [["0.000"], ["−0.010"]]
    words = table_cells(pd.DataFrame({"protocol": ["all_pairs_sum"], "share": ["0.05"]}))
    assert words.rows == [["IoU, all pairs of boxes; union as a sum", "5 %"]]
    bounds = {f"{name}_{bound}": ["0.1"] for name in ("gain", "beyond") for bound in ("low", "high")}
    assert table_cells(pd.DataFrame(bounds)).header == ["gain, 95 %", "beyond, 95 %"]
    whole = table_cells(pd.DataFrame({"gain_low": ["0"], "gain_high": ["0.002"], "n": ["7"]}))
    assert whole.rows == [["0.000 to 0.002", "7"]]
    counts = table_cells(pd.DataFrame({"low": ["2973"], "high": ["3170"], "hit": ["True"], "random_hit": ["False"]}))
    assert counts.rows == [["2,973 to 3,170", "yes", "no"]]
    made = {f"standardised_{bound}": ["0.1"] for bound in ("low", "high")} | {"score": ["average_precision"]}
    assert table_cells(pd.DataFrame(made)).header == ["standardised, 95 %", "score"]
    assert table_cells(pd.DataFrame(made)).rows == [["0.100 to 0.100", "average precision"]]
    for name in ("image_id", "class_name", "label"):
        assert table_cells(pd.DataFrame({name: ["0012", "1e5"]})).rows == [["0012"], ["1e5"]]


def test_formulas_become_mathml_and_prices_do_not():
    assert with_mathml("so $x^2$ is").count("<msup>") == 1
    assert 'display="block"' in with_mathml("$$\\frac{a}{b}$$")
    assert with_mathml(r"costs \$5 and 5 $ more") == r"costs \$5 and 5 $ more"


def test_only_the_thesiss_own_data_set_is_compared_with_it():
    assert "rendered" in not_comparable(Provenance("demo", rendered=True))
    assert "another data set" in not_comparable(Provenance("nih"))
    assert not_comparable(Provenance("vinbigdata")) == ""


def test_unions_by_hand():
    assert as_area_union(1 / 3) == pytest.approx(0.5)  # half overlap: intersection 1 of areas 1.5 each
    assert readers_needed(0.862) == pytest.approx(0.724) and readers_needed(0.4) == 0
    shares = pd.Index([0.05, 0.1, 0.2])
    box = 40 * shares.to_numpy()  # in units of the true box, which lies inside: the box grows with the share
    assert growth(pd.Series(1 / box, shares), by_sum=False) == pytest.approx(1)
    assert growth(pd.Series(1 / (box + 1), shares), by_sum=True) == pytest.approx(1)


def test_a_runs_own_growth_is_that_of_its_single_boxes():
    """The box of a round spot grows like its area; a heatmap of two spots has two boxes and is left out."""
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    spots = {"round": np.exp(-(x**2 + y**2)), "two": np.exp(-20 * ((np.abs(x) - 0.5) ** 2 + y**2))}
    rows = []
    for name, heatmap in spots.items():
        for share in (0.02, 0.05, 0.1, 0.2):
            mask = top_pixels(torch.from_numpy(heatmap), share).numpy()
            scores = score_mask(mask, np.array([[0, 0, 9, 9]]), 200)  # the true box does not matter
            rows.append({"image_id": name, "class_name": "x", "share": share} | scores)
    cases = pd.DataFrame(rows)
    assert cases.loc[cases["image_id"] == "two", "predicted_boxes"].eq(2).all()
    assert own_growth(cases) == pytest.approx(1, abs=0.05)
    assert np.isnan(own_growth(cases[cases["image_id"] == "two"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of which only notebook 01 has left something, and a killed process two half-written files."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "data").mkdir()
    (folder / "figures").mkdir()
    (folder / "tables").mkdir()
    parameters = load_params("smoke").model_dump()
    (folder / "params.json").write_text(json.dumps({"profile": "smoke", "parameters": parameters}))
    about = {"source": "demo", "description": "rendered <script>alert(1)</script>", "rendered": True}
    (folder / "data" / "cohort.json").write_text(json.dumps(about | {"data": "abc", "split": "def", "explained": "x"}))
    Image.new("RGB", (1400, 700), "navy").save(folder / "figures" / "figure_01.png")
    pd.DataFrame({"reference": ["<script>alert(2)</script>"], "year": [2017]}).to_csv(
        folder / "tables" / "table_01.csv", index=False
    )
    sidecar = {"caption": "<script>alert(3)</script>", "notebook": "01_data", "data": {"rendered": False}}
    for name in ("figures/figure_01", "tables/table_01"):
        (folder / f"{name}.json").write_text(json.dumps(sidecar))
    half = (folder / "figures" / "figure_01.png").read_bytes()[:200]
    (folder / "figures" / ".figure_half.cxr-99999.png").write_bytes(half)
    (folder / "tables" / ".table_half.cxr-99999.csv").write_text("half\n")
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return write_report(folder)[0].read_text()


def test_an_unfinished_run_has_a_report_that_says_what_is_missing(folder, page):
    assert "run: python run_all.py smoke --only 06" in page
    assert "Classification: table_03.csv is missing" in page
    assert len(pd.read_csv(folder / "tables" / "coverage.csv")) == len(THESIS)


def test_half_written_files_are_not_shown(page):
    assert "table_01" in page and "table_half" not in page and "figure_half" not in page


def test_labels_and_captions_are_shown_as_text(page):
    assert "<script>alert" not in page and page.count("&lt;script&gt;") >= 3


def test_the_page_needs_no_network(page):
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)


def test_the_smoke_run_has_every_item_and_evidence_for_every_erratum(smoke):
    found = coverage(smoke, "smoke")
    assert found.loc[found["artefact"] != "", "status"].eq("present").all()
    points = errata(smoke, json.loads((smoke / "params.json").read_text())["parameters"])
    assert points["point"].tolist() == list(range(1, 14)) == thesis_errata()["point"].tolist()
    assert points["evidence"].str.len().min() > 30
    missing = points.loc[2, "evidence"]
    for text in (
        "14,925 images against 14,796",
        "2,300 against 2,168",
        "6 of the other six counts are equal",
        "Of 5 simple rules 0 do",
    ):
        assert text in missing
    assert "11,836 / 1,480 / 1,480; the thesis has 11,836 / 1,480 / 1,480" in points.loc[3, "evidence"]


def test_tables_beside_the_thesis_have_intervals(smoke):
    for name in ("table_03", "table_06"):
        table = pd.read_csv(smoke / "tables" / f"{name}.csv")
        assert {"thesis", "ours", "difference", "low", "high", "n"} <= set(table.columns)
        known = table.dropna(subset=["low", "high"])
        assert len(known) and (known["low"] <= known["ours"]).all() and (known["ours"] <= known["high"]).all()
    ceiling = pd.read_csv(smoke / "tables" / "reader_agreement.csv").query("protocol == 'all_pairs'")
    assert ceiling.set_index("class_name")["ours"].round(3).to_dict() == {
        "Aortic enlargement": 0.683,
        "Cardiomegaly": 0.730,
        "Lung Opacity": 0.424,
        "Pleural effusion": 0.436,
        "Pleural thickening": 0.270,
        "Pulmonary fibrosis": 0.366,
    }


def test_a_notebooks_page_has_its_formulas_whole_and_no_script(tmp_path):
    notebook = new_notebook(cells=[new_markdown_cell("where $\\alpha^c_k$ is"), new_code_cell("1 < 2")])
    nbformat.write(notebook, tmp_path / "04_gradcam.ipynb")
    (page,) = write_notebook_pages(tmp_path)
    html = page.read_text()
    (formula,) = re.findall(r"<math.*?</math>", html, re.DOTALL)
    assert "<mi>c</mi>" in formula and formula.count("<msubsup>") == 1
    assert "<script" not in html and "https://cdn" not in html
    page.write_text(html.replace("</html>", ""))  # damage is no reason to keep a page
    assert write_notebook_pages(tmp_path) == [page] and page.read_text() == html


def test_the_first_lines_say_what_the_tables_hold(tmp_path):
    (tmp_path / "tables").mkdir()

    def write(name, **columns):
        pd.DataFrame(columns).to_csv(tmp_path / "tables" / f"{name}.csv", index=False)

    write(
        "perturbation_cases",
        image_id=list("abcc"),
        heatmap_class=list("ABAA"),
        transform=["mean", "mean", "blur 11", "mean"],
        share=[0.5, 0.5, 0.5, 0.02],
        A=[0.3, 0.1, -9, -9],
        B=[0.2, -0.4, 0, 0],
    )
    write(
        "table_06",
        share=[0.05, 0.1, 0.1],
        class_name=["Cardiomegaly", "Cardiomegaly", "Lung Opacity"],
        ours=[0.3, 0.4, 0.9],
        low=[0.2, 0.3, None],
        high=[0.4, 0.5, None],
        n=[9, 9, 2],
        random_heatmap=[0.1, 0.12, 0.2],
    )
    write("reader_agreement", class_name=["Cardiomegaly", "Lung Opacity"], protocol="all_pairs", ours=[0.73, 0.42])
    items = pd.DataFrame({"artefact": ["x", "y", ""], "status": ["present", "missing", "present"]})
    parameters, provenance = load_params("smoke").model_dump(), Provenance(description="seven drawn studies")
    text = "\n".join(map(str, summary(tmp_path, parameters, provenance, items, pd.DataFrame())))
    assert "seven drawn studies; resnet18 at 48 px, 1 epoch." in text
    assert "best is Cardiomegaly, mean IoU 0.40 (0.30 to 0.50) at the top 10 % of the pixels (n = 9)" in text
    assert "random heatmap 0.12" in text and "two radiologists 0.73" in text
    assert "top 50 % by the mean lowers" in text and "for 1 of 2 predicted classes, most for A (by 0.30)" in text
    assert "1 of 2 tables and figures are here" in text


def test_evidence_counts_what_it_says(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "tables").mkdir()
    corners = {"x_min": [1, 60, 70], "y_min": 1, "x_max": [9, 80, 90], "y_max": 9}
    pd.DataFrame({"class_name": "Cardiomegaly", **corners}).to_csv(tmp_path / "data" / "annotations.csv")
    np.save(tmp_path / "data" / "pixels.npy", np.zeros((1, 100, 100), np.uint8))
    rows = {"experiment": "7 labels", "label": "A", "truth": [1, 1, 0], "probability": [0.7, 0.5, 0.9]}
    pd.DataFrame(rows).to_csv(tmp_path / "tables" / "predictions.csv")
    used = {"iou": {"threshold": 0.5}, "labels": {"explained": "7 labels"}, "training": {"flip_probability": 0.5}}
    ground = Ground(tmp_path, used, None, None)
    assert "67% of 3 Cardiomegaly boxes" in sides(ground)
    assert "Of 2 true findings" in threshold(ground) and "2 reach p = 0.5, 1 reach p = 0.7" in threshold(ground)
