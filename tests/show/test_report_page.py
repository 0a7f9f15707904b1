"""The report in a real browser: its first screen, length, width, print, pictures and viewer."""

import base64
import io
import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from accessible import faults
from PIL import Image

from cxrlib.show.artefacts import FIGURE_DPI, LETTERS
from cxrlib.show.browse.browsed import load_results
from cxrlib.show.browse.numbers import localisation_numbers
from cxrlib.show.browse.overlay import Look, compose
from cxrlib.show.report.compare_page import write_comparison
from cxrlib.show.report.contents import titles
from cxrlib.show.report.coverage import others
from cxrlib.workflow.compare import Comparison

MEGABYTE = 1_000_000
SCREEN, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
PHONE_SCREENS = 40
"""Most screens of the report on a phone, every fold closed."""


LEAST_LETTER = 9
"""Height in CSS pixels that any letter of a figure has where it is opened large."""


PAPER = 297 - 24
"""Height of the printed area of A4 in mm."""


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(chromium, smoke):
    """The report on a large screen."""
    page = chromium.new_page(viewport=SCREEN)
    page.asked, page.broken = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.broken.append(str(error)))
    page.goto((smoke / "report.html").as_uri())
    page.wait_for_selector("#viewer[data-drawn]")
    return page


@pytest.fixture(scope="module")
def phone(chromium, smoke):
    """The report on a phone that runs no JavaScript."""
    page = chromium.new_context(viewport=PHONE, java_script_enabled=False).new_page()
    page.goto((smoke / "report.html").as_uri())
    return page


def test_files_are_small_and_nothing_leaves_the_machine(smoke, opened):
    assert (smoke / "report.html").stat().st_size < 4 * MEGABYTE
    assert [url for url in opened.asked if not url.startswith("data:")] == [(smoke / "report.html").as_uri()]
    assert opened.broken == []
    pictures = opened.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth > 0)")
    assert len(pictures) >= 40 and all(pictures)
    for page in smoke.glob("notebooks/[0-9][0-9]_*.html"):
        assert page.stat().st_size < 3 * MEGABYTE
        text = page.read_text()
        assert "../report.html" in text and f"<title>{page.stem[:2]} " in text


def test_the_page_is_short_and_its_first_screen_holds_answer_verdict_and_pictures(opened):
    assert opened.evaluate("document.documentElement.scrollHeight") <= 25 * SCREEN["height"]
    for place in (".answer", ".first > div > table.lights", "#figure_ceiling img"):
        box = opened.locator(place).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= SCREEN["height"], place
        assert box["x"] >= 0 and box["x"] + box["width"] <= SCREEN["width"] and box["width"] > 300, place


def test_nothing_is_cut_or_scrolls_sideways(opened, phone):
    for page, width in ((opened, SCREEN["width"]), (phone, PHONE["width"])):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    opened.set_viewport_size(PHONE)
    opened.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    wide = """[...document.querySelectorAll('main *')].filter((e) => {
        const box = e.getBoundingClientRect();
        return box.width && box.right > innerWidth + 1;
    }).map((e) => e.outerHTML.slice(0, 99))"""
    boxes = """[...document.querySelectorAll('main *')].filter((e) => {
        const style = getComputedStyle(e);
        return [style.overflowX, style.overflowY].some((flow) => ['auto', 'scroll'].includes(flow));
    }).map((e) => e.outerHTML.slice(0, 99))"""
    found = [*opened.evaluate(wide), *opened.evaluate(boxes)]
    text = opened.inner_text("main")
    cells = opened.evaluate("[...document.querySelectorAll('main td, main th')].map((e) => e.textContent.trim())")
    opened.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = false))")
    opened.set_viewport_size(SCREEN)
    assert found == []
    assert not re.search(r"[−-]0\.0+\b|\b[0-9a-f]{32}\b|all_pairs|class_name|\bnan\b", text)
    assert [cell for cell in cells if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+|True|False", cell)] == []


def test_the_page_is_short_on_a_phone_too(phone):
    assert phone.evaluate("document.documentElement.scrollHeight") <= PHONE_SCREENS * PHONE["height"]
    for name in ("table_02", "table_03", "table_05", "table_06"):
        rows = phone.locator(f"#{name} table.narrow tr")
        assert rows.first.locator("th").first.is_visible(), f"the columns of {name} have no names"
        assert max(row.bounding_box()["height"] for row in rows.all()[1:]) < 50, name


def test_a_picture_is_on_the_page_once_and_what_shows_nothing_is_a_sentence(smoke, opened):
    sources = opened.evaluate("[...document.images].map((image) => image.src)")
    assert len(sources) == len({*sources})
    said = [json.loads(path.read_text()) for path in smoke.glob("figures/*.json")]
    sentences = {one["sentence"] for one in said if "sentence" in one}
    text = opened.inner_text("main")
    assert sentences and all(sentence in text for sentence in sentences)


def test_print_is_short_and_no_figure_is_taller_than_a_sheet(opened):
    pdf = opened.pdf(format="A4", print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 40 and len(pdf) < 4 * MEGABYTE
    opened.emulate_media(media="print")
    heights = opened.evaluate(
        "[...document.querySelectorAll('.item, .misses > div')].filter((e) => e.querySelector('img'))"
        ".map((e) => [e.offsetHeight, getComputedStyle(e).breakInside])"
    )
    headings = opened.evaluate("[...document.querySelectorAll('h2, h3')].map((e) => getComputedStyle(e).breakAfter)")
    opened.emulate_media(media="screen")
    assert heights and {*headings} == {"avoid"}
    assert all(height * 25.4 / 96 < PAPER and inside == "avoid" for height, inside in heights)


def test_a_picture_opens_large_and_closes_without_javascript(phone):
    phone.locator("#figure_01 a.open").click()
    image = phone.locator("#figure_01 img")
    assert image.bounding_box()["width"] >= 800  # 6 pt in a figure of 7 inches are 9 px at 756 px
    phone.locator("#figure_01 p.close a").click()
    assert phone.locator("#figure_01 img").bounding_box()["width"] <= PHONE["width"]
    assert phone.locator("noscript p").is_visible() and not phone.locator("#viewer").is_visible()


def letters_of(path):
    """The smallest letters of a figure and its width, both in points, as its PNG file says and shows."""
    with Image.open(path) as image:
        return float(image.text["Comment"].removeprefix(LETTERS).removesuffix(" pt")), 72 * image.width / FIGURE_DPI


def test_a_picture_that_is_opened_large_on_a_phone_has_letters_of_nine_pixels(smoke, phone):
    """Nothing is zoomed: the picture is wider than the phone and is moved sideways."""
    small, seen = {}, 0
    for figure in phone.locator(".item figure:has(a.open)").all():
        name = figure.get_attribute("id").removesuffix("-large")
        drawn = smoke / "figures" / f"{name}.png"
        if not drawn.exists():
            continue
        phone.goto(f"{(smoke / 'report.html').as_uri()}#{name}-large")
        points, width = letters_of(drawn)
        pixels = points * figure.locator("img").bounding_box()["width"] / width
        seen += 1
        if pixels < LEAST_LETTER:
            small[name] = f"{points:g} pt in {width / 72:.1f} inches are {pixels:.1f} px"
    phone.goto((smoke / "report.html").as_uri())
    assert small == {} and seen >= 40


@pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
def test_no_serious_fault_of_accessibility(opened, size):
    opened.set_viewport_size(size)
    found = faults(opened)
    opened.set_viewport_size(SCREEN)
    assert found == []


@pytest.mark.slow
def test_no_serious_fault_of_accessibility_beside_another_run(chromium, tmp_path):
    for name, f1, verdict in (("ours", 0.8, "holds"), ("theirs", 0.6, "does not hold")):
        for part in ("tables", "figures"):
            (tmp_path / name / part).mkdir(parents=True)
        tables = tmp_path / name / "tables"
        score = {
            "experiment": ["7 labels"],
            "label": ["micro avg"],
            "ours": [f1],
            "low": [f1 - 0.1],
            "high": [f1 + 0.1],
        }
        pd.DataFrame(score).to_csv(tables / "table_03.csv", index=False)
        claim = {"claim": ["C1"], "statement": ["x"], "verdict": [verdict]}
        pd.DataFrame(claim).to_csv(tables / "claims.csv", index=False)
        Image.new("RGB", (90, 60), "white").save(tmp_path / name / "figures" / "figure_02.png")
    (tmp_path / "ours" / "params.json").write_text(json.dumps({"parameters": {"labels": {"explained": "7 labels"}}}))
    differences = ["figures/figure_02.png: differs", "tables/claims.csv: differs"]
    path, _ = write_comparison(tmp_path / "ours", tmp_path / "theirs", Comparison(differences, []))
    page = chromium.new_page(viewport=SCREEN)
    page.goto(path.as_uri())
    assert page.locator("table").count() == 2 and page.locator("figure").count() == 2
    assert faults(page) == []


def test_headings_go_down_one_level_at_a_time(opened):
    levels = opened.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((e) => Number(e.tagName[1]))")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_the_keyboard_can_skip_the_contents_and_its_focus_is_always_visible(opened):
    assert opened.locator("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").count() == 0
    opened.reload()
    opened.keyboard.press("Tab")
    skip = opened.locator(":focus")
    assert skip.get_attribute("href") == "#answer" and skip.bounding_box()["x"] >= 0
    look = """() => {
        const place = document.activeElement, style = getComputedStyle(place), box = place.getBoundingClientRect();
        const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
        return ring && box.width > 0 && box.bottom > 0 && box.top < innerHeight ? '' : place.outerHTML.slice(0, 99);
    }"""
    unseen = []
    for _ in range(40):
        opened.keyboard.press("Tab")
        unseen.append(opened.evaluate(look))
    assert [place for place in unseen if place] == []


def test_claims_and_figures_lead_to_each_other(opened):
    for link in opened.locator(".claims a, .item a[href^='#claim']").all():
        target = link.get_attribute("href")
        assert opened.locator(target).count() == 1, target
    assert opened.locator(".item a[href='#claim-C3']").count() == 1
    opened.locator("#errata").scroll_into_view_if_needed()
    opened.evaluate("document.getElementById('errata').scrollIntoView()")
    opened.evaluate("document.getElementById('claims').scrollIntoView()")
    opened.wait_for_selector(".contents a[aria-current][href='#claims']")


def test_every_item_has_a_title_for_people(smoke):
    known = {name for name in others(smoke)["artefact"] if not name.startswith("browser_")}
    assert known - titles().keys() - {"claims", "coverage", "errata"} == set()


def choose(page, study, label, share, method="Grad-CAM"):
    """Choose in the viewer, and wait for the picture."""
    before = page.locator("#viewer").get_attribute("data-drawn")
    page.evaluate(
        """([study, label, share, method]) => {
            const part = (name) => document.querySelector(`#viewer [name="${name}"]`);
            part('method').value = [...part('method').options].find((one) => one.text === method).value;
            [part('study').value, part('class').value, part('share').value] = [study, label, share];
            part('share').dispatchEvent(new Event('input', { bubbles: true })); }""",
        [study, label, round(100 * share), method],
    )
    page.wait_for_function("(before) => document.getElementById('viewer').dataset.drawn !== before", arg=before)


def test_the_viewer_shows_what_the_browser_of_the_notebooks_shows(smoke, opened):
    run = load_results(smoke, with_network=False)
    boxed = [
        (row, column)
        for row, image_id in enumerate(run.probabilities.index)
        for column, name in enumerate(run.classes)
        if len(run.cohort.boxes(image_id, name))
    ]
    for (study, label), share in zip(boxed[:3], (0.05, 0.1, 0.3), strict=True):
        as_in_the_browser(opened, run, study, label, share, "Grad-CAM")


def test_the_viewer_shows_maps_of_every_pixel_as_the_browser_does(smoke, opened):
    run = load_results(smoke, with_network=False)
    methods = json.loads(opened.inner_html("#viewer-data"))["methods"]
    fine = {one["name"]: one["cases"] for one in methods if "cases" in one}
    assert {"RISE", "Gradient"} <= fine.keys()
    for method, share in (("RISE", 0.05), ("Gradient", 0.2)):
        study, label = fine[method][0]
        as_in_the_browser(opened, run, study, label, share, method)


def as_in_the_browser(page, run, study, label, share, method):
    """The viewer's picture and score are those of the browser."""
    choose(page, study, label, share, method)
    url = page.evaluate("document.querySelector('#viewer canvas').toDataURL()")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))
    view = run.first_view(run.probabilities.index[study], run.classes[label], share)
    evidence = run.evidence(replace(view, method=method, layer=next(iter(run.methods[method]))))
    expected = compose(run.cohort.images([view.image_id])[0], evidence, Look())
    error = np.abs(shown.astype(int) - expected)
    assert error.mean() < 2 and (error.max(2) > 40).mean() < 0.01
    score = localisation_numbers(evidence, run.cohort.size)["IoU, all pairs"]
    said = float(re.search(r"IoU, all pairs: ([\d.]+)", page.inner_text("#viewer .said"))[1])
    assert said == pytest.approx(score, abs=0.005)


def test_the_viewer_answers_to_the_keyboard(opened):
    choose(opened, 0, 0, 0.05)
    drawn = opened.locator("#viewer").get_attribute("data-drawn")
    opened.locator("#viewer canvas").press("ArrowRight")
    opened.wait_for_function("(drawn) => document.getElementById('viewer').dataset.drawn !== drawn", arg=drawn)
    assert opened.input_value("#viewer [name=study]") == "1"
    opened.locator("#viewer [name=share]").press("ArrowRight")
    opened.wait_for_function("document.querySelector('#viewer figcaption').textContent.includes('top 6 %')")
