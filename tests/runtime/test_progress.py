"""Bars, and where there are none."""

import sys
import threading
import warnings
from types import SimpleNamespace

import pytest

from cxrlib.runtime.progress import no_progress, plain_warnings, progress


def test_a_thread_without_bars_does_not_silence_another(capsys):
    quiet, go_on = threading.Event(), threading.Event()

    def silent():
        with no_progress():
            quiet.set()
            go_on.wait(10)
            assert list(progress([1, 2], "in the background", "item")) == [1, 2]

    thread = threading.Thread(target=silent)
    thread.start()
    quiet.wait(10)
    list(progress([1], "in a cell", "item"))
    go_on.set()
    thread.join()
    list(progress([1], "afterwards", "item"))
    told = capsys.readouterr().err
    assert "in a cell" in told and "afterwards" in told and "in the background" not in told


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))


def test_a_terminal_keeps_its_bars(capsys):
    list(progress([1], "on a terminal", "item"))
    output, errors = capsys.readouterr()
    assert "on a terminal: 100%" in errors and output == ""


def test_a_notebook_draws_no_bar_on_red_and_keeps_none(capsys, notebook):
    for _ in progress([1], "in a notebook", "item"):
        list(progress([1, 2], "within", "item"))
    output, errors = capsys.readouterr()
    assert errors == "" and "in a notebook" in output and "within" in output
    assert "\n" not in output and "\x1b" not in output  # one line, on which the last that is written is empty
    *_, last = output.rstrip("\r").split("\r")
    assert last.strip() == "" and len(last) == len(max(output.split("\r"), key=len))


def test_a_notebook_says_a_warning_in_one_plain_line(capsys, notebook):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        plain_warnings()
        warnings.warn("raise the steps", stacklevel=1)
    assert capsys.readouterr() == ("Note: raise the steps\n", "")
