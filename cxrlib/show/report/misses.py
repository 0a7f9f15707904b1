"""The worst misses of a run, by stated rules."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from cxrlib.show.browse.browsed import BrowsedRun, View
from cxrlib.show.browse.selection import PREDICTED_FROM, SCORED_SHARE

EACH = 4
"""Studies per rule."""


RULES = {
    "Sure and wrong": "the highest probabilities of a finding that the study is not labelled with",
    "Missed": "the lowest probabilities of a finding that the study is labelled with",
    "Right finding, wrong place": "the surest true findings whose map peaks outside of every reader's box",
}


@dataclass(frozen=True)
class Miss:
    """One study and finding that a rule chose."""

    rule: str
    view: View
    probability: float


def worst_misses(run: BrowsedRun, each: int = EACH) -> list[Miss]:
    """The first `each` studies of every rule of RULES, each study once for a rule.

    Args:
        run: whose first method's maps are judged.
        each: studies per rule.
    """
    findings = [name for name in run.classes if name in run.cohort.findings]
    long = run.probabilities[findings].rename_axis("image_id").reset_index().melt("image_id", None, "class_name", "p")
    labels = run.cohort.labels.loc[run.probabilities.index, findings]
    truth = labels.rename_axis("image_id").reset_index().melt("image_id", None, "class_name", "truth")
    cases = long.merge(truth).sort_values(["p", "image_id", "class_name"], ascending=[False, True, True])
    true, false = cases[cases["truth"] == 1], cases[cases["truth"] == 0]
    chosen = {
        "Sure and wrong": _views(run, false[false["p"] >= PREDICTED_FROM]),
        "Missed": _views(run, true[true["p"] < PREDICTED_FROM].iloc[::-1]),
        "Right finding, wrong place": _beside(run, true[true["p"] >= PREDICTED_FROM]),
    }
    return [Miss(rule, view, p) for rule, found in chosen.items() for view, p in islice(_once(found), each)]


def best_hit(run: BrowsedRun, cases: pd.DataFrame | None, threshold: float) -> View | None:
    """A study whose finding is predicted surely, boxed by most readers, and localised best.

    Args:
        run: the run.
        cases: image_id, class_name, share and all_pairs, as in the table `iou_cases`; None where there is none.
        threshold: probability from which a finding is predicted surely.

    Returns:
        The view with the highest IoU at the share next to SCORED_SHARE, of the cases with most readers; None where no
        case fits.
    """
    if cases is None or cases.empty:
        return None
    known = cases[cases["image_id"].isin(run.probabilities.index) & cases["class_name"].isin(run.classes)]
    sure = [
        run.probabilities.at[name, label] >= threshold
        for name, label in zip(known["image_id"], known["class_name"], strict=True)
    ]
    known = known[sure]
    if known.empty:
        return None
    share = min(known["share"].unique(), key=lambda value: abs(value - SCORED_SHARE))
    known = known[known["share"] == share]
    readers = [
        run.cohort.boxes(name, label)["rad_id"].nunique()
        for name, label in zip(known["image_id"], known["class_name"], strict=True)
    ]
    most = known.assign(readers=readers)
    most = most[most["readers"] == most["readers"].max()]
    best = most.sort_values(["all_pairs", "image_id"], ascending=[False, True]).iloc[0]
    return run.first_view(best["image_id"], best["class_name"], share)


def _views(run: BrowsedRun, cases: pd.DataFrame) -> Iterator[tuple[View, float]]:
    for row in cases.itertuples():
        yield run.first_view(row.image_id, row.class_name, SCORED_SHARE), row.p


def _beside(run: BrowsedRun, cases: pd.DataFrame) -> Iterator[tuple[View, float]]:
    for view, p in _views(run, cases):
        evidence = run.evidence(view)
        if len(evidence.readers) and evidence.heatmap is not None and not evidence.hit:
            yield view, p


def _once(found: Iterator[tuple[View, float]]) -> Iterator[tuple[View, float]]:
    seen = set()
    for view, p in found:
        if view.image_id not in seen:
            seen.add(view.image_id)
            yield view, p
