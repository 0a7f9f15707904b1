"""Which files of a run a notebook reads and writes, recorded while it runs.

The runner names a log and the run's folder in the environment of a kernel; importing cxrlib there, or in a process
that the kernel starts, begins the record. The record is made from Python's audit events: every file that Python code
opens is noted without a declaration. A file that a compiled library opens by itself is not noted.
"""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

NOTE = "cxrlib.note"
"""The audit event that names device, threads and seeds (`cxrlib.runtime.device`)."""
LOG, FOLDER, RUN_ID, FORMATS = "CXR_FILE_LOG", "CXR_RUN_FOLDER", "CXR_RUN_ID", "CXR_FIGURE_FORMATS"
"""Names of the variables that the runner sets: the log, the run's folder, the id on tables and figures, and the
formats of figures with a blank between."""


_recorder: "Recorder | None" = None


@dataclass
class FileLog:
    """The content of a log.

    Attributes:
        reads: paths of files that were read, below the run's folder.
        writes: path -> number of the cell that wrote the file last, counted from 1 as IPython does.
        notes: device, threads and seeds of the notebook.
    """

    reads: set[str] = field(default_factory=set)
    writes: dict[str, int] = field(default_factory=dict)
    notes: dict[str, object] = field(default_factory=dict)


def read_log(path: Path) -> FileLog:
    """Read a log. A line that is not whole is left out; an absent log is empty."""
    found, cell = FileLog(), 0
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            kind, value = json.loads(line)
        except ValueError:
            continue
        if kind == "cell":
            cell = value
        elif kind == "read":
            found.reads.add(value)
        elif kind == "write":
            found.writes[value] = cell
        else:
            found.notes |= value
    return found


def begin() -> None:
    """Record from now on which files below the run's folder this process opens, and in which cell of the notebook."""
    global _recorder
    if _recorder is None:
        _recorder = Recorder(Path(os.environ[LOG]), os.environ[FOLDER])
        sys.addaudithook(_recorder.on_event)
    if _recorder.shell is None and "IPython" in sys.modules:
        _recorder.watch(sys.modules["IPython"].get_ipython())


class Recorder:
    """Appends to a log that several processes share; each line is one short write, so that lines do not mix."""

    def __init__(self, log: Path, folder: str) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.folder = os.path.join(folder, "")
        self.seen: set[tuple] = set()
        self.shell, self.cell = None, 0

    def watch(self, shell: object) -> None:
        """Note the number of each cell before it runs; `shell` is IPython's, or None."""
        if shell is not None:
            self.shell = shell
            shell.events.register("pre_run_cell", self.on_cell)

    def add(self, kind: str, value: object) -> None:
        """Append one line."""
        os.write(self.file, (json.dumps([kind, value]) + "\n").encode())

    def on_cell(self, cell: object) -> None:
        """A cell begins: files that it writes are recorded as its own, also if another cell wrote them before."""
        if cell.store_history:  # versions of IPython raise the shell's counter before or after this event
            self.cell += 1
            self.seen.clear()
            self.add("cell", self.cell)

    def on_event(self, event: str, arguments: tuple) -> None:
        """Record an audit event of this process, if it concerns a file of the run."""
        if event == NOTE:
            self.add("note", arguments[0])
            return
        if event == "open":
            path, _, flags = arguments
            kind = "write" if flags & (os.O_WRONLY | os.O_RDWR) else "read"
        elif event == "os.rename":
            path, kind = arguments[1], "write"
        else:
            return
        if isinstance(path, int):
            return
        path = os.path.abspath(os.fsdecode(path))
        if path.startswith(self.folder) and (kind, path) not in self.seen:
            self.seen.add((kind, path))
            name = path.removeprefix(self.folder)
            if not any(part.startswith(".") for part in name.split(os.sep)):  # temporary files
                self.add(kind, name)
