"""The heatmap browser in the kernel: controls, numbers, and what it says where something is missing."""

import dataclasses
import json
import subprocess
import sys

import ipywidgets as widgets
import numpy as np
import pandas as pd
import pytest
import torch
from browsable import CLASSES, INPUT_SIZE, SIZE, decoded, smooth

import run_all
from cxrlib.data.cohort import load_cohort
from cxrlib.evaluate.boxes import all_pairs_iou, boxes_from_mask
from cxrlib.evaluate.localisation import score_mask
from cxrlib.explain.explanations import load_explanations, save_explanations
from cxrlib.model.networks import to_input
from cxrlib.params import load_params
from cxrlib.run import Run
from cxrlib.show.browse import HeatmapBrowser, contact_sheet, open_run, sheet, show_browser
from cxrlib.show.browse.browsed import evidence_of, load_results
from cxrlib.show.browse.numbers import EXPLAINED, localisation_numbers, probability_table
from cxrlib.show.browse.overlay import compose, render
from cxrlib.show.browse.own import explain_own
from cxrlib.show.browse.saved_cases import Case, cases_page
from cxrlib.show.browse.selection import clearest_case, heatmap_iou
from cxrlib.show.browse.voila import write_page
from cxrlib.stages.explain import explain_split
from cxrlib.workflow.filelog import RUN_ID


def drawn(browser: HeatmapBrowser) -> bytes:
    """What the first tab has to show, from the library."""
    results, view = browser.results, browser.view
    return render(results.cohort.images([view.image_id])[0], results.evidence(view), browser.heatmap.look)


def test_all_scores_are_there_and_none_without_a_reader_or_a_heatmap(results):
    view = results.first_view("study00", "Cardiomegaly", 0.1)
    evidence = results.evidence(view)
    scores = localisation_numbers(evidence, SIZE)
    assert list(scores) == list(EXPLAINED)
    assert scores["IoU, all pairs"] == all_pairs_iou(boxes_from_mask(evidence.mask, SIZE), evidence.true)
    by_name = score_mask(evidence.mask, evidence.true, SIZE)
    expected = [by_name[name] for name in ("all_pairs", "best_match", "mask_iou", "iobb")]
    assert list(scores.values()) == [*expected, float(evidence.hit)]
    assert localisation_numbers(results.evidence(results.first_view("study01", "Cardiomegaly", 0.1)), SIZE) == {}
    assert localisation_numbers(evidence_of(None, evidence.readers, 0.1, INPUT_SIZE, SIZE), SIZE) == {}


def test_names_are_escaped_and_the_change_is_shown():
    p = pd.Series({"<b>x</b>": 0.75, "y": 0.25})
    table = probability_table(p, None, "y", after=p - 0.125)
    assert "<b>" not in table and "&lt;b&gt;x" in table and "−0.125" in table and "0.625" in table


def test_every_control_redraws_what_render_draws(browser):
    changes = [
        (browser.chooser.study, "study03"),
        (browser.share, 0.2),
        (browser.class_name, "Cardiomegaly"),
        (browser.heatmap.opacity, 0.9),
        (browser.heatmap.window, 90),
        (browser.heatmap.level, 70),
        (browser.heatmap.colours, "viridis"),
        (browser.heatmap.readers[1], False),
        (browser.heatmap.readers[2], False),
        (browser.heatmap.predicted, False),
        (browser.heatmap.mask, False),
        (browser.heatmap.heatmap, False),
    ]
    seen = [browser.heatmap.picture.image]
    assert seen[0] == drawn(browser)
    for control, value in changes:
        control.value = value
        seen.append(browser.heatmap.picture.image)
        assert seen[-1] == drawn(browser)
    assert len(set(seen)) == len(seen)


def test_numbers_follow_the_threshold(browser):
    browser.class_name.value = "Cardiomegaly"
    browser.chooser.study.value = "study06"
    for share in (0.02, 0.3):
        browser.share.value = share
        evidence = browser.results.evidence(browser.view)
        for name, value in localisation_numbers(evidence, SIZE).items():
            assert (f"{value:.3f}" if name != "hit" else "yes" if value else "no") in browser.heatmap.numbers.value
            assert name in browser.heatmap.picture.alt
    for p in browser.results.probabilities.loc["study06"]:
        assert f"{p:.3f}" in browser.heatmap.probabilities.value
    assert "reader R1 (solid)" in [switch.description for switch in browser.heatmap.readers]


def test_arrow_keys_move_study_and_threshold_and_stop_at_the_ends(browser):
    picture = browser.heatmap.picture
    picture.across += 2
    picture.up += 3
    assert (browser.image_id, round(browser.share.value, 2)) == ("study02", 0.08)
    picture.across -= 9
    picture.up -= 99
    assert (browser.image_id, browser.share.value) == ("study00", browser.share.min)
    browser.chooser.next.click()
    assert browser.image_id == "study01"
    assert picture.image == drawn(browser)


def test_filters_choose_and_a_class_that_fits_no_study_says_so(browser):
    browser.chooser.shown.value = "labelled"
    assert browser.chooser.chosen == ["study00", "study03", "study06", "study09"]
    browser.chooser.study.value = "study06"
    browser.chooser.only.value = "low IoU"
    browser.chooser.only.value = "readers disagree"
    browser.chooser.order.value = "reader disagreement"
    values = [browser.chooser._frame().at[i, "disagreement"] for i in browser.chooser.chosen]
    assert values == sorted(values) and min(values) >= 0.5
    browser.chooser.search.value = "nothing like it"
    assert browser.image_id == "" and browser.heatmap.picture.image == b""
    assert "No study" in browser.heatmap.picture.caption and "No study of 12" in browser.chooser.count.value
    for tab in browser.tab.options:
        browser.tab.value = tab
    for click in (browser.save, browser.add, browser.chooser.next):
        click.click()
    browser.share.value = 0.3
    browser.tab.value = "heatmap"
    assert browser.heatmap.picture.image == b""
    browser.chooser.search.value = ""
    assert browser.heatmap.picture.image == drawn(browser)


def test_a_class_without_positives_is_a_sentence(results):
    results.cohort.labels["Cardiomegaly"] = 0
    browser = HeatmapBrowser(results.cohort, results.methods)
    browser.chooser.shown.value = "labelled"
    browser.class_name.value = "Cardiomegaly"
    assert browser.heatmap.picture.image == b"" and "No study" in browser.heatmap.picture.caption
    browser.class_name.value = "No finding"
    assert browser.heatmap.picture.image == drawn(browser)


def test_a_study_without_boxes_says_so_beside_its_heatmap(browser):
    browser.chooser.study.value = "study01"
    assert "No reader boxed Aortic enlargement" in browser.heatmap.numbers.value
    assert browser.heatmap.picture.image == drawn(browser) != b""


def test_a_missing_heatmap_is_a_sentence_and_no_stale_map(results):
    browser = HeatmapBrowser(results.cohort, {"Grad-CAM": results.explanations, "Smooth": smooth(results, ["study03"])})
    browser.method.value = "Smooth"
    assert "Smooth has no heatmap of Aortic enlargement on this study" in browser.heatmap.note.value
    nothing = evidence_of(None, results.cohort.boxes("study00", CLASSES[0]), 0.05, INPUT_SIZE, SIZE)
    assert browser.heatmap.picture.image == render(results.cohort.images(["study00"])[0], nothing, browser.heatmap.look)
    assert "no heatmap" in browser.heatmap.picture.alt
    browser.tab.value = "perturbation"
    assert browser.perturbation.before.image == b""
    browser.tab.value = "heatmap"
    browser.chooser.study.value = "study03"
    assert browser.heatmap.note.value == "" and browser.heatmap.picture.image == drawn(browser)


def test_a_map_of_zeros_predicts_nothing_and_says_so(results):
    zeros = results.explanations.with_maps(torch.zeros(1, 3, 4, 4), ["study00"])
    browser = HeatmapBrowser(results.cohort, zeros)
    assert "The map is zero" in browser.heatmap.numbers.value and "nan" not in browser.heatmap.numbers.value
    assert "This map is zero" in browser.heatmap.note.value


def test_layers_are_offered_where_there_are_several(results):
    deep, shallow = smooth(results, ["study00"]), smooth(results, ["study00"])
    browser = HeatmapBrowser(
        results.cohort, {"Grad-CAM": results.explanations, "Layers": {"layer4": deep, "layer3": shallow}}
    )
    assert browser.layer.layout.visibility == "hidden"
    browser.method.value = "Layers"
    assert browser.layer.layout.visibility == "visible"
    assert browser.layer.options == (("layer4", "layer4"), ("layer3", "layer3"))
    browser.layer.value = "layer3"
    assert browser.heatmap.picture.image == drawn(browser)
    assert torch.equal(browser.results.raw_map(browser.view), shallow.map("study00", CLASSES[0]))
    browser.method.value = "Grad-CAM"
    assert browser.heatmap.picture.image == drawn(browser)


def test_a_viewer_without_widgets_shows_a_sentence(browser):
    assert "needs a running kernel" in browser._repr_mimebundle_()["text/plain"]


def test_two_browsers_do_not_move_each_other(results):
    first, second = (HeatmapBrowser(results.cohort, results.methods) for _ in range(2))
    first.chooser.study.value, first.share.value = "study05", 0.2
    assert second.image_id == "study00" and second.heatmap.picture.image == drawn(second)
    assert first.heatmap.picture.image == drawn(first)


def test_an_error_replaces_the_picture_and_is_not_swallowed(browser, caplog):
    broken = dataclasses.replace(browser.results.cohort, pixels=None)
    object.__setattr__(browser.results, "cohort", broken)
    browser.share.value = 0.3
    assert browser.heatmap.picture.image == b"" and "could not be drawn" in browser.heatmap.picture.caption
    assert "AttributeError" in caplog.text and "Traceback" in caplog.text


def test_a_saved_picture_and_the_list_of_cases_are_downloads(browser):
    sent = []
    browser.heatmap.picture.send = lambda content, buffers: sent.append((content["name"], bytes(buffers[0])))
    browser.class_name.value = "Cardiomegaly"
    browser.save.click()
    name, png = sent.pop()
    assert name == "study00-Cardiomegaly-Grad-CAM.png"
    look = browser.heatmap.look
    picture = compose(browser.results.cohort.images(["study00"])[0], browser.results.evidence(browser.view), look)
    np.testing.assert_array_equal(decoded(png)[:512], picture)
    browser.add.click()
    browser.chooser.next.click()
    browser.add.click()
    assert browser.export.description == "export 2 cases"
    browser.export.click()
    name, page = sent.pop()
    text = page.decode()
    assert name == "cases.html" and text.count("<figure>") == 2 and "not for diagnosis" in text
    assert (
        "study00" in text
        and "study01" in text
        and all(number in text for case in browser.cases for number in case.numbers.values())
    )


def test_a_run_opens_on_a_finding_that_is_predicted_boxed_by_many_and_hit(results, own_run):
    found = clearest_case(results)
    browser = open_run(own_run)
    if found is None:
        assert browser.image_id == "study00"
        return
    image_id, name = found
    assert (browser.image_id, browser.class_name.value) == found
    assert results.probabilities.at[image_id, name] >= 0.5
    assert results.cohort.boxes(image_id, name)["rad_id"].nunique() >= 2
    assert results.evidence(results.first_view(image_id, name, 0.05)).hit


def test_the_clearest_case_is_none_where_nothing_is_predicted(results):
    results.probabilities[CLASSES] = 0.1
    assert clearest_case(results) is None


def test_sorting_follows_the_slider_s_share(browser):
    browser.class_name.value, browser.chooser.order.value = CLASSES[0], "IoU"
    for share in (0.05, 0.3):
        browser.share.value = share
        expected = heatmap_iou(browser.results, CLASSES[0], share).sort_values(kind="stable", na_position="last")
        assert browser.chooser.chosen == expected.index.tolist()


def test_reset_and_clear_bring_the_first_values_back(browser):
    first = browser.heatmap.look
    browser.heatmap.opacity.value, browser.heatmap.cells.value, browser.share.value = 0.2, True, 0.3
    browser.heatmap.window.value, browser.heatmap.colours.value = 90, "viridis"
    browser.reset.click()
    assert browser.heatmap.look == first and browser.share.value == 0.05
    browser.chooser.shown.value, browser.chooser.search.value = "labelled", "nothing like it"
    browser.chooser.clear.click()
    assert len(browser.chooser.chosen) == 12 and browser.heatmap.picture.image == drawn(browser)


def test_small_pictures_show_the_list_around_the_study_and_choose(browser):
    row = browser.chooser.thumbnails
    assert row.names == browser.chooser.chosen[:12] and row.chosen == "study00" and len(row.sources) == 12
    row._handle_custom_msg({"clicked": "study04"}, [])
    assert browser.image_id == row.chosen == "study04"
    browser.chooser.shown.value = "labelled"
    assert row.names == ["study00", "study03", "study06", "study09"]
    browser.chooser.search.value = "nothing like it"
    assert row.names == [] and browser.chooser.search.layout.display != "none"


def test_window_and_level_are_those_of_every_tab(browser):
    browser.chooser.study.value = "study03"
    browser.tab.value = "perturbation"
    browser.panels.latest.wait()
    before = browser.perturbation.before.image
    browser.heatmap.window.value = 60
    browser.panels.latest.wait()
    assert browser.perturbation.before.image != before


def test_no_study_stands_above_an_own_image(browser):
    browser.tab.value = "own image"
    assert browser.chooser.layout.display == browser.method.layout.display == "none"
    browser.tab.value = "heatmap"
    assert browser.chooser.layout.display == browser.method.layout.display == ""


def test_every_control_says_what_it_does(browser):
    to_visit = [browser]
    while to_visit:
        widget = to_visit.pop()
        to_visit += getattr(widget, "children", ())
        if isinstance(widget, (widgets.FloatSlider, widgets.IntSlider)):
            assert widget.tooltip


def test_the_page_of_cases_escapes_everything():
    page = cases_page([Case(b"png", "<script>' \"", {"<i>": "</dd>"})], "<title>")
    assert (
        "<script>" not in page
        and "<i>" not in page
        and page.count("</dd>") == 1
        and "alt='&lt;script&gt;&#x27;" in page
    )


def test_the_contact_sheet_has_a_view_of_every_finding_and_method(results):
    browser = HeatmapBrowser(results.cohort, {"Grad-CAM": results.explanations, "Smooth": smooth(results, ["study03"])})
    titles = [ax.get_title() for ax in contact_sheet(browser).axes if ax.get_title()]
    assert len(titles) == 4 and sum("Smooth" in title for title in titles) == 2
    for title in titles:
        image_id, *rest = title.split()
        about = " ".join(rest)
        assert image_id in results.probabilities.index and any(name in about for name in CLASSES)
        assert "top 5 %" in about and ("no heatmap" in about) is ("Smooth" in about and image_id != "study03")
    results.cohort.labels[CLASSES[:2]] = 0
    assert not contact_sheet(browser).axes


@pytest.mark.parametrize(
    ("methods", "cases", "lines", "columns"),
    [(1, 6, 2, 3), (1, 7, 2, 4), (2, 6, 3, 4), (3, 4, 3, 4), (3, 1, 1, 3), (15, 1, 3, 5), (21, 1, 4, 6)],
)
def test_a_contact_sheet_is_no_higher_than_wide(results, methods, cases, lines, columns):
    maps = {"Grad-CAM": results.explanations, **{f"method {n}": results.explanations for n in range(1, methods)}}
    chosen = [(f"study{number:02}", CLASSES[0]) for number in range(cases)]
    figure = contact_sheet(HeatmapBrowser(results.cohort, maps, tab="comparison"), chosen)
    width, height = figure.get_size_inches()
    assert height <= width + 0.3
    axes = [ax for ax in figure.axes if ax.get_title()]
    places = [ax.get_subplotspec() for ax in axes]
    assert len(axes) == methods * cases and places[0].get_gridspec().ncols == columns
    assert [max(getattr(place, span).stop for place in places) for span in ("rowspan", "colspan")] == [lines, columns]
    first = {place.rowspan.start for place, ax in zip(places, axes, strict=True) if "Grad-CAM" in ax.get_title()}
    assert methods < 3 or first == {0}  # a line of its own, or the beginning of the case


@pytest.mark.parametrize("view", ["heatmap", "boxes", "perturbation", "comparison"])
def test_a_notebook_s_browser_leaves_its_contact_sheet(own_run, results, monkeypatch, view):
    shown = []
    monkeypatch.setattr(sheet, "display", shown.append)
    run = Run("05_smoothgrad", own_run, compute={})
    assert run.folder == own_run / "interactive"
    others = {"Smooth": smooth(results, ["study03"])} if view == "comparison" else None
    assert show_browser(run, view, others) is None
    (browser,) = shown
    assert browser.tab.value == ("heatmap" if view == "boxes" else view)
    assert browser.heatmap.look.heatmap is (view != "boxes")
    assert list(browser.results.methods) == ["Grad-CAM", *(others or {})]
    assert (browser.results.network is None) is (view == "boxes") is ("_stored_model" not in vars(run))
    caption = json.loads((run.folder / "figures" / "browser_05.json").read_text())["caption"]
    assert sheet.CAPTIONS[view] in caption and "sliders need a kernel" in caption


def test_a_run_gives_the_network_its_images(own_run, results):
    inputs = Run("05_smoothgrad", own_run, compute={}).inputs(["study03", "study00"])
    assert len(inputs) == 2 and inputs[:].shape == (2, 1, INPUT_SIZE, INPUT_SIZE)
    expected = to_input(results.cohort.images(["study00"]), INPUT_SIZE)
    assert torch.equal(inputs[1], expected[0])


def test_a_run_that_is_not_finished_is_a_sentence(tmp_path, capsys):
    assert "run notebook 01_data first" in open_run(tmp_path).value
    assert run_all.main(["smoke", "--browse", "--out", str(tmp_path)]) == 2
    assert "up to 03 first" in capsys.readouterr().err


def test_the_page_is_a_notebook_that_opens_the_run(browsed_run):
    page = json.loads(write_page(browsed_run).read_text())
    assert browsed_run.name in page["metadata"]["title"] and browsed_run.name in page["cells"][0]["source"]
    scope = {}
    exec(page["cells"][1]["source"].replace("open_run(", "browser = open_run("), scope)
    assert scope["browser"].results.cohort.folder == browsed_run / "data"


def test_stored_methods_are_found(own_run, monkeypatch):
    monkeypatch.setenv(RUN_ID, "0123456789ab")  # as run_all.py executes a notebook
    results = load_results(own_run)
    maps = torch.rand(1, 3, 4, 4)
    kept = Run("05_smoothgrad", own_run).save_maps("SmoothGrad 0.1", maps, ["study03"])
    assert kept.probabilities.equals(results.probabilities.loc[["study03"]])
    path = own_run / "maps" / "test-SmoothGrad 0.1@layer3.npz"
    save_explanations(load_explanations(own_run / "maps" / "test-SmoothGrad 0.1.npz"), path)
    found = load_results(own_run).methods["SmoothGrad 0.1"]["layer3"]
    assert found.probabilities.index.tolist() == ["study03"] and torch.equal(found.maps, maps)
    other = dataclasses.replace(smooth(results, ["study03"]), identity="of another method")
    save_explanations(dataclasses.replace(other, beside=results.explanations.identity), path)
    assert list(load_results(own_run).methods["SmoothGrad 0.1"]) == ["last block", "layer3"]
    save_explanations(dataclasses.replace(other, beside="maps of another model"), path)
    assert list(load_results(own_run).methods["SmoothGrad 0.1"]) == ["last block"]
    path.with_name(".test-SmoothGrad 0.1.npz.made.json").unlink()  # nobody knows any more what made it
    assert list(load_results(own_run).methods) == ["Grad-CAM"]


def test_own_images_are_explained_at_the_run_s_layer(own_run):
    smoke = load_params("smoke")
    path = own_run / "maps" / "test.npz"
    deeper = smoke.gradcam.model_copy(update={"layer": "layer3"})
    stored = explain_split(load_cohort(own_run / "data"), "test", own_run / "models", deeper, smoke.compute, path)
    results = load_results(own_run)
    assert results.explanations.layer == "layer3"
    pixels = results.cohort.images(["study03"])[0]
    own = explain_own(results.network, pixels, SIZE, INPUT_SIZE, results.explanations.layer)
    torch.testing.assert_close(own.maps, stored.maps[stored.probabilities.index.get_loc("study03")])


def test_the_command_starts_without_torch():
    code = "import sys, run_all; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
