"""The folder of a notebook that is run by hand: what it saves never touches the record of a finished run."""

import os
from pathlib import Path

from cxrlib.runtime.files import TEMPORARY

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
        for file in (run_folder / part).rglob("*"):
            unfinished = any(name.startswith(".") and ".work-" in name for name in file.parts)
            if file.is_dir() or unfinished or TEMPORARY.fullmatch(file.name):
                continue
            link = folder / file.relative_to(run_folder)
            if link.is_symlink() and not link.exists():
                link.unlink()
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(os.path.relpath(file, link.parent))
    return folder


def made_by_hand(run_folder: Path, *parts: str) -> list[str]:
    """Those of the given parts whose interactive folder holds a file of its own, which is no link."""
    folder = run_folder / INTERACTIVE
    return [part for part in parts if any(f.is_file() and not f.is_symlink() for f in (folder / part).rglob("*"))]
