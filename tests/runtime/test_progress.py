"""Bars, and where there are none."""

import sys
import threading
from types import SimpleNamespace

from cxrlib.runtime.progress import no_progress, progress


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


def test_a_notebook_draws_no_bar_on_red(capsys, monkeypatch):
    list(progress([1], "on a terminal", "item"))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    list(progress([1], "in a notebook", "item"))
    output, errors = capsys.readouterr()
    assert "in a notebook" in output and "in a notebook" not in errors
    assert "on a terminal" in errors and "on a terminal" not in output
