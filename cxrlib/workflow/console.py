"""Lines on the terminal with the time that a step takes."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator

CLEAR = "\r\x1b[K"
"""Go back to the first column and empty the line."""


@contextlib.contextmanager
def timed(label: str, more: Callable[[float], str] = lambda seconds: "") -> Iterator[None]:
    """Print one line with the elapsed time of a `with` block; a terminal shows the seconds as they pass.

    Args:
        label: what is done.
        more: what a terminal shows behind the seconds, which are given to it.
    """
    begun = time.monotonic()
    finished = threading.Event()
    line = f"{label} ... "

    def show_each_second() -> None:
        while not finished.wait(1):
            seconds = time.monotonic() - begun
            rest = f"{duration(seconds, 0)}  {more(seconds)}".rstrip()
            room = max(0, shutil.get_terminal_size().columns - 1 - len(rest))
            print(f"{CLEAR}{line[:room]}{rest}", end="", flush=True)

    print(line, end="", flush=True)
    terminal = sys.stdout.isatty()
    ticker = threading.Thread(target=show_each_second, daemon=True)
    if terminal:
        ticker.start()
    outcome = "failed after "
    try:
        yield
        outcome = ""
    except KeyboardInterrupt:
        outcome = "interrupted after "
        raise
    finally:
        finished.set()
        if terminal:
            ticker.join()
        print(f"{CLEAR + line if terminal else ''}{outcome}{duration(time.monotonic() - begun)}", flush=True)


def duration(seconds: float, decimals: int = 1) -> str:
    """Seconds below a minute, else minutes and seconds.

    >>> duration(5.25), duration(125)
    ('5.2 s', '2 min 05 s')
    """
    if seconds < 60:
        return f"{seconds:.{decimals}f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
