"""A run's folder: artefacts with provenance, rendered results named as such."""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, kaggle_folder
from matplotlib import pyplot as plt

from cxrlib.data.provenance import Provenance
from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.model.networks import normalise
from cxrlib.params import ParameterError, load_params
from cxrlib.run import Run
from cxrlib.runtime.errors import Missing
from cxrlib.runtime.files import PROJECT_ROOT, all_files, file_sha256, shown_files, whole_file, write_json
from cxrlib.workflow.filelog import FORMATS, RUN_ID
from cxrlib.workflow.interactive import interactive_folder, made_by_hand
from cxrlib.workflow.lock import locked


@pytest.fixture(autouse=True)
def under_run_all(monkeypatch):
    """A notebook of these tests is one that run_all.py executes, if the test does not say otherwise."""
    monkeypatch.setenv(RUN_ID, "0123456789ab")


@pytest.fixture
def by_hand(monkeypatch):
    monkeypatch.delenv(RUN_ID)


def make_run(tmp_path, rendered):
    run = Run("06_iou", str(tmp_path), iou={})
    run.cohort = SimpleNamespace(provenance=Provenance("demo", "a data set", rendered, "abc"))
    return run


def test_tables_of_rendered_images_say_so(tmp_path):
    run = make_run(tmp_path, rendered=True)
    run.save_table("table_06", pd.DataFrame({"value": [1.5]}, ["x"]), "A caption.")
    assert pd.read_csv(tmp_path / "tables" / "table_06.csv")["images"].tolist() == ["rendered"]
    about = json.loads((tmp_path / "tables" / "table_06.json").read_text())
    assert (about["notebook"], about["data"]["data"], about["parameters"]["iou"]["union"]) == ("06_iou", "abc", "areas")
    run.save_table("other", pd.DataFrame({"value": [1.5]}), "A caption.", Provenance(rendered=False))
    assert (tmp_path / "tables" / "other.csv").read_text() == "value\n1.5\n"


@pytest.mark.usefixtures("by_hand")
def test_a_section_takes_from_the_run_what_its_cell_leaves_out(tmp_path):
    run = Run("06_iou", str(tmp_path), iou={"union": "sum"})
    assert run.params.iou == load_params("smoke", ["iou.union=sum"]).iou
    write_json(tmp_path / "params.json", {"parameters": load_params("demo").model_dump()})
    run = Run("06_iou", str(tmp_path), iou={"union": "sum"})
    assert run.params.iou == load_params("demo", ["iou.union=sum"]).iou
    with pytest.raises(AttributeError):
        _ = run.params.training  # not declared: it would not make the notebook stale
    with pytest.raises(ParameterError, match="06_iou: iou.unoin"):
        Run("06_iou", str(tmp_path), iou={"unoin": "sum"})
    with pytest.raises(ParameterError, match="perturbation.kernels: 73 is wider than the input, model.input_size=72"):
        Run("07_perturbation", str(tmp_path), perturbation={"kernels": [73]})


@pytest.mark.usefixtures("by_hand")
def test_a_notebook_by_hand_says_how_long_it_took_and_which_values_the_run_has(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("cxrlib.run.Markdown", said.append)
    Run("05_smoothgrad", str(tmp_path), gradcam={}, smoothgrad={})
    write_json(tmp_path / "params.json", {"parameters": load_params("demo").model_dump()})
    write_json(tmp_path / "manifest.json", {"notebooks": {"05_smoothgrad": {"seconds": 13.4}}})
    Run("05_smoothgrad", str(tmp_path), gradcam={}, smoothgrad={"samples": 9})
    assert said[0].endswith("The run itself stays as it is.")
    assert said[1].endswith(
        "stays as it is. In the run all its cells took 13 s.\n\n"
        "This run's values, where the cell above shows others: `gradcam.threshold`: 0.7; `smoothgrad.samples`: 50; "
        "`smoothgrad.n_studies`: 12."
    )


@pytest.mark.usefixtures("by_hand")
def test_paths_in_a_notebook_count_from_the_project(tmp_path):
    run = Run("01_data", str(tmp_path), data={"source": "folder", "root": "x-rays"})
    assert run.params.data.root == str(PROJECT_ROOT / "x-rays")


@pytest.mark.usefixtures("by_hand")
def test_a_notebook_opened_before_the_first_leaves_no_folder(tmp_path, capsys):
    run = Run("06_iou", str(tmp_path / "new"), iou={})
    for read in ("cohort", "explanations", "network"):
        with pytest.raises(Missing):
            getattr(run, read)
    assert list(tmp_path.iterdir()) == [] and "Markdown" in capsys.readouterr().out


def test_the_caption_of_a_table_names_its_file(tmp_path, monkeypatch):
    said, run = [], make_run(tmp_path, rendered=False)
    monkeypatch.setattr("cxrlib.run.Markdown", said.append)
    run.save_tables({"one": (pd.DataFrame({"value": [1.5]}), "A caption."), "two": (pd.DataFrame(), "Another.")})
    assert said == ["A caption. (`tables/one.csv`)", "Another. (`tables/two.csv`)"]


def test_a_long_sentence_ends_its_lines_between_words(tmp_path, capsys):
    run = Run("06_iou", str(tmp_path), iou={})
    capsys.readouterr()
    run.say("short", "", "a long sentence of " + "many words " * 15)
    first, empty, *lines = capsys.readouterr().out.splitlines()
    assert (first, empty) == ("short", "") and len(lines) == 2
    assert all(len(line) <= 100 for line in lines) and lines[1].startswith("    ")
    assert " ".join(lines).split() == ("a long sentence of " + "many words " * 15).split()


@pytest.mark.usefixtures("by_hand")
def test_a_folder_without_data_names_the_run_that_has_some(tmp_path):
    run = Run("06_iou", str(tmp_path / "new"), iou={})
    with pytest.raises(Missing, match="in a terminal: python run_all.py smoke --only 01"):
        _ = run.cohort
    for number, name in enumerate(["later", "earlier"]):
        write_json(tmp_path / name / "data" / "cohort.json", {})
        os.utime(tmp_path / name / "data" / "cohort.json", (100 - number, 100 - number))
    with pytest.raises(Missing) as refused:
        _ = run.cohort
    assert str(refused.value).startswith(f"{tmp_path / 'new'} holds no data yet; run notebook 01_data first, or")
    assert f'run_folder = "{tmp_path / "later"}" in the parameters cell' in str(refused.value)


def files_of(folder):
    """Hash of every file of a run, those in the folder `interactive` left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and "interactive" not in path.parts]
    return {path: file_sha256(path) for path in files}


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A run over 40 studies with its data prepared, its two models trained and its test studies explained."""
    classes = ["Cardiomegaly", "No finding"]
    rows = [(f"{i:04}", classes[i % 2], f"R{1 + i % 3}", *[10, 20, 50, 30][: 4 - 4 * (i % 2)]) for i in range(40)]
    root = kaggle_folder(tmp_path_factory.mktemp("kaggle"), annotation_rows(*rows))
    folder = tmp_path_factory.mktemp("run")
    run = Run(
        "03_classification",
        str(folder),
        data={"source": "vinbigdata", "root": str(root), "image_size": 64},
        labels={"experiments": {"two": classes, "same": classes}, "explained": "two"},
        model={"input_size": 32},
        training={"epochs": 1},
        compute={"device": "cpu", "workers": 1},
        gradcam={},
        bootstrap={"resamples": 100},
    )
    return run, run.prepare_data(), run.train(), run.explain()


@pytest.mark.slow
def test_a_run_goes_from_files_to_explanations_in_its_own_folder(small_run):
    run, skipped, histories, explanations = small_run
    assert skipped.empty and len(run.cohort.studies) == 40
    assert list(histories) == ["two", "same"] and all(history["epoch"].max() == 1 for history in histories.values())
    assert sorted(path.name for path in (run.folder / "models").glob("*.safetensors")) == [
        "same.safetensors",
        "two.safetensors",
    ]
    assert explanations.probabilities.index.tolist() == run.cohort.of("test")
    assert torch.equal(run.explanations.maps, explanations.maps)


@pytest.mark.slow
def test_what_is_there_is_read_not_made_again(small_run):
    run, _, histories, _ = small_run
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}
    for name, history in run.train().items():
        np.testing.assert_allclose(history, histories[name])
    run.explain()
    after = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.slow
def test_a_notebook_by_hand_reads_the_run_and_writes_beside_it(small_run, by_hand):
    recorded = small_run[0]
    settings = {name: section.model_dump() for name, section in vars(recorded.params).items()}
    before = files_of(recorded.folder)
    same = Run(recorded.notebook, str(recorded.folder), **settings)
    assert same.folder == recorded.folder / "interactive"
    same.prepare_data(), same.train()
    assert torch.equal(same.explain().maps, recorded.explanations.maps)
    assert made_by_hand(recorded.folder, "models", "maps") == []

    settings["training"] |= {"learning_rate": 0.02}
    settings["data"] |= {"image_size": 80}
    other = Run(recorded.notebook, str(recorded.folder), **settings)
    other.prepare_data(), other.train(), other.explain()
    other.save_table("table_03", pd.DataFrame({"value": [1.5]}), "A caption.")
    assert other.cohort.size == 80 and not torch.equal(other.explanations.maps, recorded.explanations.maps)
    assert made_by_hand(recorded.folder, "data", "models", "maps") == ["data", "models", "maps"]
    assert (other.folder / "tables" / "table_03.csv").exists()
    assert files_of(recorded.folder) == before
    assert Run("06_iou", str(recorded.folder), iou={}).cohort.size == 80  # what was made by hand is read by hand
    shutil.rmtree(other.folder)


@pytest.mark.slow
def test_network_probabilities_and_inputs_belong_together(small_run):
    run = small_run[0]
    probabilities = run.explanations.probabilities
    image_ids = probabilities.index[[1, 0]].tolist()
    assert run.checkpoint.classes == run.cohort.explained and not run.network.training
    batch = run.inputs(image_ids)[:]
    assert batch.shape == (2, 1, 32, 32) and batch.dtype == torch.uint8
    with torch.inference_mode():
        for network in (run.network, run.fast_network):
            found = network(normalise(batch)).sigmoid()
            np.testing.assert_allclose(found, probabilities.loc[image_ids], atol=1e-4)
    results = run.predict()
    assert set(results) == {"two", "same"}
    pd.testing.assert_frame_equal(results["two"][1], probabilities)
    labels, other = results["same"]
    assert (labels == run.cohort.labels.loc[labels.index, labels.columns]).all(axis=None)
    assert not np.allclose(other, probabilities.loc[other.index])


@pytest.mark.slow
def test_resamples_are_those_of_the_explained_test_studies(small_run):
    run = small_run[0]
    image_ids = sorted(run.cohort.of("test"))
    expected = study_weights(image_ids, 100, run.params.bootstrap.seed, run.cohort.studies["patient_id"])
    pd.testing.assert_frame_equal(run.resamples, expected)
    assert run.images == "test radiographs"


def test_captions_stand_where_the_reader_looks(tmp_path, capsys):
    run = make_run(tmp_path, rendered=False)
    run.save_table("other", pd.DataFrame({"value": [1.5]}), "A caption of a table.")
    figure, _ = plt.subplots()
    run.save_figure("figure_30", figure, "A caption of a figure.")
    assert capsys.readouterr().out.count("Markdown object") == 2


def test_figures_of_rendered_images_carry_a_note_and_real_ones_do_not(tmp_path):
    for rendered in (True, False):
        figure, _ = plt.subplots()
        make_run(tmp_path, rendered).save_figure("figure_30", figure, "A caption.")
        assert any("rendered" in text.get_text() for text in figure.texts) is rendered
    assert [path.suffix for path in (tmp_path / "figures").glob("figure_30.p*")] == [".png"]


def test_a_pdf_is_written_where_the_run_wants_one(tmp_path, monkeypatch):
    monkeypatch.setenv(FORMATS, "png pdf")
    make_run(tmp_path, rendered=False).save_figure("figure_30", plt.subplots()[0], "A caption.")
    assert (tmp_path / "figures" / "figure_30.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "figures" / "figure_30.png").exists()


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        figure, ax = plt.subplots()
        ax.plot([0, 1])
        make_run(folder, rendered=True).save_figure("figure_30", figure, "A caption.")
        written.append([path.read_bytes() for path in sorted((folder / "figures").iterdir())])
    assert written[0] == written[1]


def test_hidden_files_are_neither_listed_nor_linked_beside_a_run(tmp_path):
    run = tmp_path / ".a.work-2026"  # where the run lies does not count
    for name in (
        "maps/b.npz",
        "maps/a.npz",
        "maps/.a.cxr-here-99999.npz",
        "maps/.a.work-1/a.npz",
        "maps/.a.npz.made.json",
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    assert [path.name for path in shown_files(run, "maps/*.npz")] == ["a.npz", "b.npz"]
    assert len(all_files(run)) == 2 and len(all_files(run, hidden=True)) == 5 and all_files(run / "none") == []
    folder = interactive_folder(run, "maps")
    assert {path.name for path in (folder / "maps").iterdir()} == {"a.npz", "b.npz", ".a.npz.made.json"}
    (folder / "maps" / ".c.cxr-here-99999.npz").touch()
    (folder / "maps" / ".c.npz.work-1").mkdir()
    (folder / "maps" / ".c.npz.work-1" / "c.npz").touch()
    assert made_by_hand(folder.parent, "maps") == []
    (folder / "maps" / "c.npz").touch()
    assert made_by_hand(folder.parent, "maps") == ["maps"]


@pytest.mark.slow
def test_a_folder_in_which_something_works_can_be_looked_through(tmp_path):
    """Folders that vanish between a look into their parent and one into them."""
    code = """
import sys
from pathlib import Path
from cxrlib.runtime.store import keep, work_on
for number in range(100_000):
    path = Path(sys.argv[1]) / "maps" / f"{number % 50}.npz"
    (work_on(path, str(number)) / path.name).touch()
    keep(path, str(number))
"""
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT_ROOT)
    try:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            all_files(tmp_path, hidden=True)
            with locked(tmp_path):
                interactive_folder(tmp_path, "maps")
    finally:
        worker.kill()
        worker.wait()
    assert len(all_files(tmp_path / "maps")) > 10


def test_two_notebooks_can_be_opened_at_once(tmp_path):
    (tmp_path / "maps").mkdir()
    for number in range(300):
        (tmp_path / "maps" / f"{number}.npz").touch()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: interactive_folder(tmp_path, "maps"), range(4)))
    assert len(all_files(tmp_path / "interactive" / "maps")) == 300


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    try:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
