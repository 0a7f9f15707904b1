"""The whole chain, as a user starts it: `run_all.py smoke` in a process of its own, real notebooks in real kernels."""

import json
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from fixtures import SEVEN, run_all
from scipy.stats import spearmanr
from sklearn.metrics import f1_score

from cxrlib.explain.explanations import load_explanations
from cxrlib.runtime.files import PROJECT_ROOT, file_sha256
from cxrlib.thesis.items import thesis_items


def test_every_table_and_figure_is_there_with_its_provenance(smoke):
    items = thesis_items()
    for item in items[items["artefact"] != ""].itertuples():
        kind = ("tables", "csv") if item.artefact.startswith("table") else ("figures", "png")
        artefact = smoke / kind[0] / f"{item.artefact}.{kind[1]}"
        assert artefact.stat().st_size > 0
        about = json.loads(artefact.with_suffix(".json").read_text())
        assert about["caption"] and about["code"] and about["notebook"] == item.notebook
    assert not [*(smoke / "figures").glob("*.pdf")]


def test_numbers_from_rendered_images_say_so_and_real_ones_do_not(smoke):
    assert (pd.read_csv(smoke / "tables" / "table_06.csv")["images"] == "rendered").all()
    assert "images" not in pd.read_csv(smoke / "tables" / "reader_agreement.csv")
    assert json.loads((smoke / "figures" / "figure_30.json").read_text())["data"]["rendered"] is True
    assert json.loads((smoke / "figures" / "figure_01.json").read_text())["data"]["rendered"] is False


def test_table_2_counts_the_real_annotations(smoke):
    table = pd.read_csv(smoke / "tables" / "table_02.csv", index_col="row")
    assert table.loc[["Train", "Valid", "Test"], "real_annotations"].tolist() == [11_941, 1_492, 1_492]
    assert table.loc["Cardiomegaly", ["thesis", "real_annotations", "difference"]].tolist() == [2_168, 2_300, 132]


@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_tables_follow_from_the_cases_and_cases_from_the_store(smoke):
    def read(name):
        return pd.read_csv(smoke / "tables" / f"{name}.csv", dtype={"image_id": str})

    every, store = read("predictions"), load_explanations(smoke / "maps" / "test.npz")
    truth = pd.read_csv(smoke / "data" / "labels.csv", dtype={"image_id": str}).set_index("image_id")
    assert every["truth"].tolist() == [truth.at[i, n] for i, n in zip(every["image_id"], every["label"], strict=True)]
    own = every[every["experiment"] == "7 labels"]
    stored = [store.probabilities.at[i, n] for i, n in zip(own["image_id"], own["label"], strict=True)]
    assert own["probability"].tolist() == pytest.approx(stored, rel=1e-4)
    f1 = read("table_03").set_index(["experiment", "label"])["ours"]
    for key, rows in every.groupby(["experiment", "label"]):
        if rows["truth"].any():
            wanted = f1_score(rows["truth"], rows["probability"] >= 0.5, zero_division=0)
            assert f1[key] == pytest.approx(wanted, rel=1e-4)
    iou = read("table_06").set_index(["share", "class_name"])["ours"]
    for key, rows in read("iou_cases").groupby(["share", "class_name"]):
        assert iou[key] == pytest.approx(rows["all_pairs"].mean(), rel=1e-4, abs=1e-6)
    keys = ["heatmap_class", "transform", "share"]
    means = read("perturbation").set_index(keys)
    for key, rows in read("perturbation_cases").groupby(keys):
        assert means.loc[key, SEVEN].astype(float).tolist() == pytest.approx(rows[SEVEN].mean().tolist(), abs=1e-5)
    for row in read("smoothgrad_cases").itertuples():
        noisy = load_explanations(smoke / "maps" / f"test-SmoothGrad {row.noise_level:g}.npz")
        pair = [one.map(row.image_id, row.class_name).flatten() for one in (store, noisy)]
        assert row.rank_correlation == pytest.approx(spearmanr(*pair).statistic, rel=1e-3, nan_ok=True)


def test_stored_maps_are_small_and_raw(smoke):
    with np.load(smoke / "maps" / "test.npz") as store:
        assert store["maps"].shape == (*store["probabilities"].shape, 3, 3)
        assert (store["maps"] >= 0).all() and store["maps"].max() != 1


def test_executed_notebooks_have_no_errors_and_end_with_an_answer(smoke):
    for path in sorted((smoke / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output.output_type == "error"]
        red = [output.text for output in outputs if output.get("name") == "stderr"]  # a notebook draws it on red
        assert red == [], path.name
        assert notebook.cells[-2].source.startswith("## Answer")
        assert any(output.get("text", "").strip() for output in notebook.cells[-1].outputs), path.name


def test_one_notebook_alone_reads_what_the_others_left(smoke):
    table = smoke / "tables" / "smoothgrad_cases.csv"
    before = table.read_bytes()
    try:
        table.unlink()
        assert run_all("smoke", "--out", str(smoke), "--only", "05").returncode == 0
        assert table.read_bytes() == before
    finally:
        table.write_bytes(before)


def test_a_notebook_run_by_hand_changes_nothing_of_a_finished_run(smoke, tmp_path):
    files = [path for path in smoke.rglob("*") if path.is_file()]
    before = {path: file_sha256(path) for path in files}
    changes = {"02_training": {"training": {"learning_rate": 0.02}}, "06_iou": {"iou": {"union": "sum"}}}
    for name, sections in changes.items():
        executed, notebook = tmp_path / f"{name}.ipynb", PROJECT_ROOT / "notebooks" / f"{name}.ipynb"
        papermill.execute_notebook(notebook, executed, {"run_folder": str(smoke), **sections}, progress_bar=False)
        assert f"saves in `{smoke}/interactive`" in executed.read_text()
    made = {path.relative_to(smoke / "interactive").as_posix() for path in (smoke / "interactive").rglob("*")}
    assert {"tables/table_06.csv", "figures/figure_30.png", "models/7_labels.safetensors"} <= made
    assert {path: file_sha256(path) for path in files} == before
    assert run_all("smoke", "--out", str(smoke), "--verify").returncode == 0
    assert "Results in" in run_all("smoke", "--out", str(smoke)).stdout  # all is fresh
    shutil.rmtree(smoke / "interactive")


def test_two_processes_find_the_models_and_make_the_same_store(smoke, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(smoke, folder, ignore=shutil.ignore_patterns("source", "figures", "tables"))
    models = {path: path.stat().st_mtime_ns for path in (folder / "models").iterdir()}
    (folder / "maps" / "test.npz").unlink()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for command in ("train", "explain"):
        arguments = ["-m", f"cxrlib.stages.{command}", "smoke", "--out", str(folder), "--set", "compute.batch_size=3"]
        done = subprocess.run([*torchrun, *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "models").iterdir()} == models
    with np.load(smoke / "maps" / "test.npz") as one, np.load(folder / "maps" / "test.npz") as two:
        for name in ("image_ids", "classes", "input_size"):
            assert (one[name] == two[name]).all()
        for name in ("probabilities", "maps"):
            np.testing.assert_allclose(two[name], one[name], atol=1e-5 * one[name].max())
