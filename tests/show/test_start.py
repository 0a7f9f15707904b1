"""Notebook 00: before any run, after one, and with a verdict."""

import os

import nbformat
import pytest
from matplotlib import pyplot as plt

from cxrlib.params import load_params
from cxrlib.runtime.files import write_json
from cxrlib.show import start
from cxrlib.show.start import found_runs, play_last_run, show_last_run
from cxrlib.workflow.notebooks import NOTEBOOKS, START, find_notebooks

VERDICT = "class_name,method,light,verdict,number\nMass,Other,points,red,0.1\nILD,Other,points,grey,0.2\n"


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: Markdown as text, pictures as the paths of their files."""
    seen = []
    monkeypatch.setattr(start, "display", lambda *things: seen.extend(things))
    monkeypatch.setattr(start, "Markdown", lambda text: text)
    monkeypatch.setattr(start, "Image", lambda filename, **_: filename)
    return seen


def write_run(folder, profile, changed):
    write_json(folder / "params.json", {"profile": profile, "parameters": load_params("smoke").model_dump()})
    done = {"status": "done", "environment": "e", "artefacts": {}}
    manifest = {"notebooks": {"02_training": done, "01_data": done, "03_classification": done | {"status": "failed"}}}
    write_json(folder / "manifest.json", manifest)
    os.utime(folder / "manifest.json", (changed, changed))


def test_before_any_run_it_says_how_to_start(tmp_path, shown):
    outputs = str(tmp_path / "none")
    runs = found_runs(outputs)
    assert runs.empty and runs.columns.tolist() == ["run", "profile", "finished", "notebooks"]
    show_last_run(runs, outputs)
    assert f"**No run yet** below `{outputs}`" in shown[0] and "`python run_all.py smoke`" in shown[0]
    assert list(tmp_path.iterdir()) == []


def test_the_last_run_is_shown_and_what_to_open_next(tmp_path, shown):
    write_run(tmp_path / "old", "demo", 100)
    write_run(tmp_path / "new", "smoke", 200)
    runs = found_runs(str(tmp_path))
    assert runs["profile"].tolist() == ["smoke", "demo"] and runs["notebooks"].tolist() == ["01, 02"] * 2
    assert runs["finished"].tolist() == ["1970-01-01 00:03", "1970-01-01 00:01"]
    show_last_run(runs, str(tmp_path))
    assert shown[0] == "**Notebook 01 has not run yet.**" and "run_all.py smoke" in shown[1] and len(shown) == 2
    assert "report.html" not in shown[1] and "04_gradcam" not in shown[1]


def test_the_answer_comes_from_the_verdict_and_the_picture_shows_radiographs(tmp_path, shown):
    folder = tmp_path / "run"
    write_run(folder, "smoke", 100)
    for name in ("tables", "figures", "maps"):
        (folder / name).mkdir()
    (folder / "tables" / "verdict.csv").write_text(VERDICT)
    for name in ("figure_24", "verdict"):
        plt.imsave(folder / "figures" / f"{name}.png", [[0.0, 1.0]])
        write_json(folder / "figures" / f"{name}.json", {"caption": f"caption of {name}"})
    for name in ("report.html", "maps/test.npz"):
        (folder / name).touch()
    show_last_run(found_runs(str(tmp_path)), str(tmp_path))
    answer, picture, caption, following = shown
    assert answer == "**Other may be relied on for 0 of 2 findings, fails a check for 1, and is undecided for 1.**"
    assert picture == folder / "figures" / "figure_24.png" and caption == "caption of figure_24"
    assert (
        "/run/report.html` in a browser" in following
        and f'`04_gradcam.ipynb` with `run_folder = "{folder}"`' in following
        and "`13_verdict.ipynb`, with the same `run_folder`" in following
    )


def test_the_game_is_that_of_the_last_run_with_heatmaps(tmp_path, shown, monkeypatch):
    monkeypatch.setattr(start, "open_game", lambda folder: f"game of {folder}")
    play_last_run(found_runs(str(tmp_path)))
    write_run(tmp_path / "old", "demo", 100)
    write_run(tmp_path / "new", "smoke", 200)
    play_last_run(found_runs(str(tmp_path)))
    assert shown == [start.NO_GAME] * 2
    for name in ("old", "new"):
        (tmp_path / name / "maps").mkdir()
        (tmp_path / name / "maps" / "test.npz").touch()
        play_last_run(found_runs(str(tmp_path)))
    assert shown[2:] == [f"game of {tmp_path / name}" for name in ("old", "new")]


def test_it_belongs_to_no_run():
    notebook = nbformat.read(NOTEBOOKS / f"{START}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# 00 Start here")
    assert START not in [path.stem for path in find_notebooks()]
