"""What a run says when a notebook stops: one line for a refusal, the cell and its traceback for any other error."""

import contextlib
import re
import textwrap
from pathlib import Path

from cxrlib.runtime.errors import Refusal, refusal_shown
from cxrlib.runtime.files import from_root
from cxrlib.workflow.notebooks import cells_of, source_of

LAST_FRAMES = 2
"""Frames of a traceback that are shown: the innermost ones."""
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""IPython colours tracebacks."""


class NotebookFailed(Exception):
    """A notebook stopped with an error; the message shows the cell, the error and the copy that was kept."""


def failure_of(error: Exception, half_executed: Path) -> NotebookFailed | Refusal:
    """What the user reads of a notebook that stopped.

    A refusal is something that the user can mend. It is recognised by the line that it shows in the notebook
    (`cxrlib.runtime.errors`), and its message needs no traceback. Any other error is a mistake in the notebook, in the
    project or in a library.

    Args:
        error: as papermill raises it; one that a cell raised holds the cell's error output in `traceback`.
        half_executed: the copy that was kept, if it exists.
    """
    frames = [ANSI_COLOUR.sub("", frame).rstrip() for frame in getattr(error, "traceback", None) or []]
    if refusal := refusal_shown(frames):
        return Refusal(f"{half_executed.stem}: {refusal}")
    lines = frames[-LAST_FRAMES - 1 :] or [f"{type(error).__name__}: {error}"]
    if half_executed.exists():
        started = []
        with contextlib.suppress(Refusal):  # a copy that was not written to its end
            started = [cell for cell in cells_of(half_executed, "code") if cell["metadata"]["papermill"]["start_time"]]
        if started:
            count = started[-1]["execution_count"] or len(started)
            lines = [
                f"{half_executed.stem}, cell In [{count}]:",
                textwrap.indent(source_of(started[-1]), "    "),
                "",
                *lines,
            ]
        lines += ["", f"half-executed copy: {from_root(half_executed)}"]
    return NotebookFailed("\n".join(lines))
