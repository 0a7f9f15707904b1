"""The tabs of the heatmap browser: perturbation, comparison, own image."""

import threading

import cv2
import numpy as np
import pytest
import torch
from browsable import CLASSES, INPUT_SIZE, SIZE, browsable_run, smooth, uploaded
from fixtures import annotation_rows, write_dicom

from cxrlib.data.images import resize_square
from cxrlib.evaluate.perturbation import perturb
from cxrlib.explain.batched import explain
from cxrlib.explain.explanations import save_explanations
from cxrlib.model.networks import to_input
from cxrlib.runtime.numerals import number_text
from cxrlib.show.browse import HeatmapBrowser, open_run
from cxrlib.show.browse.browsed import View, evidence_of, load_results
from cxrlib.show.browse.latest import LatestOnly
from cxrlib.show.browse.overlay import render
from cxrlib.show.browse.side_by_side import METHODS, RUNS, STUDIES

NOBODY = annotation_rows()[["rad_id", "x_min", "y_min", "x_max", "y_max"]]


def test_the_perturbation_tab_shows_what_the_library_computes(browser):
    results = browser.results
    browser.tab.value = "perturbation"
    browser.class_name.value, browser.chooser.study.value = "Cardiomegaly", "study03"
    browser.share.value, browser.perturbation.kernel.value = 0.2, 11
    browser.panels.latest.wait()
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
        assert f"<td>{number_text(-drop[number], 3, '+')}</td>" in browser.perturbation.table.value
        assert f"{p - drop[number]:.3f}</td>" in browser.perturbation.table.value
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
    go_on.clear()
    latest.ask(5)
    latest.forget()
    go_on.set()
    latest.wait()
    assert shown == [(4, 40)]


def test_without_a_network_the_tabs_that_need_one_say_so(results):
    browser = HeatmapBrowser(results.cohort, results.methods, tab="perturbation")
    assert "opened without one" in browser.perturbation.before.caption
    browser.tab.value = "own image"
    assert "opened without one" in browser.own.picture.caption


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
    browser.chooser.next.click()  # no picture without a map
    assert [picture.caption.split(",")[0] for picture in browser.comparison.grid.children] == ["Grad-CAM"]
    assert "Not stored for this study: Smooth." in browser.comparison.note.value


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


def test_two_runs_of_the_same_study(own_run):
    browsable_run(own_run.parent / "second", seed=1)
    second_run = load_results(own_run.parent / "second", with_network=False)
    browser = open_run(own_run)
    browser.tab.value = "comparison"
    browser.comparison.mode.value = RUNS
    browser.panels.latest.wait()
    assert browser.comparison.run.options == ("second",)
    first, second = browser.comparison.grid.children
    view = second_run.first_view("study00", CLASSES[0], 0.05)
    assert second.image == render(
        second_run.cohort.images(["study00"])[0], second_run.evidence(view), browser.heatmap.look, 384
    )
    assert second.caption.startswith("second: ") and first.image != second.image
    save_explanations(smooth(second_run, ["study05"]), own_run.parent / "second" / "maps" / "test.npz")
    browser = open_run(own_run)
    browser.tab.value, browser.comparison.mode.value = "comparison", RUNS
    browser.panels.latest.wait()
    assert "does not hold the study study00" in browser.comparison.pictures[0].caption


def encoded(suffix: str, pixels: np.ndarray, folder) -> bytes:
    if suffix == ".dcm":
        return write_dicom(folder / "own.dcm", pixels.astype(np.uint16), BitsStored=12, HighBit=11).read_bytes()
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".dcm"])
def test_an_own_image_is_predicted_and_explained_like_the_run_s(browser, suffix, tmp_path):
    pixels = np.linspace(0, 255, 120 * 100).reshape(120, 100).astype(np.uint8)
    browser.tab.value = "own image"
    browser.own.upload.value = uploaded(f"mine{suffix}", encoded(suffix, pixels, tmp_path))
    browser.panels.latest.wait()
    stored = browser.own.explained(browser.own.upload.value[0]).pixels
    np.testing.assert_allclose(stored.astype(int), resize_square(pixels, SIZE), atol=4)
    maps, probabilities = explain(browser.results.fast_network, to_input(stored[None], INPUT_SIZE), "layer4", 1)
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
    browser.panels.latest.wait()
    assert "holiday.png: not a readable PNG" in browser.own.picture.caption and browser.own.picture.image == b""
