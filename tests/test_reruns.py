"""The same bytes again: from another folder, with another number of workers, and killed on the way.

`CXR_KILLS=20 pytest tests/test_reruns.py` kills the smoke run at twenty seeded random moments instead of two.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fixtures import run_all

from cxrlib.params import load_params
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.workflow.compare import Comparison, compare
from cxrlib.workflow.manifest import Manifest, verify
from cxrlib.workflow.notebooks import find_notebooks
from cxrlib.workflow.runner import Plan, reasons

KILLS = int(os.environ.get("CXR_KILLS", 2))
KILLS_PER_FOLDER = 7
TIMED = ["tables/methods.csv"]
"""Artefacts that hold measured times, and therefore other bytes in every run."""


def kill_after(seconds: float, everything: bool, folder: Path, *arguments: str) -> bool:
    """Start a smoke run and kill it after so many seconds, alone or with its kernels; False if it was done earlier."""
    command = [sys.executable, "run_all.py", "smoke", "--out", str(folder), *arguments]
    run = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        assert run.wait(seconds) == 0
        return False
    except subprocess.TimeoutExpired:
        others = psutil.Process(run.pid).children(recursive=True) if everything else []
        os.kill(run.pid, signal.SIGKILL)
        for process in others:
            process.kill()
        run.wait()
        return True


def files_of(run: Path, *folders: str) -> list[str]:
    return sorted(str(path.relative_to(run)) for name in folders for path in (run / name).rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def interrupted(smoke, tmp_path_factory):
    """Folders of smoke runs with one worker, each killed a few times and then finished."""
    entries = Manifest(smoke).notebooks.values()
    whole = sum(entry["seconds"] for entry in entries)
    dice, folders, killed = random.Random(2023), [], 0
    while killed < KILLS:
        folders.append(tmp_path_factory.mktemp("interrupted"))
        for _ in range(min(KILLS_PER_FOLDER, KILLS - killed)):
            moment, everything = dice.uniform(0, whole / 2), dice.random() < 0.5
            killed += kill_after(moment, everything, folders[-1], "--set", "compute.workers=1")
            time.sleep(dice.random())
        done = run_all("smoke", "--out", str(folders[-1]), "--set", "compute.workers=1")
        assert done.returncode == 0, done.stdout + done.stderr
    return folders


def test_interrupted_runs_end_with_the_same_bytes(smoke, interrupted):
    for folder in interrupted:
        assert compare(Manifest(folder), Manifest(smoke)) == Comparison([], TIMED)
        assert verify(Manifest(folder)) == []
        files = [files_of(run, "tables", "figures", "models", "maps") for run in (folder, smoke)]
        assert files[0] == files[1]  # nothing half-written is left
        different = [name for name in files[0] if (folder / name).read_bytes() != (smoke / name).read_bytes()]
        assert different == TIMED


def test_interrupted_runs_know_who_made_what(smoke, interrupted):
    expected = {
        path: (name, about["cell"])
        for name, entry in Manifest(smoke).notebooks.items()
        for path, about in entry["artefacts"].items()
    }
    assert all(cell for path, (_, cell) in expected.items() if not path.startswith("notebooks/"))
    for folder in interrupted:
        for name, entry in Manifest(folder).notebooks.items():
            assert entry["status"] == "done"
            for path, about in entry["artefacts"].items():
                assert expected[path] == (name, about["cell"]), path


def test_damaged_stores_are_made_again(smoke, interrupted):
    run = interrupted[0]
    model, study = run / "models" / "7_labels.safetensors", next((run / "source" / "train").iterdir())
    page, maps = run / "notebooks" / "01_data.html", run / "maps" / "test.npz"
    pixels, losses, inputs = run / "data" / "pixels.npy", model.with_suffix(".csv"), run / "data" / "inputs-48.npy"
    for path in (model, losses, page, maps, pixels, inputs):
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
    study.unlink()
    done = run_all("smoke", "--out", str(run), "--set", "compute.workers=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert compare(Manifest(run), Manifest(smoke)) == Comparison([], TIMED)
    assert verify(Manifest(run)) == []
    assert b"</html>" in page.read_bytes()[-100:]


def test_every_notebook_says_what_it_read_and_how_it_computed(smoke):
    entries = Manifest(smoke).notebooks
    assert {*entries["05_smoothgrad"]["reads"]} >= {"data/pixels.npy", "models/7_labels.safetensors", "maps/test.npz"}
    assert {*entries["06_iou"]["reads"]} >= {"data/cohort.json", "maps/test.npz"}
    assert entries["01_data"]["reads"] == {}
    compute = entries["02_training"]["compute"]
    assert compute["device"] == "cpu" and compute["threads"] >= 1
    assert compute["seed"] == 2023 and compute["deterministic"]


def test_a_fresh_run_is_skipped_whole(smoke):
    done = run_all("smoke", "--out", str(smoke))
    assert done.stdout.count("is fresh") == len(Manifest(smoke).notebooks)
    assert "report ..." not in done.stdout
    shown = run_all("smoke", "--out", str(smoke), "--dry-run", "--set", "smoothgrad.samples=5").stdout
    assert "smoothgrad.samples changed" in shown and shown.count(": fresh\n") == len(Manifest(smoke).notebooks) - 1
    notebooks = [path for path in find_notebooks() if path.stem in Manifest(smoke).notebooks]
    more_epochs = [*reasons(Plan("smoke", load_params("smoke", ["training.epochs=2"]), smoke, notebooks)).values()]
    assert "training.epochs changed" in more_epochs and more_epochs.count("upstream 02_training runs again") >= 3


def test_the_report_is_recorded_like_any_result(smoke):
    hashes, page = Manifest(smoke).hashes(), smoke / "report.html"
    assert {"report.html", "tables/claims.csv", "tables/coverage.csv", "notebooks/01_data.html"} <= hashes.keys()
    kept = page.read_bytes()
    page.write_bytes(kept + b" ")
    assert verify(Manifest(smoke)) == ["report.html has changed since report made it"]
    assert "report ..." in run_all("smoke", "--out", str(smoke)).stdout
    assert page.read_bytes() == kept


def test_verify_and_compare_speak_through_exit_codes(smoke, interrupted):
    assert run_all("smoke", "--out", str(smoke), "--verify").returncode == 0
    manifest = interrupted[0] / "manifest.json"
    same = run_all("smoke", "--out", str(smoke), "--compare", str(manifest))
    assert same.returncode == 0 and "the same results" in same.stdout
    table = interrupted[0] / "tables" / "table_02.csv"
    kept = table.read_bytes()
    table.write_text(table.read_text().replace("2300", "2301"))
    try:
        differs = run_all("smoke", "--out", str(interrupted[0]), "--verify")
        assert differs.returncode == 1 and "tables/table_02.csv has changed since 01_data made it" in differs.stdout
    finally:
        table.write_bytes(kept)
