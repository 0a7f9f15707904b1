"""Bars, and where there are none."""

import threading

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
