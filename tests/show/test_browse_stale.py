"""What is shown belongs to what is chosen: for every control of the heatmap browser, whatever else happens."""

import dataclasses
import random
import shutil
import threading

import cv2
import numpy as np
import pytest
import torch
from browsable import CLASSES, browsable_run, smooth, uploaded
from ipywidgets import HTML, Button, DOMWidget, ValueWidget

from cxrlib.data import images as image_files
from cxrlib.explain.explanations import save_explanations
from cxrlib.run import Run
from cxrlib.runtime.errors import Refusal
from cxrlib.show.browse import HeatmapBrowser, open_run, show_browser
from cxrlib.show.browse import chooser as chooser_module
from cxrlib.show.browse import own as own_module
from cxrlib.show.browse.panel import offer
from cxrlib.show.browse.shown import Content
from cxrlib.show.browse.side_by_side import METHODS, RUNS, STUDIES

pytestmark = pytest.mark.slow

CHEST = cv2.imencode(".png", np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8))[1].tobytes()
OTHER = cv2.imencode(".png", np.linspace(255, 0, 64 * 64).reshape(64, 64).astype(np.uint8))[1].tobytes()


# the controls, in the order in which a fresh browser is given their values: each with the tab on which it is and the
# values that are tried; a button has none
CONTROLS = {
    "class_name": ("heatmap", CLASSES),
    "method": ("heatmap", ["Layers", "Grad-CAM", "Smooth", "Gradient", "LayerCAM"]),
    "layer": ("heatmap", ["layer3", "layer4", "last block"]),
    "compute": ("heatmap", None),
    "share": ("heatmap", [0.2, 0.05]),
    "chooser.search": ("heatmap", ["study0", "", "nothing like it", "study03"]),
    "chooser.shown": ("heatmap", ["labelled", "all studies", "not predicted"]),
    "chooser.only": ("heatmap", ["low IoU", "", "readers disagree"]),
    "chooser.order": ("heatmap", ["IoU", "stored order", "probability"]),
    "chooser.descending": ("heatmap", [True, False]),
    "chooser.study": ("heatmap", ["study03", "study05", "study00"]),
    "chooser.clear": ("heatmap", None),
    "chooser.unfold": ("heatmap", [True, False]),
    "chooser.previous": ("heatmap", None),
    "chooser.next": ("heatmap", None),
    "heatmap.opacity": ("heatmap", [0.2, 0.7]),
    "heatmap.window": ("heatmap", [90, 255]),
    "heatmap.level": ("heatmap", [60, 128]),
    "heatmap.colours": ("heatmap", ["viridis", "magma"]),
    "heatmap.heatmap": ("heatmap", [False, True]),
    "heatmap.contours": ("heatmap", [False, True]),
    "heatmap.cells": ("heatmap", [True, False]),
    "heatmap.mask": ("heatmap", [False, True]),
    "heatmap.predicted": ("heatmap", [False, True]),
    "heatmap.readers0": ("heatmap", [False, True]),
    "heatmap.readers1": ("heatmap", [False, True]),
    "heatmap.readers2": ("heatmap", [False, True]),
    "heatmap.readers3": ("heatmap", [False, True]),
    "perturbation.kernel": ("perturbation", [21, 0]),
    "comparison.mode": ("comparison", [STUDIES, RUNS, METHODS]),
    "comparison.run": ("comparison", ["second"]),
    "comparison.study": ("comparison", ["study07", "study05"]),
    "own.upload": ("own image", [uploaded("a.png", CHEST), uploaded("b.png", OTHER), uploaded("c.png", b"none"), ()]),
    "reset": ("heatmap", None),
    "tab": ("heatmap", ["perturbation", "comparison", "own image", "heatmap"]),
    "save": ("heatmap", None),
    "add": ("heatmap", None),
    "export": ("heatmap", None),
}
DOWNLOADS = ["save", "add", "export"]


def named(browser: HeatmapBrowser) -> dict[str, DOMWidget]:
    """All controls in the browser's tree of widgets, by the names of the attributes that hold them."""
    names = {}
    for prefix in ("", "chooser", "heatmap", "perturbation", "comparison", "own"):
        for attribute, value in vars(getattr(browser, prefix) if prefix else browser).items():
            for number, one in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(one, DOMWidget):
                    name = attribute + (str(number) if isinstance(value, list) else "")
                    names.setdefault(one.model_id, f"{prefix}.{name}".lstrip("."))
    found, to_visit = {}, [browser]
    while to_visit:
        widget = to_visit.pop()
        to_visit += getattr(widget, "children", ())
        if isinstance(widget, (ValueWidget, Button)) and not isinstance(widget, HTML):
            found[names.get(widget.model_id, repr(widget))] = widget
    return found


def move(browser: HeatmapBrowser, name: str, value: object) -> None:
    """Move a control by hand; what the page does not offer now cannot be chosen."""
    control = named(browser)[name]
    if isinstance(control, Button):
        if not control.disabled:
            control.click()
    elif not hasattr(control, "options") or value in [offered for _, offered in control._options_full]:
        control.value = value


def page(browser: HeatmapBrowser) -> dict:
    """Everything that stands on the page beside the controls' own values."""
    browser.panels.latest.wait()
    panels = browser.panels.children
    shown = {}
    for panel in panels:
        pictures = [(picture.image, picture.caption, picture.alt) for picture in panel.pictures]
        while pictures and pictures[-1] == (b"", "", ""):
            pictures.pop()
        shown[type(panel).__name__] = (pictures, {name: place.value for name, place in panel.texts.items()})
    switches = [(switch.layout.visibility, switch.description) for switch in browser.heatmap.readers]
    shown["readers"] = switches if browser.tab.value == "heatmap" else None
    shown["layers"] = browser.layer.options, browser.layer.layout.visibility
    shown["studies"] = browser.chooser.study.options, browser.chooser.count.value
    shown["buttons"] = browser.save.disabled, browser.chooser.next.disabled
    shown["compute"] = browser.compute.layout.visibility, browser.compute.disabled, browser.compute.description
    shown["open"] = browser.panels.selected_index
    if browser.tab.value == "comparison":
        shown["grid"] = len(browser.comparison.grid.children), browser.comparison.study.layout.display
    return shown


def places(browser: HeatmapBrowser) -> list:
    """All pictures and texts that are not empty."""
    browser_page = [part for panel in browser.panels.children for part in (panel.pictures, panel.texts.values())]
    return [one for part in browser_page for one in part if getattr(one, "image", b"") or getattr(one, "value", "")]


def told(browser: HeatmapBrowser) -> str:
    """The only sentence on an otherwise empty page."""
    assert places(browser) == []
    captions = [picture.caption for panel in browser.panels.children for picture in panel.pictures]
    (sentence,) = filter(None, captions)
    assert not any(switch.description for switch in browser.heatmap.readers)
    return sentence


@pytest.fixture(scope="module")
def second_run(tmp_path_factory):
    return browsable_run(tmp_path_factory.mktemp("outputs") / "second", seed=1)


@pytest.fixture
def open_browser(results, second_run):
    """Opens browsers of one run with three methods, one of them with two layers, and of a second run."""
    maps = {
        "Grad-CAM": results.explanations,
        "Smooth": smooth(results, ["study03"]),
        "Layers": {"layer4": smooth(results, ["study00", "study03"]), "layer3": smooth(results, ["study05"])},
    }
    return lambda: HeatmapBrowser(results.cohort, maps, results.network, runs={"second": second_run})


def test_every_control_has_a_rule_here(open_browser):
    assert sorted(named(open_browser())) == sorted(CONTROLS)


@pytest.mark.parametrize("name", [name for name in CONTROLS if name != "chooser.unfold"])  # it asks for nothing
def test_a_control_leaves_nothing_of_what_was_shown_before_where_its_content_fails(open_browser, name):
    tab, values = CONTROLS[name]
    browser = open_browser()
    browser.tab.value = tab
    if name == "layer":
        browser.method.value = "Layers"
    if name == "compute":
        browser.method.value = "Gradient"
    if name == "comparison.study":
        browser.comparison.mode.value = STUDIES
    browser.chooser.next.click()
    browser.own.upload.value = uploaded("before.png", CHEST)
    if name == "comparison.run":
        browser.comparison.run.options = [*browser.comparison.run.options, "third"]
        values = ["third"]
    if name in DOWNLOADS:
        browser.case = lambda: 1 / 0
        browser.cases, browser.export.disabled = [None], False  # no case, of which no page can be made
    page(browser)
    assert places(browser)

    def fail(_choice):
        raise ZeroDivisionError("on purpose")

    for panel in browser.panels.children:
        panel.content = fail
    move(browser, name, values and next(value for value in values if value != named(browser)[name].value))
    browser.panels.latest.wait()
    assert "could not be drawn" in told(browser)


@pytest.mark.parametrize("seed", range(4))
def test_after_any_moves_the_page_is_that_of_a_fresh_browser_with_the_same_choices(open_browser, seed):
    moves, walked = random.Random(seed), open_browser()
    by_hand = [name for name in CONTROLS if name not in [*DOWNLOADS, "compute"]]
    for _ in range(3):
        for name in moves.choices(by_hand, k=12):
            move(walked, name, CONTROLS[name][1] and moves.choice(CONTROLS[name][1]))
        fresh = open_browser()
        for name in by_hand:
            control = named(walked)[name]
            if not isinstance(control, Button) and name != "comparison.study":
                named(fresh)[name].value = control.value
        if walked.tab.value == "comparison" and walked.comparison.mode.value == STUDIES:
            offer(fresh.comparison.study, list(walked.comparison.study.options), walked.comparison.study.value)
        assert page(walked) == page(fresh)


@pytest.mark.parametrize("name", ["share", "class_name", "chooser.study", "perturbation.kernel"])
def test_while_a_result_is_computed_the_one_before_is_gone(open_browser, name):
    browser, go_on = open_browser(), threading.Event()
    browser.tab.value = "perturbation"
    browser.chooser.study.value = "study06"
    browser.panels.latest.wait()
    compute = browser.perturbation.content
    browser.perturbation.content = lambda choice: go_on.wait(10) and compute(choice)
    move(browser, name, CONTROLS[name][1][1 if name == "class_name" else 0])
    assert told(browser) == "one forward pass ..."
    go_on.set()
    browser.panels.latest.wait()
    assert browser.perturbation.after.image and browser.view.class_name in browser.perturbation.before.caption
    assert f"top {browser.share.value:.0%}" in browser.perturbation.before.caption


def test_a_result_that_comes_after_another_tab_was_opened_is_not_shown(open_browser):
    browser, go_on = open_browser(), threading.Event()
    compute = browser.perturbation.content
    browser.perturbation.content = lambda choice: go_on.wait(10) and compute(choice)
    browser.tab.value = "perturbation"
    browser.tab.value = "heatmap"
    go_on.set()
    browser.panels.latest.wait()
    assert browser.heatmap.picture.image and not browser.perturbation.before.image
    assert not browser.perturbation.table.value and not browser.perturbation.before.caption


def test_no_study_empties_every_tab_with_one_sentence_and_the_same_study_comes_back(open_browser):
    browser = open_browser()
    browser.chooser.study.value = "study05"
    before = {}
    for tab in browser.tab.options[:3]:
        browser.tab.value = tab
        before[tab] = page(browser)
        browser.chooser.search.value = "nothing like it"
        assert told(browser) == browser.chooser.count.value == "No study of 12 passes the filters; change them."
        assert browser.save.disabled and browser.add.disabled
        browser.chooser.search.value = ""
        assert page(browser) == before[tab]


def test_the_menu_of_other_studies_is_empty_where_no_study_passes(open_browser):
    browser = open_browser()
    browser.tab.value, browser.comparison.mode.value = "comparison", STUDIES
    browser.chooser.search.value = "nothing like it"
    assert browser.comparison.study.options == () and told(browser)


def test_an_own_image_stays_where_no_study_passes(open_browser):
    browser = open_browser()
    browser.tab.value, browser.own.upload.value = "own image", uploaded("mine.png", CHEST)
    before = page(browser)["OwnPanel"]
    browser.chooser.search.value = "nothing like it"
    assert page(browser)["OwnPanel"] == before and before[0][0][0]


def test_comparing_with_readers_shows_no_study_meanwhile(open_browser, monkeypatch):
    browser, seen = open_browser(), []
    compute = chooser_module.heatmap_iou

    def watched(results, class_name, share):
        seen.append(told(browser))
        return compute(results, class_name, share)

    monkeypatch.setattr(chooser_module, "heatmap_iou", watched)
    browser.chooser.only.value = "low IoU"
    browser.class_name.value = "Cardiomegaly"
    assert seen == ["Comparing heatmaps with readers ..."] * 2 and browser.heatmap.picture.image
    assert ", IoU at 5% 0.0" in browser.chooser.count.value
    browser.chooser.only.value = ""
    assert "IoU" not in browser.chooser.count.value


def test_filters_that_fail_empty_the_list_and_the_page(open_browser, monkeypatch, caplog):
    browser = open_browser()
    monkeypatch.setattr(chooser_module, "heatmap_iou", lambda *_: 1 / 0)
    browser.chooser.order.value = "IoU"
    assert "ZeroDivisionError" in told(browser) and browser.chooser.study.options == ()
    assert "Traceback" in caplog.text
    browser.chooser.order.value = "stored order"
    assert browser.heatmap.picture.image and browser.image_id == "study00"


@pytest.mark.parametrize("error", [cv2.error("60000 x 60000"), MemoryError("too large"), ValueError(), Refusal("no")])
def test_an_own_image_that_cannot_be_read_replaces_the_one_before(open_browser, monkeypatch, error):
    browser = open_browser()
    browser.tab.value, browser.own.upload.value = "own image", uploaded("mine.png", CHEST)
    assert page(browser)["OwnPanel"][0][0][0]

    def fail(_path):
        raise error

    monkeypatch.setattr(image_files, "read_grey", fail)
    browser.own.upload.value = uploaded("huge.png", OTHER)
    browser.panels.latest.wait()
    sentence = told(browser)
    assert sentence == "no" if isinstance(error, Refusal) else "huge.png: not readable" in sentence
    browser.share.value = 0.3  # the reason stays as long as the file is chosen
    browser.panels.latest.wait()
    assert told(browser) == sentence


def test_the_second_own_image_overtakes_the_first(open_browser, monkeypatch):
    browser, started, go_on, read = open_browser(), threading.Event(), threading.Event(), own_module.read_upload

    def slow(name, content):
        started.set()
        go_on.wait(10)
        return read(name, content)

    monkeypatch.setattr(own_module, "read_upload", slow)
    browser.tab.value, browser.own.upload.value = "own image", uploaded("a.png", CHEST)
    assert "a.png" in told(browser) and started.wait(10)
    browser.own.upload.value = uploaded("b.png", OTHER)
    assert "b.png" in told(browser)
    go_on.set()
    shown = page(browser)["OwnPanel"]
    assert shown[0][0][1].startswith("b.png: ")
    fresh = open_browser()
    fresh.tab.value, fresh.own.upload.value = "own image", uploaded("b.png", OTHER)
    assert page(fresh)["OwnPanel"] == shown
    go_on.clear()
    browser.own.upload.value = uploaded("c.png", CHEST)
    assert "c.png" in told(browser)
    go_on.set()
    browser.own.upload.value = uploaded("d.png", CHEST)  # the same content under another name
    assert page(browser)["OwnPanel"][0][0][1].startswith("d.png: ")


def test_a_cleared_upload_clears_the_page(open_browser):
    browser = open_browser()
    browser.tab.value, browser.own.upload.value = "own image", uploaded("mine.png", CHEST)
    browser.panels.latest.wait()
    browser.own.upload.value = ()
    assert told(browser).startswith("Choose a DICOM")


def test_a_heatmap_of_zeros_is_said_on_every_tab_and_leaves_no_overlay(results, monkeypatch):
    maps = results.explanations.maps.clone()
    maps[0, 1] = 0
    zero = results.explanations.with_maps(maps)
    browser = HeatmapBrowser(results.cohort, zero, results.network)
    monkeypatch.setattr(
        own_module, "gradcam", lambda network, inputs, layer: (torch.zeros(1, 3, 4, 4), network(inputs).detach())
    )
    browser.own.upload.value = uploaded("mine.png", CHEST)
    browser.class_name.value = "Cardiomegaly"
    sentence = "This map is zero"
    assert sentence in browser.heatmap.note.value and sentence in browser.heatmap.picture.alt
    with_heatmap = browser.heatmap.picture.image
    browser.heatmap.heatmap.value = browser.heatmap.mask.value = browser.heatmap.predicted.value = False
    assert browser.heatmap.picture.image == with_heatmap
    browser.tab.value = "perturbation"
    assert sentence in told(browser)
    browser.tab.value = "comparison"
    assert sentence in browser.comparison.pictures[0].caption
    browser.tab.value = "own image"
    browser.panels.latest.wait()
    assert sentence in browser.own.note.value


def test_another_run_is_read_again_when_it_changed_and_told_when_it_is_gone(own_run):
    folder = browsable_run(own_run.parent / "second", seed=1)
    browser = open_run(own_run)
    browser.tab.value, browser.comparison.mode.value = "comparison", RUNS
    first = page(browser)["ComparePanel"][0][1]
    shutil.rmtree(folder)
    browsable_run(folder, seed=2)
    browser.share.value = 0.06
    browser.share.value = 0.05
    assert page(browser)["ComparePanel"][0][1] != first
    shutil.rmtree(folder)
    browser.class_name.value = "Cardiomegaly"
    browser.panels.latest.wait()
    assert "The run second cannot be opened" in told(browser)


@pytest.mark.parametrize(
    "name", ["data/cohort.json", "data/pixels.npy", "maps/test.npz", "models/3_labels.safetensors"]
)
def test_a_run_that_was_made_again_or_removed_is_not_shown_any_more(own_run, name):
    browser = open_run(own_run)
    picture = browser.heatmap.picture.image
    path = own_run / name
    aside = path.rename(own_run / "aside")
    for tab in browser.tab.options[1:]:
        browser.tab.value = tab
        assert f"{path} is gone" in told(browser)
    shutil.copy(aside, path)
    browser.tab.value = "heatmap"
    assert f"{path} was made again" in told(browser)
    browser.save.click()
    assert f"{path} was made again" in told(browser)
    path.unlink()
    aside.rename(path)
    browser.share.value = 0.06
    browser.share.value = 0.05
    assert browser.heatmap.picture.image == picture


def test_a_notebook_does_not_show_maps_that_were_made_again(own_run):
    run = Run("05_smoothgrad", own_run, compute={})
    another = dataclasses.replace(run.explanations, identity="of another model")
    save_explanations(another, own_run / "maps" / "test.npz")
    with pytest.raises(Refusal, match="made again"):
        show_browser(run)


def test_a_content_leaves_empty_what_it_does_not_name(browser):
    assert places(browser)
    browser.heatmap.put(Content(texts={"note": "only this"}))
    (place,) = places(browser)
    assert place is browser.heatmap.note and browser.heatmap.picture.caption == ""


def test_the_kernel_answers_the_page(browser):
    sent = []
    browser.heatmap.picture.send = lambda content, buffers=None: sent.append(content)
    browser.heatmap.picture._handle_custom_msg({"question": 7}, [])
    assert sent == [{"answer": 7}]
