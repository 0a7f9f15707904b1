"""What changed from one run to another, in the words of a reader: scores, claims, lights and cases."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrlib.evaluate.bootstrap import in_words
from cxrlib.runtime.errors import Missing
from cxrlib.show.browse.browsed import parameters_of
from cxrlib.show.browse.selection import SCORED_SHARE
from cxrlib.thesis.case_tables import read_table

MOST = 8
"""Cases that moved most, per score."""


@dataclass(frozen=True)
class Changes:
    """Differences of two runs, ours first.

    Attributes:
        scores: score, ours, theirs (numbers with intervals as text), change and beyond (whether ours lies outside the
            other run's interval).
        claims: claim, statement, ours, theirs: verdicts that differ.
        lights: class_name, method, light, ours, theirs: colours that differ.
        cases: score, image_id, class_name, ours, theirs, change: what moved most.
    """

    scores: pd.DataFrame
    claims: pd.DataFrame
    lights: pd.DataFrame
    cases: pd.DataFrame

    def lines(self) -> list[str]:
        """The changed scores and the counts of what flipped, one sentence each."""
        moved = self.scores[self.scores["ours"] != self.scores["theirs"]]
        said = [f"{row.score}: {row.ours} here, {row.theirs} there" for row in moved.itertuples()]
        return [*said, self.flips] if len(self.claims) or len(self.lights) else said

    @property
    def flips(self) -> str:
        """How many claims and lights flipped, in words."""
        counts = [(len(self.claims), "claim"), (len(self.lights), "light")]
        return " and ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts) + " flipped"


def changes(ours: Path, theirs: Path) -> Changes:
    """Compare the tables that both runs have; what one of them lacks is left out.

    Args:
        ours, theirs: folders of runs.
    """
    pairs = {"table_03": ["experiment", "label"], "auroc": ["label"], "table_06": ["share", "class_name"]}
    merged = {name: _merged(ours, theirs, name, keys) for name, keys in pairs.items()}
    explained = parameters_of(ours).get("labels", {}).get("explained", "")
    f1, area, iou = merged.values()
    chosen = [
        ("micro F1", f1[(f1["experiment"] == explained) & (f1["label"] == "micro avg")]),
        ("macro AUC", area[area["label"] == "macro avg"]),
        *(
            (f"mean IoU of {name} at the top {100 * SCORED_SHARE:g} %", rows)
            for name, rows in iou[(iou["share"] - SCORED_SHARE).abs() < 1e-9].groupby("class_name", sort=False)
        ),
    ]
    p = _cases(ours, theirs, "predictions", ["experiment", "image_id", "label"], "probability", explained)
    overlap = _cases(ours, theirs, "iou_cases", ["share", "image_id", "class_name"], "all_pairs", SCORED_SHARE)
    scores = [_score(name, row) for name, rows in chosen for _, row in rows.iterrows()]
    return Changes(
        pd.DataFrame(scores, columns=["score", "ours", "theirs", "change", "beyond"]),
        _flipped(ours, theirs, "claims", ["claim", "statement"]),
        _flipped(ours, theirs, "verdict", ["class_name", "method", "light"]),
        pd.concat([_moved(cases) for cases in (p, overlap) if len(cases)] or [_moved(p)]),
    )


def _merged(ours: Path, theirs: Path, name: str, keys: list[str]) -> pd.DataFrame:
    columns = [*keys, *(f"{column}{side}" for side in ("", "_other") for column in ("ours", "low", "high"))]
    try:
        return read_table(ours, name).merge(read_table(theirs, name), on=keys, suffixes=("", "_other"))
    except Missing:
        return pd.DataFrame(columns=columns)


def _score(name: str, row: pd.Series) -> tuple:
    other = row[["ours_other", "low_other", "high_other"]].set_axis(["ours", "low", "high"])
    beyond = bool(row["ours"] < other["low"] or row["ours"] > other["high"])
    return name, in_words(row, 3), in_words(other, 3), row["ours"] - other["ours"], beyond


def _flipped(ours: Path, theirs: Path, name: str, keys: list[str]) -> pd.DataFrame:
    try:
        both = read_table(ours, name).merge(read_table(theirs, name), on=keys, suffixes=("", "_other"))
    except Missing:
        return pd.DataFrame(columns=[*keys, "ours", "theirs"])
    both = both.rename(columns={"verdict": "ours", "verdict_other": "theirs"})
    return both.loc[both["ours"] != both["theirs"], [*keys, "ours", "theirs"]]


def _cases(ours: Path, theirs: Path, name: str, keys: list[str], score: str, wanted: object) -> pd.DataFrame:
    columns = ["image_id", "class_name", "ours", "theirs", "score"]
    try:
        tables = [read_table(folder, name) for folder in (ours, theirs)]
    except Missing:
        return pd.DataFrame(columns=columns)
    own, other = (table.loc[table[keys[0]] == wanted, [*keys, score]] for table in tables)
    both = own.merge(other, on=keys, suffixes=("", "_other"))
    names = {score: "ours", f"{score}_other": "theirs", "label": "class_name"}
    said = "probability" if score == "probability" else f"IoU at the top {100 * SCORED_SHARE:g} %"
    return both.rename(columns=names).assign(score=said)[columns]


def _moved(cases: pd.DataFrame) -> pd.DataFrame:
    cases = cases.assign(change=cases["ours"] - cases["theirs"])
    moved = cases[cases["change"].abs() > 0]
    return moved.loc[moved["change"].abs().sort_values(ascending=False, kind="stable").index[:MOST]]
