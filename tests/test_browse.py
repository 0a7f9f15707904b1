"""The heatmap browser in the kernel: what it draws, which numbers it shows, what it says where something is missing."""

import dataclasses
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime

import cv2
import matplotlib
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from browsable import CLASSES, INPUT_SIZE, SIZE, browsable_run
from fixtures import annotation_rows, write_dicom
from pydicom.pixels import apply_windowing
from sklearn.metrics import confusion_matrix

import run_all
from cxrlib.boxes import all_pairs_iou, boxes_from_mask
from cxrlib.browse import HeatmapBrowser, contact_sheet, keep_smooth, open_run
from cxrlib.browse.cases import Case, cases_page
from cxrlib.browse.compare import METHODS, RUNS, STUDIES
from cxrlib.browse.latest import LatestOnly
from cxrlib.browse.numbers import EXPLAINED, localisation_numbers, probability_table
from cxrlib.browse.render import COLOUR_MAPS, Look, captioned, compose, render, rgb, windowed
from cxrlib.browse.results import Evidence, Results, View, evidence_of, load_results, some_studies
from cxrlib.browse.selection import OUTCOMES, SCORED_SHARE, disagreement, heatmap_iou, select, study_frame
from cxrlib.cohort import Cohort, load_cohort
from cxrlib.explanations import save_explanations
from cxrlib.gradcam import explain
from cxrlib.images import resize_square
from cxrlib.localisation import boxed_cases, score_maps
from cxrlib.perturbation import perturb
from cxrlib.plots.localisation import PREDICTED, TRUE
from cxrlib.resnet import to_input
from cxrlib.workflow.page import write_page

NOBODY = annotation_rows()[["rad_id", "x_min", "y_min", "x_max", "y_max"]]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PLAIN = Look(heatmap=False, mask=False, predicted=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return browsable_run(tmp_path_factory.mktemp("outputs") / "first")


@pytest.fixture(scope="module")
def loaded(folder):
    return load_results(folder)


@pytest.fixture
def results(loaded):
    """With a cohort of its own, which a test may change."""
    return Results(load_cohort(loaded.cohort.folder), loaded.methods, loaded.network)


@pytest.fixture
def browser(results):
    return HeatmapBrowser(results.cohort, results.methods, results.network)


def decoded(png: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def boxes_by(*rows: tuple) -> pd.DataFrame:
    return annotation_rows(*(("a", "c", *row) for row in rows))[NOBODY.columns]


def marked(picture: np.ndarray, colour: str) -> np.ndarray:
    return (picture == rgb(colour)).all(axis=2)


# --- the picture


@pytest.mark.parametrize(("window", "level"), [(255, 128), (80, 60), (1, 200)])
def test_window_and_level_are_dicom_s(window, level):
    ramp = np.arange(256, dtype=np.uint8)[None]
    dataset = pydicom.Dataset()
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = level, window, "LINEAR_EXACT"
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = "MONOCHROME2", 8, 0
    np.testing.assert_allclose(windowed(ramp, window, level), apply_windowing(ramp, dataset), atol=0.51)


@pytest.mark.parametrize("colours", COLOUR_MAPS)
def test_the_strongest_pixel_takes_the_top_of_the_colour_map_and_a_zero_pixel_stays_grey(colours):
    pixels = np.full((8, 8), 100, np.uint8)
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[2, 5] = 0.3
    evidence = Evidence(heatmap, heatmap > 1, np.empty((0, 4)), NOBODY)
    picture = compose(pixels, evidence, Look(opacity=1, colours=colours), 8)
    expected = np.array(matplotlib.colormaps[colours](1.0)[:3]) * 255
    np.testing.assert_allclose(picture[2, 5], expected, atol=1)
    assert (np.delete(picture.reshape(64, 3), 2 * 8 + 5, axis=0) == 100).all()


def test_opacity_moves_the_picture_from_grey_to_the_map():
    evidence = evidence_of(torch.rand(3, 3, generator=torch.Generator().manual_seed(0)), NOBODY, 0.1, 32, 32)
    pixels = np.full((32, 32), 128, np.uint8)
    plain, half, full = (
        compose(pixels, evidence, Look(opacity=opacity, mask=False, predicted=False), 32).astype(float)
        for opacity in (0, 0.5, 1)
    )
    assert (plain == 128).all()
    np.testing.assert_allclose(half, (plain + full) / 2, atol=1)


def test_the_mask_colours_as_many_pixels_as_its_share_asks_for():
    raw = torch.rand(4, 4, generator=torch.Generator().manual_seed(1))
    evidence = evidence_of(raw, NOBODY, 0.1, 64, 64)
    picture = compose(np.zeros((64, 64), np.uint8), evidence, Look(heatmap=False, predicted=False), 64)
    assert (picture.any(axis=2)).sum() == round(0.1 * 64 * 64)
    assert not compose(np.zeros((64, 64), np.uint8), evidence, PLAIN, 64).any()


def test_boxes_are_outlined_where_they_lie():
    evidence = Evidence(None, np.zeros((4, 4), bool), np.array([[10, 20, 50, 60.0]]), NOBODY)
    rows, columns = marked(compose(np.zeros((64, 64), np.uint8), evidence, Look(), 128), PREDICTED).nonzero()
    # twice the size, and a line of two pixels
    assert np.abs([columns.min() - 20, rows.min() - 40, columns.max() - 99, rows.max() - 119]).max() <= 1
    assert not ((columns > 24) & (columns < 94) & (rows > 44) & (rows < 114)).any()


def test_readers_are_told_apart_by_line_and_switched_off_one_by_one():
    readers = boxes_by(*((f"R{number}", 10, 10, 110, 110) for number in range(4)))
    evidence = Evidence(None, np.zeros((4, 4), bool), np.empty((0, 4)), readers)
    black = np.zeros((128, 128), np.uint8)
    switches = [tuple(number == shown for number in range(4)) for shown in range(4)]
    alone = [marked(compose(black, evidence, Look(readers=only), 128), TRUE) for only in switches]
    assert len({picture.tobytes() for picture in alone}) == 4
    assert alone[0].sum() > alone[1].sum() > alone[2].sum() > 0
    assert not marked(compose(black, evidence, Look(readers=(False,) * 4), 128), TRUE).any()


def test_a_caption_stands_below_the_untouched_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 300, 3), np.uint8)
    pages = [decoded(captioned(picture, text)) for text in ("short", "a long caption " * 12)]
    for page in pages:
        np.testing.assert_array_equal(page[:40], picture)
        assert page[40:].min() < 100 and page[40:].max() == 255
    assert len(pages[1]) > len(pages[0])


# --- the numbers


def test_all_scores_are_there_and_none_without_a_reader_or_a_heatmap(results):
    view = results.first_view("study00", "Cardiomegaly", 0.1)
    evidence = results.evidence(view)
    scores = localisation_numbers(evidence, SIZE)
    assert list(scores) == list(EXPLAINED)
    assert scores["IoU, all pairs"] == all_pairs_iou(boxes_from_mask(evidence.mask, SIZE), evidence.true)
    assert localisation_numbers(results.evidence(results.first_view("study01", "Cardiomegaly", 0.1)), SIZE) == {}
    assert localisation_numbers(evidence_of(None, evidence.readers, 0.1, INPUT_SIZE, SIZE), SIZE) == {}


def test_names_are_escaped_and_the_change_is_shown():
    p = pd.Series({"<b>x</b>": 0.75, "y": 0.25})
    table = probability_table(p, None, "y", after=p - 0.125)
    assert "<b>" not in table and "&lt;b&gt;x" in table and "-0.125" in table and "0.625" in table


# --- which studies


@pytest.fixture
def studies():
    random = np.random.default_rng(0)
    index = pd.Index([f"Study{number}" for number in range(40)], name="image_id")
    frame = study_frame(pd.Series(random.integers(0, 2, 40), index), pd.Series(random.random(40), index))
    return frame.assign(iou=random.random(40), disagreement=random.random(40))


def test_outcomes_are_a_confusion_matrix(studies):
    (tn, fp), (fn, tp) = confusion_matrix(studies["labelled"], studies["predicted"])
    assert [len(select(studies, shown=outcome)) for outcome in OUTCOMES] == [tp, fp, fn, tn]
    assert len(select(studies, shown="labelled")) == tp + fn
    assert len(select(studies, shown="not predicted")) == fn + tn


def test_filters_add_up_and_search_ignores_case(studies):
    assert select(studies, search=" study3 ") == ["Study3"] or len(select(studies, search="study3")) == 11
    low = select(studies, search="STUDY1", shown="labelled", only="low IoU")
    rows = studies.loc[low]
    assert (rows["iou"] < 0.1).all() and rows["labelled"].all()
    assert (studies.loc[select(studies, only="readers disagree"), "disagreement"] >= 0.5).all()
    assert select(studies, search=".") == []


def test_sorting_puts_what_is_unknown_last(studies):
    studies.loc["Study5", "iou"] = np.nan
    for descending in (False, True):
        order = select(studies, order="IoU", descending=descending)
        values = studies.loc[order[:-1], "iou"]
        assert order[-1] == "Study5"
        assert values.is_monotonic_decreasing if descending else values.is_monotonic_increasing
    assert select(studies, order="study", descending=True)[0] == "Study9"
    outcomes = studies.loc[select(studies, order="outcome"), "outcome"].tolist()
    assert outcomes == sorted(outcomes, key=OUTCOMES.index)
    assert select(studies, descending=True) == studies.index[::-1].tolist()


def test_readers_who_boxed_nothing_disagree_with_those_who_did(tmp_path):
    rows = [("a", "c", "R1", 0, 0, 10, 10), ("a", "c", "R2", 0, 0, 10, 5), ("a", "other", "R3")]
    rows += [
        ("b", "c", "R1", 0, 0, 4, 4),
        ("b", "c", "R2", 0, 0, 4, 4),
        ("d", "other", "R1"),
        ("e", "c", "R1", 0, 0, 1, 1),
    ]
    cohort = Cohort(None, annotation_rows(*rows), None, None, tmp_path, {})
    found = disagreement(cohort, "c", pd.Index(list("abde")))
    # a: R1 and R2 overlap by half, both differ from R3; b: the same box; d: nobody; e: one reader alone
    assert found[["a", "b"]].tolist() == pytest.approx([1 - 0.5 / 3, 0])
    assert found[["d", "e"]].isna().all()


def test_the_iou_that_sorts_is_notebook_06_s(results):
    found = heatmap_iou(results, "Cardiomegaly").dropna()
    cases = boxed_cases(results.cohort, results.probabilities)
    cases = cases[cases["class_name"] == "Cardiomegaly"]
    maps = results.explanations.maps_of(cases)
    expected = score_maps(results.cohort, cases, maps, INPUT_SIZE, [SCORED_SHARE]).set_index("image_id")
    pd.testing.assert_series_equal(found, expected["all_pairs"], check_names=False)


# --- the browser


def drawn(browser: HeatmapBrowser) -> bytes:
    """What the first tab has to show, from the library."""
    results, view = browser.results, browser.view
    return render(results.cohort.images([view.image_id])[0], results.evidence(view), browser.heatmap.look)


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


def smooth(results, image_ids):
    return some_studies(results.explanations, image_ids, torch.rand(len(image_ids), 3, 4, 4))


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
    zeros = some_studies(results.explanations, ["study00"], torch.zeros(1, 3, 4, 4))
    browser = HeatmapBrowser(results.cohort, zeros)
    assert "the heatmap is zero" in browser.heatmap.numbers.value and "0.000" in browser.heatmap.numbers.value


def test_layers_are_offered_where_there_are_several(results):
    deep, shallow = smooth(results, ["study00"]), smooth(results, ["study00"])
    browser = HeatmapBrowser(
        results.cohort, {"Grad-CAM": results.explanations, "Layers": {"layer4": deep, "layer3": shallow}}
    )
    assert browser.layer.layout.display == "none"
    browser.method.value = "Layers"
    assert browser.layer.layout.display == "" and browser.layer.options == ("layer4", "layer3")
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


def test_an_error_replaces_the_picture_and_is_not_swallowed(browser):
    broken = dataclasses.replace(browser.results.cohort, pixels=None)
    object.__setattr__(browser.results, "cohort", broken)
    with pytest.raises(TypeError):
        browser.share.value = 0.3
    assert browser.heatmap.picture.image == b"" and "could not be drawn" in browser.heatmap.picture.caption


# --- perturbation


def test_the_perturbation_tab_shows_what_the_library_computes(browser):
    results = browser.results
    browser.tab.value = "perturbation"
    browser.class_name.value, browser.chooser.study.value = "Cardiomegaly", "study03"
    browser.share.value, browser.perturbation.kernel.value = 0.2, 11
    browser.perturbation.latest.wait()
    row = results.probabilities.index.get_loc("study03")
    drops = perturb(
        results.network,
        to_input(results.cohort.images(["study03"]), INPUT_SIZE),
        results.explanations.maps[row : row + 1],
        torch.tensor(results.probabilities.to_numpy()[row : row + 1]),
        0.0,
        [0.2],
        [11],
        8,
    )
    drop = drops[(drops["heatmap_class"] == 1) & (drops["transform"] == "blur 11")].iloc[0]
    for number, p in enumerate(results.probabilities.loc["study03"]):
        assert f"<td>{-drop[number]:+.3f}</td>" in browser.perturbation.table.value
        assert f"{p - drop[number]:.3f}</td>" in browser.perturbation.table.value
    assert browser.perturbation.busy.value == ""
    assert browser.perturbation.before.image != browser.perturbation.after.image != b""


def test_only_the_newest_request_is_answered():
    started, go_on, worked, shown = threading.Event(), threading.Event(), [], []

    def work(request):
        worked.append(request)
        started.set()
        go_on.wait(10)
        return request * 10

    latest = LatestOnly(work, lambda request, result: shown.append((request, result)))
    latest.ask(1)
    started.wait(10)
    for request in (2, 3, 4):
        latest.ask(request)
    go_on.set()
    latest.wait()
    assert worked == [1, 4] and shown == [(4, 40)]
    latest.ask(5)
    latest.forget()
    latest.wait()
    assert shown == [(4, 40)]


def test_without_a_network_the_tabs_that_need_one_say_so(results):
    browser = HeatmapBrowser(results.cohort, results.methods, tab="perturbation")
    assert "opened without one" in browser.perturbation.before.caption
    browser.tab.value = "own image"
    assert "opened without one" in browser.own.picture.caption


# --- comparison


def test_the_same_study_under_all_methods(results):
    browser = HeatmapBrowser(
        results.cohort, {"Grad-CAM": results.explanations, "Smooth": smooth(results, ["study00"])}, tab="comparison"
    )
    assert browser.comparison.mode.value == METHODS
    pictures = browser.comparison.grid.children
    for picture, method in zip(pictures, ["Grad-CAM", "Smooth"], strict=True):
        view = View("study00", CLASSES[0], method, browser.layer.value, 0.05)
        evidence = browser.results.evidence(view)
        expected = render(results.cohort.images(["study00"])[0], evidence, browser.heatmap.look, 384)
        assert picture.image == expected and method in picture.caption
    browser.chooser.next.click()
    assert "no heatmap" in pictures[1].caption


def test_two_studies_side_by_side(browser):
    browser.tab.value = "comparison"
    browser.comparison.mode.value = STUDIES
    browser.comparison.study.value = "study07"
    assert [picture.caption.split(":")[0].split()[-1] for picture in browser.comparison.grid.children] == [
        "study00",
        "study07",
    ]
    browser.chooser.search.value = "study00"
    assert "No other study" in browser.comparison.pictures[0].caption and len(browser.comparison.grid.children) == 1


def test_two_runs_of_the_same_study(folder):
    browsable_run(folder.parent / "second", seed=1)
    second_run = load_results(folder.parent / "second", with_network=False)
    browser = open_run(folder)
    browser.tab.value = "comparison"
    browser.comparison.mode.value = RUNS
    assert browser.comparison.run.options == ("second",)
    first, second = browser.comparison.grid.children
    view = second_run.first_view("study00", CLASSES[0], 0.05)
    assert second.image == render(
        second_run.cohort.images(["study00"])[0], second_run.evidence(view), browser.heatmap.look, 384
    )
    assert second.caption.startswith("second: ") and first.image != second.image
    save_explanations(smooth(second_run, ["study05"]), folder.parent / "second" / "maps" / "test.npz")
    browser = open_run(folder)
    browser.tab.value, browser.comparison.mode.value = "comparison", RUNS
    assert "does not hold the study study00" in browser.comparison.pictures[0].caption


# --- own image


def encoded(suffix: str, pixels: np.ndarray, folder) -> bytes:
    if suffix == ".dcm":
        return write_dicom(folder / "own.dcm", pixels.astype(np.uint16), BitsStored=12, HighBit=11).read_bytes()
    return cv2.imencode(suffix, pixels)[1].tobytes()


def uploaded(name: str, content: bytes) -> tuple:
    about = {"name": name, "size": len(content), "type": "", "last_modified": LONG_AGO}
    return (about | {"content": memoryview(content)},)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".dcm"])
def test_an_own_image_is_predicted_and_explained_like_the_run_s(browser, suffix, tmp_path):
    pixels = np.linspace(0, 255, 120 * 100).reshape(120, 100).astype(np.uint8)
    browser.tab.value = "own image"
    browser.own.upload.value = uploaded(f"mine{suffix}", encoded(suffix, pixels, tmp_path))
    stored = browser.own.own.pixels
    np.testing.assert_allclose(stored.astype(int), resize_square(pixels, SIZE), atol=4)
    maps, probabilities = explain(browser.results.network, to_input(stored[None], INPUT_SIZE), "layer4", 1)
    evidence = evidence_of(maps[0, 0], NOBODY, 0.05, INPUT_SIZE, SIZE)
    assert browser.own.picture.image == render(stored, evidence)
    for p in probabilities[0]:
        assert f"{p:.3f}" in browser.own.table.value
    assert "not for diagnosis" in browser.own.picture.alt
    browser.class_name.value = "Cardiomegaly"
    assert "Cardiomegaly" in browser.own.picture.caption


def test_a_file_that_is_no_radiograph_is_refused_by_name(browser):
    browser.tab.value = "own image"
    browser.own.upload.value = uploaded("holiday.png", b"no picture")
    assert "holiday.png: not a readable PNG" in browser.own.picture.caption and browser.own.picture.image == b""


# --- what is kept


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
    assert "study00" in text and "study01" in text and "IoU, all pairs" in text


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
    results.cohort.labels[CLASSES[:2]] = 0
    assert not contact_sheet(browser).axes


# --- the page of its own


def test_a_run_that_is_not_finished_is_a_sentence(tmp_path, capsys):
    assert "run notebook 01_data first" in open_run(tmp_path).value
    assert run_all.main(["smoke", "--browse", "--out", str(tmp_path)]) == 2
    assert "up to 04 first" in capsys.readouterr().err


def test_the_page_is_a_notebook_that_opens_the_run(folder):
    cells = json.loads(write_page(folder).read_text())["cells"]
    scope = {}
    exec(cells[0]["source"].replace("open_run(", "browser = open_run("), scope)
    assert scope["browser"].results.cohort.folder == folder / "data"


def test_stored_methods_are_found(folder):
    results = load_results(folder)
    maps = torch.rand(1, 3, 4, 4)
    kept = keep_smooth(results.explanations, ["study03"], {0.1: maps}, folder / "maps")
    assert list(kept) == ["Grad-CAM", "SmoothGrad 0.1"]
    (folder / "maps" / "test-SmoothGrad 0.1.npz").rename(folder / "maps" / "test-SmoothGrad 0.1@layer3.npz")
    found = load_results(folder).methods["SmoothGrad 0.1"]["layer3"]
    assert found.probabilities.index.tolist() == ["study03"] and torch.equal(found.maps, maps)
    stale = dataclasses.replace(smooth(results, ["study03"]), identity="of another model")
    save_explanations(stale, folder / "maps" / "test-SmoothGrad 0.1@layer3.npz")
    assert list(load_results(folder).methods) == ["Grad-CAM"]
    (folder / "maps" / "test-SmoothGrad 0.1@layer3.npz").unlink()


def test_the_command_starts_without_torch():
    code = "import sys, run_all; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_encoded_picture_is_the_composed_one_but_for_the_eye(results):
    evidence, pixels = (
        results.evidence(results.first_view("study00", CLASSES[0], 0.1)),
        results.cohort.images(["study00"])[0],
    )
    error = decoded(render(pixels, evidence)).astype(int) - compose(pixels, evidence, Look())
    assert np.abs(error).mean() < 2
