"""How commands end, and what they say of themselves."""

import errno
import re
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

import run_all
from cxrlib.__main__ import main as cxrlib_command
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.workflow import command
from cxrlib.workflow.command import exit_code


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=100)


HELP = {
    "run_all.py": ["profile", "thesis", "--only NN,NN", "--compare RUN", "Exit codes: 0", "2 wrong usage"],
    "-m cxrlib.stages.train": ["thesis, section 4.3", "--set", "-m cxrlib.stages.train thesis", "Exit codes: 0"],
    "-m cxrlib.stages.explain": ["explanations", "--set", "-m cxrlib.stages.explain thesis", "Exit codes: 0"],
    "-m cxrlib.stages.roar": ["Remove and retrain", "--set", "-m cxrlib.stages.roar thesis", "Exit codes: 0"],
    "-m cxrlib.stages.share": ["several processes share", "--list", "job array", "Exit codes: 0"],
    "-m cxrlib.show.report": ["report of a run", "--out FOLDER", "Exit codes: 0"],
    "-m cxrlib": ["twins", "Exit codes: 0"],
    "-m benchmarks": ["explanations", "data", "resources", "growth", "pip install", "Exit codes: 0"],
    "-m benchmarks.browser": ["heatmap browser"],
    "-m benchmarks.conversion": ["full-size radiographs"],
    "-m benchmarks.full_scale": ["FOLDER", "15,000 rendered studies", "--studies"],
    "-m benchmarks.gpu": ["correct, speed", "--size"],
    "-m benchmarks.rehearsal": ["FOLDER", "full scale", "Exit codes: 0"],
}
NEEDS_TORCH = {
    "-m cxrlib.stages.train",
    "-m cxrlib.stages.explain",
    "-m cxrlib.stages.roar",
    "-m cxrlib.stages.share",
    "-m benchmarks.browser",
    "-m benchmarks.gpu",
}


@pytest.mark.slow
def test_twins_are_written_for_use_elsewhere(tmp_path):
    done = run("-m", "cxrlib", "twins", str(tmp_path), "--studies", "2", "--size", "64")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "twins.csv")
    assert table["image_id"].nunique() == 2 and (table["cause_pixels"] > 0).all()
    for image_id, rows in table.groupby("image_id"):
        stored = np.load(tmp_path / "twins" / f"{image_id}.npz")
        assert stored["twins"].shape == (len(rows), 64, 64)
        assert (cv2.imread(str(tmp_path / "png" / f"{image_id}.png"), 0) == stored["pixels"]).all()
    assert len(list((tmp_path / "png").iterdir())) == 2 + 2 * len(table)
    assert f"{len(table)} twins of 2 rendered studies" in done.stdout


@pytest.mark.slow
def test_twins_of_another_call_are_replaced_and_wrong_input_is_one_line(tmp_path, monkeypatch, capsys):
    def twins(*arguments):
        monkeypatch.setattr(sys, "argv", ["cxrlib", "twins", *arguments])
        try:
            return cxrlib_command()
        except SystemExit as error:
            return error.code

    small = ("--size", "48", "--workers", "1")
    assert twins(str(tmp_path), "--studies", "2", *small) == 0 == twins(str(tmp_path), "--studies", "1", *small)
    assert len(list((tmp_path / "png").iterdir())) == 1 + 2 * len(pd.read_csv(tmp_path / "twins.csv"))
    capsys.readouterr()
    for arguments, said in [
        ((str(tmp_path), "--studies", "0"), "'0' is no number above 0"),
        ((str(tmp_path), "--seed", "-1"), "expected one argument|no number from 0 on"),
        ((str(tmp_path / "twins.csv" / "below"),), "is a file; name another folder"),
        ((str(tmp_path / "many"), "--studies", "99999"), "99999"),
    ]:
        assert twins(*arguments) == 2
        assert re.search(said, capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.parametrize("command", HELP)
def test_every_command_explains_itself(command):
    shown = run("-X", "importtime", *command.split(), "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"usage: {command.replace('-m', 'python -m')} [-h]" in shown.stdout
    assert all(word in " ".join(shown.stdout.split()) for word in HELP[command]), shown.stdout
    assert ("| torch\n" in shown.stderr.replace(" ", "").replace("|", "| ")) == (command in NEEDS_TORCH)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    ["-m benchmarks x", "-m benchmarks.rehearsal", "-m benchmarks.full_scale f --set a.b=1", "-m benchmarks.gpu x"],
)
def test_wrong_usage_of_a_benchmark_exits_2(command):
    wrong = run(*command.split())
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr and wrong.stdout == ""


def raising(error: BaseException):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Refusal("a.csv: no rows;\n add some"), 2, "name: a.csv: no rows; add some\n"),
        (
            OSError(errno.ENOSPC, "No space left", "a.npy"),
            2,
            "name: [Errno 28] No space left: 'a.npy'; free space there, or work in another folder with --out\n",
        ),
        (KeyboardInterrupt(), 130, "\nInterrupted; the same command goes on here\n"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_what_the_user_mends_is_one_line(capsys, monkeypatch, error, code, said):
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    assert exit_code("name", raising(error)) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("error", [ValueError("v"), RuntimeError("r"), ZeroDivisionError("z"), FileNotFoundError("f")])
def test_any_other_error_goes_on_its_way(error, monkeypatch):
    with pytest.raises(type(error)) as raised:
        exit_code("name", raising(error))
    assert raised.value is error
    monkeypatch.setattr(run_all, "_plan", lambda options: raising(error)())
    with pytest.raises(type(error)):
        run_all.main([])


def test_the_code_is_that_of_the_work():
    assert [exit_code("name", lambda code=code: code) for code in (None, 0, 1)] == [0, 0, 1]


STAGE = """
import sys
from cxrlib.runtime.errors import Refusal
from cxrlib.workflow.command import run_together

def work(params, folder):
    {statement}

run_together(work, "cxrlib.stages.train", "")
"""
REPORT = """
import sys
import cxrlib.show.report.__main__ as report
from cxrlib.runtime.errors import Refusal
from pathlib import Path

def keep(folder, manifest, anew):
    {statement}

report.keep_report = keep
Path(sys.argv[3], "params.json").touch()
sys.exit(report.main())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("code", "name"), [(STAGE, "cxrlib.stages.train"), (REPORT, "cxrlib.show.report")])
@pytest.mark.parametrize(
    ("statement", "last"),
    [
        ("raise Refusal('a.csv: no rows')", None),
        ("1 / 0", "ZeroDivisionError: division by zero\n"),
        ("int('x')", "ValueError: invalid literal for int() with base 10: 'x'\n"),
        ("raise RuntimeError('shapes')", "RuntimeError: shapes\n"),
    ],
)
def test_a_command_refuses_in_one_line_and_fails_with_a_traceback(tmp_path, code, name, statement, last):
    done = run("-c", code.format(statement=statement), "smoke", "--out", str(tmp_path))
    assert done.stdout == ""
    if last is None:
        assert done.returncode == 2 and done.stderr == f"{name}: a.csv: no rows\n"
    else:
        assert done.returncode == 1 and done.stderr.startswith("Traceback") and done.stderr.endswith(last)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "explain"])
def test_a_stage_says_which_notebook_comes_first(command, tmp_path):
    done = run("-m", f"cxrlib.stages.{command}", "smoke", "--out", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"cxrlib.stages.{command}: {tmp_path}/data holds no cohort; run notebook 01_data first\n"
