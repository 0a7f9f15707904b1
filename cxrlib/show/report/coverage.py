"""The tables and figures of the thesis that a run has, and the commands that make the missing ones."""

from pathlib import Path

import pandas as pd

from cxrlib.runtime.files import shown_files
from cxrlib.thesis.items import thesis_items

PRESENT, ABSENT, OTHERS = "present", "missing", "another author's"


def coverage(folder: Path, profile: str) -> pd.DataFrame:
    """Every item of the thesis with its place in a run.

    Args:
        folder: the run's folder.
        profile: the run's profile, for the command that makes what is missing.

    Returns:
        One row per item, in the thesis's order: item, title, notebook, artefact, file (relative to `folder`, empty
        where there is none), status and remark (for a missing item the command that makes it).
    """
    items = thesis_items()
    files = [_file(artefact) for artefact in items["artefact"]]
    found = [bool(file) and (folder / file).exists() for file in files]
    items["file"] = [file if there else "" for file, there in zip(files, found, strict=True)]
    items["status"] = [
        OTHERS if not artefact else PRESENT if there else ABSENT
        for artefact, there in zip(items["artefact"], found, strict=True)
    ]
    absent = items["status"] == ABSENT
    commands = "python run_all.py " + profile + " --only " + items["notebook"].str[:2]
    items.loc[absent, "remark"] = "run: " + commands[absent]
    return items


def others(folder: Path) -> pd.DataFrame:
    """Tables and figures of a run that go beyond the thesis: artefact and file, tables first."""
    known = set(thesis_items()["artefact"])
    files = [*shown_files(folder, "tables/*.csv"), *shown_files(folder, "figures/*.png")]
    rows = [(path.stem, path.relative_to(folder).as_posix()) for path in files if path.stem not in known]
    return pd.DataFrame(rows, columns=["artefact", "file"])


def _file(artefact: str) -> str:
    if not artefact:
        return ""
    return f"tables/{artefact}.csv" if artefact.startswith("table") else f"figures/{artefact}.png"
