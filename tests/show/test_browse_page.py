"""The heatmap browser and the game in a real browser: JupyterLab and Voila, pixels and scores from the library."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from accessible import faults
from browsable import CLASSES
from playwright.sync_api import Page, expect, sync_playwright

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.evaluate.drawn_box import score_drawn
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.numerals import number_text
from cxrlib.show.browse.browsed import load_results
from cxrlib.show.browse.browser import TABS
from cxrlib.show.browse.numbers import localisation_text
from cxrlib.show.browse.overlay import LINES, Look, readers_of, render
from cxrlib.show.browse.perturb import input_jpeg, replace_and_predict
from cxrlib.show.browse.picture import FOLDER
from cxrlib.show.browse.voila import write_page, write_template
from cxrlib.stages.inputs import network_inputs

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
CHEST = cv2.imencode(".png", np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8))[1].tobytes()
TOKEN = "a-token-for-this-test"
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder to keep screenshots in."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1366, "height": 768}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.complaints = []
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def start(tmp_path):
    """Start a server of this interpreter; it and its kernels end with the test. Returns its log."""
    servers = []

    def begin(*command: str) -> Path:
        environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
        environment |= {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
        environment |= {"PYTHONPATH": str(PROJECT_ROOT), "JUPYTERLAB_SETTINGS_DIR": str(no_news(tmp_path / "settings"))}
        environment["BROWSER"] = "true"  # a command that opens nothing
        environment["OMP_NUM_THREADS"] = "1"  # as here (fixtures.py): more threads may round in another way
        log = tmp_path / "server.log"
        with log.open("w") as file:
            pipes = {"stdout": file, "stderr": file, "start_new_session": True}
            servers.append(subprocess.Popen([sys.executable, *command], env=environment, cwd=PROJECT_ROOT, **pipes))
        return log

    yield begin
    for server in servers:
        os.killpg(server.pid, signal.SIGINT)
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:  # still busy ending its kernels, which end without it too
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def address_in(log: Path, pattern: str) -> str:
    """The address that a server prints when it is ready."""
    for _ in range(600):
        found = re.search(pattern, log.read_text())
        if found:
            return found.group()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def no_news(folder: Path) -> Path:
    """A folder of JupyterLab's settings that keeps it from asking about news."""
    path = folder / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    return folder


def shown(page: Page, place: str = ".cxr-large img") -> bytes:
    """The bytes of the image that the page shows."""
    script = """async image => {
        const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
        return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
    }"""
    return base64.b64decode(page.locator(place).first.evaluate(script))


def until_shown(page: Page, expected: bytes, place: str = ".cxr-large img") -> None:
    """Wait until the page shows exactly these bytes; a busy machine takes its time."""
    for _ in range(400):
        if page.locator(place).first.get_attribute("src") and shown(page, place) == expected:
            return
        page.wait_for_timeout(50)
    raise AssertionError(
        f"the picture is not what the library draws: {page.locator('.cxr-large figcaption').inner_text()}"
    )


def until_told(page: Page, texts: list[str], has_text: str = "") -> None:
    """Wait until each of these texts stands in one of the tables of numbers, which reach the page after the picture."""
    tables = page.locator(".cxr-numbers:visible").filter(has_text=has_text)
    for text in texts:
        expect(tables.filter(has_text=text).first).to_be_visible(timeout=20_000)


WIDER = """browser => [...browser.querySelectorAll("button, select, .cxr-picture, .cxr-sentence, table")]
    .filter(one => one.offsetParent && one.getBoundingClientRect().right > window.innerWidth)
    .map(one => one.outerHTML.slice(0, 200))"""


def slider(page: Page, name: str):
    """A slider and its handle, by the name beside it."""
    widget = page.locator(".widget-slider").filter(has=page.get_by_text(name, exact=True))
    return widget, widget.locator(".noUi-handle")


def drag(page: Page, name: str, fraction: float) -> float:
    """Drag a slider's handle to a fraction of its way in many small steps; the number that it then shows."""
    widget, handle = slider(page, name)
    way, start = widget.locator(".noUi-base").bounding_box(), handle.bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(way["x"] + fraction * way["width"], start["y"] + start["height"] / 2, steps=25)
    page.mouse.up()
    texts = [widget.locator(".widget-readout").inner_text()]
    while len(texts) < 4 or len(set(texts[-4:])) > 1:  # a busy page follows the mouse with a delay
        page.wait_for_timeout(300)
        texts.append(widget.locator(".widget-readout").inner_text())
    text = texts[-1]
    return float(text.rstrip("%")) / (100 if text.endswith("%") else 1)


def screenshot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


class Expected:
    """What the library computes for the controls' present state."""

    def __init__(self, folder: Path) -> None:
        self.results = load_results(folder)
        self.view = self.results.first_view("study00", CLASSES[0], 0.05)
        self.look = Look(readers=(True,) * len(LINES))

    def see(self, **changes: object) -> "Expected":
        self.view = replace(self.view, **changes)
        return self

    def draw(self, **changes: object) -> "Expected":
        self.look = replace(self.look, **changes)
        return self

    @property
    def image(self) -> bytes:
        return render(self.results.cohort.images([self.view.image_id])[0], self.results.evidence(self.view), self.look)

    @property
    def texts(self) -> list[str]:
        scores = localisation_text(self.results.evidence(self.view), self.results.cohort.size, self.view.class_name)
        return [*scores.values(), *(f"{p:.3f}" for p in self.results.probabilities.loc[self.view.image_id])]

    def compute(self) -> "Expected":
        self.results.on_demand.ask(self.view.key)
        self.results.on_demand.make()
        return self

    def check(self, page: Page) -> None:
        until_shown(page, self.image)
        until_told(page, self.texts)


def drive(page: Page, folder: Path) -> None:
    """Use every control of the first two tabs by mouse or keyboard."""
    expected = Expected(folder)
    expect(page.locator(".cxr-large img").first).to_be_visible(timeout=60_000)
    expected.check(page)

    page.get_by_label("class").select_option("Cardiomegaly")
    expected.see(class_name="Cardiomegaly").check(page)
    page.get_by_role("button", name="next").click()
    expected.see(image_id="study01").check(page)
    page.get_by_label("study", exact=True).select_option("study05")
    expected.see(image_id="study05").check(page)

    page.locator(".cxr-large figure").first.focus()
    for key in ["ArrowRight"] * 4 + ["ArrowUp"] * 5 + ["ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowLeft"]:
        page.keyboard.press(key)
    expected.see(image_id="study06", share=0.09).check(page)
    page.get_by_label("class").focus()
    page.keyboard.press("ArrowUp")
    expected.see(class_name=CLASSES[0]).check(page)

    expected.see(share=drag(page, "top pixels", 0.4)).check(page)
    for name, fraction in [("opacity", 0.95), ("window", 0.5), ("level", 0.3)]:
        expected.draw(**{name: drag(page, name, fraction)}).check(page)
    slider(page, "opacity")[1].focus()
    page.keyboard.press("ArrowLeft")
    expected.draw(opacity=round(expected.look.opacity - 0.05, 2)).check(page)
    page.get_by_label("colours").select_option("viridis")
    expected.draw(colours="viridis").check(page)
    page.get_by_text("reader R2 (dashed)").click()
    expected.draw(readers=(True, False, True, True)).check(page)
    page.get_by_text("mask", exact=True).click()
    expected.draw(mask=False).check(page)
    screenshot(page, f"{page.kind}-heatmap")

    with page.expect_download() as download:
        page.get_by_role("button", name="save picture").click()
    assert download.value.suggested_filename == "study06-Aortic_enlargement-Grad-CAM.png"

    page.get_by_role("button", name="perturbation").click()
    check_perturbation(page, expected)
    check_own_image(page)
    check_on_demand(page, expected)


def check_perturbation(page: Page, expected: Expected) -> None:
    results, view = expected.results, expected.view
    image = network_inputs(results.cohort, [view.image_id], results.explanations.input_size)[0]
    for option, kernel in [("mean grey", 0), ("blur, kernel 21", 21)]:
        page.get_by_label("replace by").select_option(option)
        mask = torch.from_numpy(results.evidence(view).mask)
        changed = replace_and_predict(results.fast_network, image, mask, kernel)
        grey = Look(window=expected.look.window, level=expected.look.level)
        until_shown(page, input_jpeg(changed.after, look=grey), ".cxr-pair img >> nth=1")
        after = pd.Series(changed.probabilities, results.classes)
        for name, p in results.probabilities.loc[view.image_id].items():
            until_told(page, [f"{after[name]:.3f}", number_text(after[name] - p, 3, "+")], has_text="p after")
    screenshot(page, f"{page.kind}-perturbation")


def check_on_demand(page: Page, expected: Expected) -> None:
    """A method and a layer that are not stored are computed, by mouse and by keyboard; a choice meanwhile wins."""
    method, layer = page.get_by_label("method"), page.get_by_label("layer")
    compute = page.get_by_role("button", name="compute")
    expected.check(page)  # the tab is open
    expect(compute).to_be_hidden()
    method.select_option("LRP (compute)")
    expected.see(method="LRP").check(page)
    untold = page.locator(".cxr-sentence:visible").filter(has_text="LRP is not computed for this study")
    expect(untold).to_be_visible()
    assert nameless(page) == []
    screenshot(page, f"{page.kind}-not-computed")
    narrow(page, f"{page.kind}-not-computed-phone")
    compute.click()
    expected.compute().check(page)
    expect(untold).to_be_hidden()
    expect(compute).to_be_hidden()
    screenshot(page, f"{page.kind}-computed")
    narrow(page, f"{page.kind}-computed-phone")

    method.select_option("Grad-CAM")
    layer.select_option("layer3 (compute)")
    expected.see(method="Grad-CAM", layer="layer3").check(page)
    compute.focus()
    page.keyboard.press("Enter")
    expected.compute().check(page)
    page.get_by_role("button", name="comparison").click()
    expect(page.locator(".cxr-small:visible figcaption")).to_contain_text(["Grad-CAM, top", "LRP, top", "layer3, top"])
    screenshot(page, f"{page.kind}-comparison")
    page.get_by_role("button", name="heatmap").click()

    method.select_option("KernelSHAP (compute)")
    compute.click()
    expect(page.get_by_role("button", name="computing")).to_be_disabled()
    expect(page.locator(".cxr-large figcaption").first).to_contain_text("computing KernelSHAP: 1,000 forward passes")
    screenshot(page, f"{page.kind}-computing")
    method.select_option("LRP (compute)")
    expected.see(method="LRP", layer="last block").check(page)
    page.wait_for_timeout(2000)
    expected.check(page)


def narrow(page: Page, name: str) -> None:
    """At the width of a phone nothing of the browser is wider than the page."""
    wide = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    if page.kind == "voila":  # JupyterLab has its own bars beside the notebook
        assert page.locator(".cxr-browser").evaluate(WIDER) == []
    screenshot(page, name)
    page.set_viewport_size(wide)


def check_own_image(page: Page) -> None:
    """A file that is no picture takes away the picture and the numbers of the file before."""
    page.get_by_role("button", name="own image").click()
    chest = {"name": "chest.png", "mimeType": "image/png", "buffer": CHEST}
    holiday = {"name": "holiday.png", "mimeType": "image/png", "buffer": b"no picture"}
    place, table = page.locator(".cxr-large").first, page.locator(".cxr-numbers")
    for file, caption in [(chest, "chest.png: "), (holiday, "holiday.png: not a readable PNG"), (chest, "chest.png: ")]:
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="choose an image").click()
        chooser.value.set_files(file)
        expect(place.locator("figcaption")).to_contain_text(caption)
        expect(place.locator("img")).to_be_visible(visible=file is chest)
        expect(table).to_have_count(1 if file is chest else 0)
    screenshot(page, f"{page.kind}-own")
    page.get_by_role("button", name="heatmap").click()


def nameless(page: Page) -> list[str]:
    """Controls of the browser that a screen reader could not name, five seconds after the page was drawn at the latest.

    A slider gets its name after it is drawn.
    """
    script = """places => places.filter(place => place.checkVisibility({ visibilityProperty: true }) && !(
        place.getAttribute('aria-label') || place.getAttribute('aria-labelledby') || place.innerText.trim() ||
        place.labels?.length || place.title)).map(place => place.outerHTML.slice(0, 200))"""
    controls = page.locator(".cxr-browser :is(select, input, button, [role=slider])")
    for _ in range(50):
        if not (found := controls.evaluate_all(script)):
            break
        page.wait_for_timeout(100)
    return found


def test_the_browser_in_jupyterlab(page, start, browsed_run):
    write_page(browsed_run)
    page.kind = "lab"
    log = start(
        *("-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={browsed_run}"),
    )
    page.goto(f"{address_in(log, 'http://127.0.0.1:[0-9]+/lab')}/tree/browse.ipynb?token={TOKEN}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    choose(page, "Run", "Run All Cells")
    drive(page, browsed_run)
    assert nameless(page) == []
    assert page.complaints == []

    choose(page, "Kernel", "Restart Kernel…")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(page.get_by_text("run this cell again").first).to_be_visible()


def choose(page: Page, menu: str, entry: str) -> None:
    page.get_by_text(menu, exact=True).first.click()
    page.get_by_text(entry, exact=True).click()


def test_the_page_of_its_own_asks_for_its_token(page, start, browsed_run):
    page.kind = "voila"
    log = start("run_all.py", "smoke", "--browse", "--out", str(browsed_run))
    address = address_in(log, r"http://127\.0\.0\.1:\d+/\?token=\w+")
    assert "login" in urllib.request.urlopen(address.partition("?")[0]).url
    page.goto(address, wait_until="commit")
    first_screen(page)
    drive(page, browsed_run)
    assert nameless(page) == []
    for tab in TABS:  # each as `drive` left it, with a picture
        page.get_by_role("button", name=tab, exact=True).click()
        page.wait_for_timeout(500)
        assert faults(page) == [], tab
    page.get_by_role("button", name=TABS[0], exact=True).click()
    assert page.complaints == []

    assert browsed_run.name in page.title()
    local = ("http://127.0.0.1", "ws://127.0.0.1", "blob:", "data:")
    assert [url for url in page.asked if not url.startswith(local)] == []
    expect(page.locator("[title=null]")).to_have_count(0)
    stays_in_place(page)

    # one serves this page, the others wait for further pages
    kernels = [one for one in psutil.Process().children(recursive=True) if "ipykernel_launcher" in one.cmdline()]
    silence = page.get_by_text("No answer from the kernel").first
    expect(silence).to_be_hidden()
    for kernel in kernels:
        kernel.suspend()
    page.get_by_role("button", name="next").click()
    expect(silence).to_be_visible(timeout=30_000)
    for kernel in kernels:
        kernel.resume()
    expect(silence).to_be_hidden()
    for kernel in kernels:
        kernel.kill()
    expect(silence).to_be_visible(timeout=30_000)


def first_screen(page: Page) -> None:
    """A laptop shows the whole picture and its controls at once; a phone the picture from above, then the settings."""
    picture = page.locator(".cxr-large img").first
    expect(picture).to_be_visible(timeout=60_000)
    for width, height, begins, lowest in [(1366, 768, 220, "colours"), (390, 844, 300, "method")]:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        frame = picture.bounding_box()
        assert frame["y"] < begins and frame["y"] + frame["height"] <= height, width
        assert frame["width"] >= 350
        control = page.get_by_label(lowest, exact=True).bounding_box()
        assert control["y"] + control["height"] <= height, width
        screenshot(page, f"first-screen-{width}")
    page.set_viewport_size({"width": 1366, "height": 768})


PLACES = """browser => [...browser.querySelectorAll("button, select, .noUi-base, .cxr-large img, figcaption")]
    .filter(one => one.checkVisibility({ visibilityProperty: true }) && !one.closest(".cxr-row"))
    .map(one => [one.tagName, one.getBoundingClientRect().top + scrollY])"""


def stays_in_place(page: Page) -> None:
    """Whatever study and class are chosen, no control and no picture moves on the page; an empty list keeps them."""
    browser = page.locator(".cxr-browser")
    page.get_by_role("button", name="filters").click()
    page.get_by_role("button", name="clear").click()
    page.wait_for_timeout(500)
    images = browser.evaluate(PLACES)

    def controls() -> list:
        return [place for place in browser.evaluate(PLACES) if place[0] == "SELECT"]

    before = sorted({top for _, top in images})
    for _ in range(3):
        page.get_by_role("button", name="next").click()
        page.wait_for_timeout(200)
        assert sorted({top for _, top in browser.evaluate(PLACES)}) == before
    before = controls()
    page.get_by_label("search").fill("no such study")
    expect(page.get_by_text("passes the filters").first).to_be_visible()
    page.wait_for_timeout(200)
    assert [top for _, top in controls()] == [top for _, top in before]
    page.get_by_role("button", name="clear").click()
    expect(page.locator(".cxr-large img").first).to_be_visible()


MODEL = """
class Model {
    constructor(values) { Object.assign(this, { values, hears: [], sent: [] }); }
    get(name) { return this.values[name]; }
    set(name, value) { this.change({ [name]: value }); }
    save_changes() {}
    on(names, hear) { for (const name of names.split(" ")) this.hears.push([name, hear]); }
    send(content) { this.sent.push(content); }
    change(values) {
        Object.assign(this.values, values);
        for (const [name, hear] of this.hears) if (name.slice(7) in values) hear();
    }
    answer(content) { for (const [name, hear] of this.hears) if (name === "msg:custom") hear(content, []); }
}
window.start = async (source, bytes, values) => {
    const { default: widget } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
    window.bytes = new DataView(Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0)).buffer);
    window.model = new Model({ image: window.bytes, caption: "first", alt: "first", ...values });
    widget.render({ model: window.model, el: document.querySelector("#place") });
};
"""


def put_alone(page: Page, name: str, **values: object) -> Page:
    """A widget outside of Jupyter, in a page of its own with one button."""
    page.set_content("<div class=cxr-browser><button>move</button><div id=place></div></div>")
    page.add_script_tag(content=MODEL)
    for style in ("picture.css", "draw_box.css"):
        page.add_style_tag(content=(FOLDER / style).read_text())
    source = (FOLDER / name).read_text()
    page.evaluate("([source, bytes, values]) => start(source, bytes, values)", [source, as_text(CHEST), values])
    expect(page.locator("figcaption")).to_have_text("first")
    return page


def as_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture
def alone(page):
    return put_alone(page, "picture.js", arrows=False)


@pytest.fixture
def drawing(page):
    """The picture of the game, in a frame of 1,000 pixels."""
    page.set_viewport_size({"width": 390, "height": 844})
    return put_alone(page, "draw_box.js", side=1000, box=[], locked=False)


def test_a_picture_that_cannot_be_decoded_leaves_no_other(alone):
    expect(alone.locator("img")).to_be_visible()
    alone.evaluate("model.change({ image: new DataView(new ArrayBuffer(9)), caption: 'second', alt: 'second' })")
    expect(alone.locator("figcaption")).to_have_text("This picture could not be decoded. second")
    expect(alone.locator("img")).to_be_hidden()
    assert alone.locator("img").get_attribute("src") is None and alone.locator("img").get_attribute("alt") == ""
    alone.evaluate("model.change({ image: bytes, caption: 'third', alt: 'third' })")
    expect(alone.locator("figcaption")).to_have_text("third")
    expect(alone.locator("img")).to_be_visible()


def test_image_and_caption_change_together(alone):
    script = """() => new Promise((done) => {
        const seen = [];
        const look = () => seen.push(document.querySelector("figcaption").textContent + document.images[0].src);
        new MutationObserver(look).observe(document.querySelector("figure"), {
            subtree: true, childList: true, attributes: true, characterData: true });
        const before = document.images[0].src;
        model.change({ image: bytes, caption: "second", alt: "second" });
        look();
        setTimeout(() => done([before, document.images[0].src, seen]), 500);
    })"""
    before, after, seen = alone.evaluate(script)
    assert before != after and set(seen) == {f"first{before}", f"second{after}"}


def test_controls_that_are_drawn_after_the_picture_are_named_too(alone):
    slider = (
        "<div class=widget-slider><div class=widget-label title=null>window</div><div class=noUi-handle></div></div>"
    )
    alone.evaluate("(slider) => document.querySelector('.cxr-browser').insertAdjacentHTML('beforeend', slider)", slider)
    expect(alone.locator(".noUi-handle")).to_have_attribute("aria-label", "window")
    expect(alone.locator("[title=null]")).to_have_count(0)


def test_a_kernel_that_does_not_answer_is_told_as_soon_as_a_control_is_used(alone):
    silence = alone.get_by_text("No answer from the kernel")
    alone.wait_for_timeout(5500)
    expect(silence).to_be_hidden()
    alone.get_by_text("move").click()
    question = alone.evaluate("model.sent.at(-1).question")
    expect(silence).to_be_visible(timeout=10_000)
    alone.evaluate("(answer) => model.answer({ answer })", question)
    expect(silence).to_be_hidden()
    alone.get_by_text("move").click()
    alone.evaluate("model.sent.forEach(({ question }) => model.answer({ answer: question }))")
    alone.wait_for_timeout(5500)
    expect(silence).to_be_hidden()


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """A place on the page by its shares of the picture's sides."""
    frame = page.locator(".cxr-draw-surface img").bounding_box()
    return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]


def drag_box(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a box by mouse, from a corner to the opposite one."""
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *end), steps=8)
    page.mouse.up()


def touch_box(page: Page, start: tuple[float, float], end: tuple[float, float], last: str = "touchEnd") -> None:
    """Draw a box with a finger; "touchCancel" for `last` is a gesture that the system takes over."""
    send = page.context.new_cdp_session(page).send
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = at(page, *(a + share * (b - a) for a, b in zip(start, end, strict=True)))
        kind = "touchMove" if share else "touchStart"
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    send("Input.dispatchTouchEvent", {"type": last, "touchPoints": []})


def test_a_box_is_drawn_by_mouse_finger_and_keys(drawing):
    def box() -> list[float]:
        return drawing.evaluate("model.get('box')")

    surface = drawing.locator(".cxr-draw-surface")
    expect(drawing.locator(".cxr-drawn")).to_be_hidden()
    drag_box(drawing, (0.8, 0.7), (0.2, 0.3))  # from the lower right to the upper left
    assert box() == pytest.approx([200, 300, 800, 700], abs=4)
    shown, frame = (drawing.locator(place).bounding_box() for place in (".cxr-drawn", ".cxr-draw-surface img"))
    assert (shown["width"] / frame["width"], shown["height"] / frame["height"]) == pytest.approx((0.6, 0.4), abs=0.01)
    drag_box(drawing, (0.5, 0.5), (1.4, -0.2))  # a box ends with the picture
    assert box() == pytest.approx([500, 0, 1000, 500], abs=4)
    drag_box(drawing, (0.1, 0.1), (0.103, 0.4))  # a tap or a line is no box and takes none away
    assert box() == pytest.approx([500, 0, 1000, 500], abs=4)

    touch_box(drawing, (0.1, 0.2), (0.4, 0.6))
    assert box() == pytest.approx([100, 200, 400, 600], abs=4)
    touch_box(drawing, (0.6, 0.6), (0.9, 0.9), last="touchCancel")
    assert box() == pytest.approx([100, 200, 400, 600], abs=4)
    assert drawing.evaluate("scrollY") == 0

    drawing.evaluate("model.set('box', [])")
    surface.focus()
    drawing.keyboard.press("ArrowRight")  # the first stroke draws a box in the middle
    assert box() == [375, 375, 625, 625]
    for key in ["ArrowRight", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown"]:
        drawing.keyboard.press(key)
    assert box() == pytest.approx([395, 355, 665, 645])
    assert "to 67 % from the left" in surface.get_attribute("aria-label")
    for _ in range(40):
        drawing.keyboard.press("ArrowLeft")
    assert box() == pytest.approx([0, 355, 270, 645])  # stays in the picture, and as wide
    drawing.keyboard.press("Enter")
    assert drawing.evaluate("model.sent.at(-1)") == {"entered": True}

    drawing.evaluate("model.set('locked', true)")
    drag_box(drawing, (0.1, 0.1), (0.9, 0.9))
    drawing.keyboard.press("ArrowRight")
    assert box() == pytest.approx([0, 355, 270, 645])
    assert drawing.complaints == []


@pytest.mark.parametrize("kind", ["lab", "voila"])
def test_the_game_is_played_to_its_end(page, start, own_run, tmp_path, kind):
    page.kind = kind
    notebook = write_page(own_run)
    notebook.write_text(notebook.read_text().replace("open_run", "open_game"))
    if kind == "lab":
        log = start(
            *("-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
            *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={own_run}"),
        )
        page.goto(f"{address_in(log, 'http://127.0.0.1:[0-9]+/lab')}/tree/browse.ipynb?token={TOKEN}")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        choose(page, "Run", "Run All Cells")
    else:
        write_template(tmp_path / "DATA")
        log = start("-m", "voila", str(notebook), "--token", "--Voila.ip=127.0.0.1", "--template=cxr", "--no-browser")
        page.goto(address_in(log, r"http://127\.0\.0\.1:\d+/\?token=\w+"), wait_until="commit")
    expect(page.get_by_text("Rendered, not clinical.")).to_be_visible(timeout=60_000)
    results = load_results(own_run, with_network=False)
    score, following = page.get_by_role("button", name="score my box"), page.get_by_role("button", name="next case")
    for number in range(1, 5):
        task = page.get_by_text(f"Case {number} of 4: draw a box around")
        expect(task).to_be_visible()
        expect(score).to_be_disabled()
        name = task.inner_text().partition("around ")[2].rstrip(".")
        expect(page.locator(".cxr-draw figcaption")).to_contain_text("study")  # it comes with the picture
        image_id = re.search(r"study\d\d", page.locator(".cxr-draw figcaption").inner_text()).group()
        page.locator(".cxr-draw-surface").scroll_into_view_if_needed()
        (touch_box if number == 2 else drag_box)(page, (0.25, 0.25), (0.75, 0.5))
        score.click() if number < 3 else page.keyboard.press("Enter")
        expect(page.locator(".cxr-numbers caption")).to_contain_text(f"IoU with radiologists, {number} case")
        evidence = results.evidence(results.first_view(image_id, name, 0.05))
        readers = {reader: rows[BOX_COLUMNS].to_numpy(float) for reader, rows in readers_of(evidence)}
        drawn = np.array([0.25, 0.25, 0.75, 0.5]) * results.cohort.size
        expected = score_drawn(drawn, readers, {"Grad-CAM": evidence.predicted}, results.cohort.size)
        for who, iou in [("you", expected["you"]), *((reader, expected[reader]) for reader in readers)]:
            row = page.locator(".cxr-numbers tr").filter(has=page.get_by_text(who, exact=True))
            expect(row).to_be_visible()
            assert float(row.locator("td").first.inner_text()) == pytest.approx(iou, abs=0.02), who
        expect(page.locator(".cxr-draw figcaption")).to_contain_text("Yellow: you.")
        screenshot(page, f"{kind}-game-{number}")
        if number < 4:
            following.click() if number != 3 else page.keyboard.press("Enter")
    expect(page.locator(".cxr-closing")).to_contain_text("After 4 cases you share")
    narrow(page, f"{kind}-game-narrow")
    assert nameless(page) == []
    assert page.complaints == []
    local = ("http://127.0.0.1", "ws://127.0.0.1", "blob:", "data:")
    assert [url for url in page.asked if not url.startswith(local)] == []
    page.get_by_role("button", name="new game").click()
    expect(page.get_by_text("Case 1 of 4")).to_be_visible()
    expect(page.locator(".cxr-drawn")).to_be_hidden()
