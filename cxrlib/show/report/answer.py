"""The answer to the report's title, from the run's own verdicts."""

from pathlib import Path

import pandas as pd

from cxrlib.evaluate.trusted_measures import UNFIT
from cxrlib.evaluate.verdict import GREEN, GREY, RED, headline
from cxrlib.runtime.errors import Missing
from cxrlib.runtime.numerals import number_text
from cxrlib.thesis.case_tables import read_table

SIGNS = {GREEN: "●", RED: "✖", GREY: "○"}
"""A light has a shape besides its colour."""


SAID = {GREEN: "above its control", RED: "below its control", GREY: "not decided"}


LIGHTS = {
    "predicts": "the network tells the finding",
    "points": "the map points where the readers pointed",
    "matters": "the network needs the highlighted pixels",
    "stable": "the map stays under small changes",
    "passes": "the map depends on what the network learned",
    "true": "the map finds the known cause",
}
"""What a light asks; a light that is not listed explains itself in the column "why"."""


NO_VERDICT = (
    "This run has no verdict yet. The command python run_all.py {profile} makes it: notebook 13 compares every number "
    "with its control."
)


def answer(folder: Path, profile: str) -> dict[str, object]:
    """What the first screen says.

    Args:
        folder: the run's folder.
        profile: of the run, for the command that makes a missing verdict.

    Returns:
        sentence; methods, one for each explanation method: name, sentence, lights, and rows, one for each finding with
        its cells; lights, the meaning of each; unfit, the lights whose measure does not know the
        true cause. Without a verdict only the sentence that says what to run.
    """
    try:
        table = read_table(folder, "verdict")
    except Missing:
        table = pd.DataFrame()
    if table.empty:
        return {"sentence": NO_VERDICT.format(profile=profile), "methods": [], "lights": {}, "unfit": []}
    methods = [_of_method(table, name) for name in table["method"].unique()]
    lights = table["light"].unique()
    unfit = table[table["measure_on_truth"] == UNFIT] if "measure_on_truth" in table else table.iloc[:0]
    return {
        "sentence": methods[0]["sentence"],
        "methods": methods,
        "lights": {name: LIGHTS[name] for name in lights if name in LIGHTS},
        "unfit": unfit["light"].unique().tolist(),
    }


def _of_method(table: pd.DataFrame, method: str) -> dict[str, object]:
    own = table[table["method"] == method]
    rows = [
        {"finding": finding, "cells": [_cell(row) for row in cells.to_dict("records")]}
        for finding, cells in own.groupby("class_name", sort=False)
    ]
    return {
        "name": method,
        "sentence": headline(table, method),
        "lights": own["light"].unique().tolist(),
        "rows": rows,
    }


def _cell(row: dict) -> dict[str, str]:
    known = pd.notna(row["number"])
    interval = f"{number_text(row['low'], 3)} to {number_text(row['high'], 3)}" if pd.notna(row["low"]) else ""
    return {
        "light": row["light"],
        "colour": row["verdict"],
        "sign": SIGNS[row["verdict"]],
        "spoken": f"{row['light']}: {row['verdict']}, {SAID[row['verdict']]}",
        "number": number_text(row["number"], 3) if known else "",
        "control": number_text(row["control"], 3) if known else "",
        "interval": interval,
        "n": f"{row['n']:.0f}",
        "because": row["because"],
        "measure": row.get("measure_on_truth", ""),
    }
