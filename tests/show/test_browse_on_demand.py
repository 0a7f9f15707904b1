"""Maps that no notebook has stored: offered, computed in the background, shown like stored ones."""

import asyncio
import dataclasses
import threading

import pytest
import torch
from browsable import CLASSES, INPUT_SIZE, smooth
from fixtures import SmallNet
from torch import nn

from cxrlib.explain import methods
from cxrlib.explain.explanations import save_explanations
from cxrlib.model.networks import normalise, to_input
from cxrlib.runtime.files import read_json, write_json
from cxrlib.show.browse import HeatmapBrowser, browsed, on_demand, open_run
from cxrlib.show.browse.on_demand import LAST_LAYER, Later, MapKey, OnDemand
from cxrlib.show.browse.overlay import render

TITLES = [methods.find(name).title for name in methods.names()]


@pytest.fixture
def browser(results):
    return HeatmapBrowser(results.cohort, results.methods, results.network)


def values(menu) -> list[str]:
    return [value for _, value in menu.options]


def said(menu) -> list[str]:
    return [text for text, _ in menu.options]


def choose(browser: HeatmapBrowser, method: str, layer: str = LAST_LAYER) -> None:
    browser.method.value = method
    if len(browser.layer.options) > 1:
        browser.layer.value = layer


def compute(browser: HeatmapBrowser) -> None:
    assert not browser.compute.disabled and browser.compute.layout.visibility == "visible"
    browser.compute.click()
    browser.panels.latest.wait()


def drawn(browser: HeatmapBrowser) -> bytes:
    results, view = browser.results, browser.view
    return render(results.cohort.images([view.image_id])[0], results.evidence(view), browser.heatmap.look)


def own_maps(results, image_id: str, name: str, **parameters) -> torch.Tensor:
    """What the method makes of the run's network and a study."""
    images = normalise(to_input(results.cohort.images([image_id]), INPUT_SIZE))
    return methods.find(name)(results.network, images, None, **parameters)[0]


def test_stored_methods_come_first_and_every_other_one_can_be_computed(results):
    stored = {"Grad-CAM": results.explanations, "Smooth": smooth(results, ["study00"]), "LRP": results.explanations}
    browser = HeatmapBrowser(results.cohort, stored, results.network)
    assert values(browser.method) == ["Grad-CAM", "Smooth", "LRP", *(t for t in TITLES if t not in stored)]
    assert said(browser.method)[:4] == ["Grad-CAM", "Smooth", "LRP", "Grad-CAM++ (compute)"]
    without = HeatmapBrowser(results.cohort, stored)
    assert values(without.method) == ["Grad-CAM", "Smooth", "LRP"]
    assert without.compute.layout.visibility == "hidden" and without.compute.disabled
    assert without.layer.layout.visibility == "hidden"


def test_layers_of_the_network_are_offered_behind_the_stored_ones(results):
    maps = smooth(results, ["study00"])
    stored = {"Grad-CAM": results.explanations, "LayerCAM": {"layer3": maps, "layer4": maps}, "LRP": maps}
    browser = HeatmapBrowser(results.cohort, stored, results.network)
    assert said(browser.layer) == ["last block", "layer1 (compute)", "layer2 (compute)", "layer3 (compute)"]
    browser.method.value = "LayerCAM"
    assert said(browser.layer) == ["layer3", "layer4", "layer1 (compute)", "layer2 (compute)"]
    browser.method.value = "Score-CAM"
    assert said(browser.layer) == ["last block", "layer1", "layer2", "layer3"]  # the method says that it is computed
    for method in ("LRP", "Gradient"):
        browser.method.value = method
        assert browser.layer.layout.visibility == "hidden" and browser.layer.value == LAST_LAYER


@pytest.mark.parametrize(
    ("title", "layer", "name", "parameters"),
    [
        ("LRP", LAST_LAYER, "lrp", {}),
        ("Guided backpropagation", LAST_LAYER, "guided_backprop", {}),
        ("LayerCAM", "layer2", "layercam", {"layer": "layer2"}),
        ("Grad-CAM", "layer3", "gradcam", {"layer": "layer3"}),
        ("Grad-CAM++", LAST_LAYER, "gradcam_plus_plus", {"layer": "layer4"}),
    ],
)
def test_a_computed_map_is_the_library_s_and_works_like_a_stored_one(browser, title, layer, name, parameters):
    choose(browser, title, layer)
    bare = browser.heatmap.picture.image
    assert "is not computed for this study" in browser.heatmap.note.value and "3 classes" in browser.heatmap.note.value
    assert bare == drawn(browser) and browser.results.evidence(browser.view).heatmap is None
    compute(browser)
    expected = own_maps(browser.results, "study00", name, **parameters)
    for number, class_name in enumerate(CLASSES):
        browser.class_name.value = class_name
        torch.testing.assert_close(browser.results.raw_map(browser.view), expected[number])
        assert browser.heatmap.picture.image == drawn(browser) != bare
    assert browser.heatmap.note.value == "" and browser.compute.layout.visibility == "hidden"
    assert title in browser.heatmap.picture.caption and (layer in browser.heatmap.picture.caption) is bool(
        parameters.get("layer") == layer
    )
    browser.class_name.value = CLASSES[0]
    browser.share.value = 0.2
    assert browser.results.evidence(browser.view).mask.any() and "IoU" in browser.heatmap.numbers.value
    browser.tab.value = "perturbation"
    browser.panels.latest.wait()
    assert browser.perturbation.after.image not in (b"", browser.perturbation.before.image)
    browser.tab.value = "comparison"
    captions = [picture.caption for picture in browser.comparison.grid.children]
    assert len(captions) == 2 and "Grad-CAM" in captions[0] and title in captions[1]


def test_going_back_is_instant_and_another_study_has_no_map(browser):
    choose(browser, "Gradient")
    compute(browser)
    picture = browser.heatmap.picture.image
    browser.chooser.next.click()
    assert "is not computed" in browser.heatmap.note.value and not browser.compute.disabled
    choose(browser, "Grad-CAM")
    choose(browser, "Gradient")
    browser.results.on_demand.make = None  # would raise
    browser.chooser.previous.click()
    assert browser.heatmap.picture.image == picture


def test_a_stored_method_that_lacks_a_study_is_computed_with_the_run_s_parameters(results):
    stored = {"Grad-CAM": results.explanations, "SmoothGrad": smooth(results, ["study03"])}
    parameters = {"smoothgrad": {"samples": 2}}
    browser = HeatmapBrowser(results.cohort, stored, results.network, parameters=parameters)
    choose(browser, "SmoothGrad")
    assert "2 forward and 6 backward passes" in browser.heatmap.note.value
    compute(browser)
    expected = own_maps(results, "study00", "smoothgrad", samples=2)
    torch.testing.assert_close(browser.results.raw_map(browser.view), expected[0])
    browser.chooser.study.value = "study03"
    assert torch.equal(browser.results.raw_map(browser.view), stored["SmoothGrad"].map("study03", CLASSES[0]))
    assert browser.compute.layout.visibility == "hidden"


def test_a_run_s_folder_gives_its_parameters_and_stays_as_it_is(own_run):
    params = read_json(own_run / "params.json")
    params["parameters"]["methods"]["compared"] = {"smoothgrad": {"samples": 2}}
    write_json(own_run / "params.json", params)
    save_explanations(smooth(open_run(own_run).results, ["study03"]), own_run / "maps" / "test-LRP.npz")
    browser = open_run(own_run)
    assert values(browser.method)[:2] == ["Grad-CAM", "LRP"]
    before = {path: path.stat().st_mtime_ns for path in own_run.rglob("*")}
    choose(browser, "SmoothGrad")
    assert "2 forward and 6 backward passes" in browser.heatmap.note.value
    compute(browser)
    assert browser.heatmap.picture.image == drawn(browser)
    assert {path: path.stat().st_mtime_ns for path in own_run.rglob("*")} == before
    path = own_run / "models" / "3_labels.safetensors"
    path.write_bytes(path.read_bytes())
    choose(browser, "LRP")
    browser.compute.click()
    browser.panels.latest.wait()
    assert f"{path} was made again" in browser.heatmap.picture.caption and not browser.heatmap.picture.image


class Smooth(SmallNet):
    """A network with an activation for which neither guided backpropagation nor LRP has a rule."""

    def __init__(self) -> None:
        super().__init__(len(CLASSES))
        self.relu = nn.SiLU()


def of_layer(results, layer: str):
    return dataclasses.replace(results.explanations, layer=layer)


@pytest.mark.parametrize(
    ("title", "layer", "words"),
    [
        ("Guided backpropagation", LAST_LAYER, "guided gradients have a rule for ReLU alone"),
        ("LRP", LAST_LAYER, "SiLU"),
        ("CAM", "first", "CAM needs average pooling"),
    ],
)
def test_a_method_that_the_network_cannot_have_says_so_and_breaks_nothing(results, title, layer, words):
    browser = HeatmapBrowser(results.cohort, of_layer(results, "relu"), Smooth().eval())
    if layer != LAST_LAYER:  # the menu of so small a network has one layer
        browser.results.on_demand._blocks = [layer]
    choose(browser, title, layer)
    bare = browser.heatmap.picture.image
    compute(browser)
    assert words in browser.heatmap.note.value and browser.heatmap.picture.image == bare == drawn(browser)
    assert browser.heatmap.probabilities.value and not browser.compute.disabled
    browser.tab.value = "perturbation"
    assert words in browser.perturbation.before.caption
    browser.tab.value = "heatmap"
    choose(browser, "Gradient")
    compute(browser)
    assert browser.heatmap.picture.image == drawn(browser) != bare


@pytest.fixture
def slow(browser, monkeypatch):
    """The browser with a method that waits for `go_on`, and the events of its beginning and its going on."""
    started, go_on, runs = threading.Event(), threading.Event(), []
    gradient = browser.results.on_demand.methods["Gradient"]

    def maps(network, images, classes=None):
        runs.append(len(runs))
        started.set()
        assert go_on.wait(10)
        return gradient(network, images, classes)

    monkeypatch.setitem(
        browser.results.on_demand.methods,
        "Gradient",
        dataclasses.replace(gradient, maps=maps, passes=lambda classes, size: gradient.passes(classes, size)),
    )
    browser.started, browser.go_on, browser.runs = started, go_on, runs
    return browser


def test_while_it_is_computed_the_page_is_busy_and_other_controls_do_not_begin_it_again(slow):
    choose(slow, "Gradient")
    slow.compute.click()
    assert slow.started.wait(10)
    assert slow.compute.description == "computing" and slow.compute.disabled
    assert slow.heatmap.picture.caption.startswith("computing Gradient: 1 forward") and not slow.heatmap.picture.image
    slow.share.value = 0.3
    slow.class_name.value = "Cardiomegaly"
    slow.tab.value = "perturbation"
    assert slow.perturbation.before.caption.startswith("computing Gradient")
    slow.tab.value = "heatmap"
    slow.go_on.set()
    slow.panels.latest.wait()
    assert slow.runs == [0] and slow.heatmap.picture.image == drawn(slow) and "top 30%" in slow.heatmap.picture.caption
    assert slow.compute.layout.visibility == "hidden" and slow.heatmap.note.value == ""


@pytest.mark.parametrize("change", ["method", "study", "layer"])
def test_an_answer_that_no_longer_belongs_to_the_choice_is_never_shown(slow, change):
    choose(slow, "Gradient")
    slow.compute.click()
    assert slow.started.wait(10)
    if change == "study":
        slow.chooser.next.click()
        assert not slow.compute.disabled and slow.compute.description == "compute"
    else:
        choose(slow, "Grad-CAM", "layer2" if change == "layer" else LAST_LAYER)
    shown = slow.heatmap.picture.image, slow.heatmap.picture.caption, slow.heatmap.note.value
    slow.go_on.set()
    slow.panels.latest.wait()
    assert (slow.heatmap.picture.image, slow.heatmap.picture.caption, slow.heatmap.note.value) == shown
    assert shown[0] == drawn(slow)
    slow.chooser.study.value = "study00"
    choose(slow, "Gradient")
    assert not slow.compute.disabled and slow.results.raw_map(slow.view) is None, "it was stopped half way"


def test_the_last_request_wins(slow):
    choose(slow, "Gradient")
    slow.compute.click()
    assert slow.started.wait(10)
    choose(slow, "Input x gradient")
    slow.compute.click()
    assert "computing Input x gradient" in slow.heatmap.picture.caption
    slow.go_on.set()
    slow.panels.latest.wait()
    expected = own_maps(slow.results, "study00", "input_x_gradient")
    torch.testing.assert_close(slow.results.raw_map(slow.view), expected[0])
    assert slow.heatmap.picture.image == drawn(slow) and "Input x gradient" in slow.heatmap.picture.caption
    assert [key.method for key in slow.results.on_demand.made_of("study00")] == ["Input x gradient"]


def test_an_error_is_told_once_and_can_be_tried_again(browser, monkeypatch, caplog):
    choose(browser, "Gradient")
    inputs = browser.results.on_demand.inputs
    browser.results.on_demand.inputs = lambda image_id: 1 / 0
    compute(browser)
    assert "ZeroDivisionError" in browser.heatmap.picture.caption and "Traceback" in caplog.text
    browser.share.value = 0.3
    assert "is not computed" in browser.heatmap.note.value and browser.heatmap.picture.image
    browser.results.on_demand.inputs = inputs
    compute(browser)
    assert browser.heatmap.picture.image == drawn(browser)


def test_own_images_and_filters_without_a_study_offer_nothing_to_compute(browser):
    choose(browser, "Gradient")
    browser.tab.value = "own image"
    assert browser.compute.layout.visibility == "hidden" and browser.compute.disabled
    browser.tab.value = "heatmap"
    browser.chooser.search.value = "nothing like it"
    assert browser.compute.layout.visibility == "hidden" and browser.compute.disabled
    browser.chooser.search.value = ""
    assert not browser.compute.disabled


class Looking(SmallNet):
    """A network that looks at its values, which cannot be run without any."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs if float(inputs.detach().mean()) > -9 else -inputs)


@pytest.mark.parametrize("network", [Looking(3), "inference copy"])
def test_a_network_without_layers_to_choose_is_browsed_too(results, network):
    network = results.fast_network if network == "inference copy" else network
    stored = results.explanations if network is results.fast_network else of_layer(results, "relu")
    browser = HeatmapBrowser(results.cohort, stored, network)
    for method in ("LayerCAM", "Gradient"):
        choose(browser, method)
        compute(browser)
        assert browser.heatmap.note.value == "" and browser.results.raw_map(browser.view) is not None


def test_memory_is_bounded_and_the_network_stays_as_it_was(monkeypatch):
    monkeypatch.setattr(on_demand, "KEPT", 3)
    network = SmallNet().train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    made = OnDemand(network, "relu", 3, 16, lambda _: torch.rand(1, 3, 16, 16), {})
    keys = [MapKey("Gradient", LAST_LAYER, f"study{number}") for number in range(5)]
    for key in keys:
        made.ask(key)
        made.make()
    assert [key for key in keys if made.maps(key) is not None] == keys[2:] and made.awaited is None
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert not network._forward_pre_hooks and not made._network._forward_pre_hooks
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])


def test_the_run_s_own_layer_of_a_method_stands_behind_the_name_of_the_last_block():
    made = OnDemand(SmallNet(), "second", 3, 16, lambda _: torch.rand(1, 3, 16, 16), {"layercam": {"layer": "first"}})
    assert made._settings("LayerCAM", LAST_LAYER) == {"layer": "first"}
    assert made._settings("LayerCAM", "relu") == {"layer": "relu"}
    assert made._settings("Grad-CAM", LAST_LAYER) == {"layer": "second"}
    assert made._settings("Gradient", LAST_LAYER) == {}
    assert made.layers("nothing like it") == []


def test_the_network_is_loaded_when_the_first_picture_is_on_the_page(own_run, monkeypatch):
    loads, load = [], browsed.load_checkpoint
    monkeypatch.setattr(browsed, "load_checkpoint", lambda *how: loads.append(how) or load(*how))
    browser = open_run(own_run)
    picture, said_before = browser.heatmap.picture.image, said(browser.method)
    assert loads == [] and picture == drawn(browser) and values(browser.layer) == [LAST_LAYER]
    for _ in range(2):  # a second page of the same kernel
        browser.heatmap.picture._answer(None, {"shown": True}, [])
    assert len(loads) == 1 and "layer3" in values(browser.layer) and said(browser.method) == said_before
    assert browser.heatmap.picture.image == picture


def test_the_page_answers_while_the_network_is_loaded(own_run, monkeypatch):
    go_on, load = threading.Event(), browsed.load_checkpoint

    def slow(*how):
        go_on.wait(10)
        return load(*how)

    monkeypatch.setattr(browsed, "load_checkpoint", slow)

    async def use():
        browser = open_run(own_run)
        browser.heatmap.picture._answer(None, {"shown": True}, [])
        await asyncio.sleep(0.05)
        first, at_first = browser.image_id, values(browser.layer)
        browser.chooser.next.click()
        assert browser.image_id != first and browser.heatmap.picture.image == drawn(browser)
        assert at_first == values(browser.layer) == [LAST_LAYER]
        choose(browser, "LRP")
        assert "not computed for this study. The network is being loaded" in browser.heatmap.note.value
        go_on.set()
        while "being loaded" in browser.heatmap.note.value:
            await asyncio.sleep(0.01)
        assert "It takes 2 forward" in browser.heatmap.note.value

    asyncio.run(asyncio.wait_for(use(), 20))


def test_a_control_that_needs_the_network_does_not_wait_for_a_page(own_run):
    browser = open_run(own_run)
    choose(browser, "LRP")
    compute(browser)
    assert browser.heatmap.picture.image == drawn(browser)
    choose(browser, "Grad-CAM")
    browser.load_network()
    assert "layer3" in values(browser.layer), "it is offered although the network had been loaded by the other control"


def test_a_model_that_is_gone_before_it_was_loaded_is_told(own_run):
    browser = open_run(own_run)
    (own_run / "models" / "3_labels.safetensors").unlink()
    browser.load_network()
    assert "3_labels.safetensors is gone" in browser.heatmap.picture.caption


def test_two_threads_that_need_the_network_load_it_once():
    loads, begun = [], threading.Barrier(2)

    def load():
        loads.append(1)
        return SmallNet()

    later, found = Later(load), []

    def ask():
        begun.wait(10)
        found.append(later())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(loads) == 1 and found[0] is found[1] is later()
