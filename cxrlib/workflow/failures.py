"""What a run says when a notebook stops: one line where the input is to blame, the cell and its traceback elsewhere."""

import re
import textwrap
from pathlib import Path

from cxrlib.runtime.files import from_root
from cxrlib.workflow.notebooks import cells_of, source_of

LAST_FRAMES = 2


ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


RAISED_BY_CXRLIB = re.compile(r"\AFile \S*/cxrlib/.*^-+> \d+ +raise ", re.DOTALL | re.MULTILINE)


DISK_ERRORS = {"OSError", "PermissionError"}


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; the message shows the cell, the error and the copy that was kept."""


class Refused(RuntimeError):
    """A notebook stopped because of what it was given; the message is one line that says what and how to mend it."""


def failure_of(error: Exception, half_executed: Path) -> NotebookFailed | Refused:
    """Turn what papermill raises into what the user reads.

    An error that cxrlib raises by itself is written for the user, as one of a full or write-protected disk is; any
    other is a mistake in a notebook or in the project.

    Args:
        half_executed: the copy that was kept, if it exists.
    """
    frames = [ANSI_COLOUR.sub("", frame).rstrip() for frame in getattr(error, "traceback", None) or []]
    on_purpose = len(frames) > 1 and RAISED_BY_CXRLIB.match(frames[-2])
    if on_purpose or getattr(error, "ename", None) in DISK_ERRORS:
        return Refused(f"{half_executed.stem}: {' '.join(error.evalue.split())}")
    lines = frames[-LAST_FRAMES - 1 :] or [f"{type(error).__name__}: {error}"]
    if half_executed.exists():
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
