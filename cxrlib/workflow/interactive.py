"""The folder of a notebook that is run by hand: what it saves never touches the record of a finished run."""

import contextlib
import os
from pathlib import Path

from cxrlib.runtime.files import TEMPORARY, all_files

INTERACTIVE = "interactive"
"""Name of the folder in a run's folder."""


def interactive_folder(run_folder: Path, *parts: str) -> Path:
    """Where a notebook that is run by hand reads and writes: `run_folder`/interactive.

    Every file below the given parts of the run that the interactive folder lacks is linked into it. The notebook then
    finds there what the run has made. Whoever writes a file replaces the link and leaves the run's file as it is. If
    the run has none of these parts, no folder is made.

    Args:
        run_folder: the folder of the run.
        parts: folders of the run, e.g. "data".
    """
    folder = run_folder / INTERACTIVE
    for part in parts:
        for file in _finished(run_folder, part):
            link = folder / file.relative_to(run_folder)
            if link.is_symlink() and not link.exists():
                link.unlink(missing_ok=True)
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):  # another notebook was opened at the same time
                    link.symlink_to(os.path.relpath(file, link.parent))
    return folder


def made_by_hand(run_folder: Path, *parts: str) -> list[str]:
    """Those of the given parts whose interactive folder holds a file of its own, which is no link."""
    folder = run_folder / INTERACTIVE
    return [part for part in parts if any(not file.is_symlink() for file in _finished(folder, part))]


def _finished(folder: Path, part: str) -> list[Path]:
    """The files of a part of a folder, without those on which a process works and what a killed one left."""
    return [file for file in all_files(folder / part, hidden=True) if not _is_half_done(file.relative_to(folder))]


def _is_half_done(file: Path) -> bool:
    in_work = any(name.startswith(".") and ".work-" in name for name in file.parts)
    return in_work or TEMPORARY.fullmatch(file.name) is not None
