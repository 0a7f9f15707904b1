"""What a report keeps for its next version: the same bytes with it and without, noticed when damaged, never growing."""

import base64
import io
import json

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, PngImagePlugin

from cxrlib.params import load_params
from cxrlib.show.report import kept_pictures, notebook_pages, within_budget
from cxrlib.show.report import page as report_page
from cxrlib.show.report.embedded import embed
from cxrlib.show.report.keep import keep_report
from cxrlib.show.report.kept_pictures import PICTURES, picture_sha256
from cxrlib.show.report.notebook_pages import write_notebook_pages
from cxrlib.show.report.page import write_report
from cxrlib.show.report.within_budget import embed_within
from cxrlib.workflow.manifest import Manifest

STEPS = [(300, 70), (200, 60), (100, 40)]


def png(seed, text="a run", width=400):
    about = PngImagePlugin.PngInfo()
    about.add_text("Source", text)
    noise = np.random.default_rng(seed).integers(0, 255, (60, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", pnginfo=about)
    return buffer


@pytest.fixture
def encoded(monkeypatch):
    """The widths of the pictures that are encoded, as they are encoded."""
    widths = []

    def noted(image, width, quality):
        widths.append(width)
        return embed(image, width, quality)

    monkeypatch.setattr(within_budget, "embed", noted)
    return widths


def test_a_picture_is_encoded_once_and_is_the_same_from_the_store(tmp_path, encoded):
    store, files = tmp_path / PICTURES / "page.json", [png(seed) for seed in range(4)]
    without = embed_within(files, STEPS, 10**9)
    encoded.clear()
    assert embed_within(files, STEPS, 10**9, store) == without and len(encoded) == 4
    encoded.clear()
    assert embed_within(files, STEPS, 10**9, store) == without and not encoded
    changed = [*files[:3], png(9)]
    assert embed_within(changed, STEPS, 10**9, store) == embed_within(changed, STEPS, 10**9)
    assert len(encoded) == 1 + 4  # one for the store, all without it


def test_steps_that_did_not_fit_are_not_tried_again(tmp_path, encoded):
    store, files = tmp_path / "page.json", [png(seed) for seed in range(4)]
    sizes = [sum(picture.size for picture in embed_within(files, [step], 0)) for step in STEPS]
    budget = (sizes[1] + sizes[2]) // 2
    encoded.clear()
    found = embed_within(files, STEPS, budget, store)
    assert [picture.width for picture in found] == [100] * 4
    encoded.clear()
    again = embed_within(files, STEPS, budget, store)
    assert again == found and not encoded
    changed = [*files[:3], png(9)]
    assert embed_within(changed, STEPS, budget, store) == embed_within(changed, STEPS, budget)
    encoded.clear()
    wider = embed_within(files[:1], STEPS, budget, store)  # what was too large beside others may fit now
    assert wider == embed_within(files[:1], STEPS, budget) and wider[0].width > 100


def test_what_code_wrote_that_was_edited_meanwhile_is_written_anew(tmp_path, encoded, monkeypatch):
    """A run that takes minutes loads the code in its first seconds and writes the report in its last ones."""
    store, files = tmp_path / "page.json", [png(1)]
    monkeypatch.setattr(kept_pictures, "CODE", "as loaded before the edit")
    embed_within(files, STEPS, 10**9, store)
    monkeypatch.undo()
    monkeypatch.setattr(within_budget, "embed", lambda image, width, quality: edited)
    edited = embed(Image.new("RGB", (4, 4)), 4, 40)
    assert embed_within(files, STEPS, 10**9, store) == [edited]


def test_a_page_that_edited_code_wrote_is_written_anew(tmp_path, monkeypatch):
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A title")]), tmp_path / "01_first.ipynb")
    monkeypatch.setattr(notebook_pages, "CODE", "as loaded before the edit")
    page = write_notebook_pages(tmp_path)[0]
    page_before = page.stat().st_mtime_ns
    assert write_notebook_pages(tmp_path)[0].stat().st_mtime_ns == page_before
    monkeypatch.undo()
    assert write_notebook_pages(tmp_path)[0].stat().st_mtime_ns > page_before


def test_a_report_that_edited_code_wrote_is_not_up_to_date(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(report_page, "write_report", lambda folder: written.append(folder) or [])
    (tmp_path / "params.json").write_text("{}")
    monkeypatch.setattr(report_page, "CODE", "as loaded before the edit")
    keep_report(tmp_path, Manifest(tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr(report_page, "write_report", lambda folder: written.append(folder) or [])
    for _ in range(2):
        keep_report(tmp_path, Manifest(tmp_path))
    assert len(written) == 2  # the edited code's, and none of the same code


def test_a_damaged_store_is_noticed_and_made_anew(tmp_path, encoded):
    store, files = tmp_path / "page.json", [png(1)]
    found, whole = embed_within(files, STEPS, 10**9, store), store.read_bytes()
    for damage in (whole.replace(b"data:image", b"data:imagf"), whole[:-9], b""):
        store.write_bytes(damage)
        encoded.clear()
        assert embed_within(files, STEPS, 10**9, store) == found and len(encoded) == 1
        assert store.read_bytes() == whole


def test_a_store_holds_only_what_its_page_shows(tmp_path):
    store = tmp_path / "page.json"
    embed_within([png(seed) for seed in range(6)], STEPS, 10**9, store)
    embed_within([png(9)], STEPS, 10**9, store)
    kept = json.loads(store.read_text())
    assert len(kept["pictures"]) == 1 and not kept["sizes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".page.json.made.json", "page.json"]


def test_a_run_s_id_in_the_text_of_a_picture_is_not_what_it_shows(tmp_path, encoded):
    assert picture_sha256(png(1, "a").getvalue()) == picture_sha256(png(1, "b").getvalue())
    assert picture_sha256(png(1).getvalue()) != picture_sha256(png(2).getvalue())
    assert picture_sha256(png(1, width=4).getvalue()) != picture_sha256(png(1, width=5).getvalue())
    assert picture_sha256(b"a") != picture_sha256(b"b")
    embed_within([png(1, "a")], STEPS, 10**9, tmp_path / "page.json")
    encoded.clear()
    embed_within([png(1, "b")], STEPS, 10**9, tmp_path / "page.json")
    assert not encoded


def notebook(path, source):
    cell = new_code_cell(source)
    cell.outputs = [new_output("display_data", {"image/png": base64.b64encode(png(1).getvalue()).decode()})]
    made = new_notebook(cells=[new_markdown_cell(f"# {path.stem}"), cell])
    for number, one in enumerate(made.cells):
        one["id"] = f"cell-{number}"
    nbformat.write(made, path)


def test_only_the_page_of_a_notebook_that_ran_again_is_made_again(tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.ipynb" for name in ("01_data", "02_training")]
    for path in paths:
        notebook(path, "1 + 1")
    pages, made = write_notebook_pages(tmp_path), []
    bytes_before = [page.read_bytes() for page in pages]
    html = notebook_pages._html
    monkeypatch.setattr(notebook_pages, "_html", lambda path, store: made.append(path.stem) or html(path, store))
    assert write_notebook_pages(tmp_path) == pages and not made
    notebook(paths[1], "2 + 2")
    write_notebook_pages(tmp_path)
    assert made == ["02_training"] and b">2<" in pages[1].read_bytes()
    notebook(paths[1], "1 + 1")
    pages[0].unlink()
    write_notebook_pages(tmp_path)
    assert [page.read_bytes() for page in pages] == bytes_before
    monkeypatch.setattr(notebook_pages, "environment", lambda: {"nbconvert": "another"})
    made.clear()
    write_notebook_pages(tmp_path)
    assert made == ["01_data", "02_training"]


def test_a_report_has_the_same_bytes_with_and_without_what_is_kept_and_lists_none_of_it(tmp_path):
    for name in ("data", "figures", "notebooks"):
        (tmp_path / name).mkdir()
    parameters = load_params("smoke").model_dump()
    (tmp_path / "params.json").write_text(json.dumps({"profile": "smoke", "parameters": parameters}))
    (tmp_path / "figures" / "figure_01.png").write_bytes(png(1).getvalue())
    notebook(tmp_path / "notebooks" / "01_data.ipynb", "1 + 1")
    first = write_report(tmp_path)
    assert not [path for path in first if any(part.startswith(".") for part in path.relative_to(tmp_path).parts)]
    hidden = [path for path in tmp_path.rglob("*") if path.name.startswith(".") or PICTURES in path.parts]
    assert len([path for path in hidden if path.suffix == ".json"]) >= 5
    before = [path.read_bytes() for path in first]
    assert [path.read_bytes() for path in write_report(tmp_path)] == before
    for path in sorted(hidden, reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert [path.read_bytes() for path in write_report(tmp_path)] == before
