"""Which radiographs a figure shows, by rules; none is chosen by hand."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS, box_centres
from cxrlib.data.cohort import Cohort

FEW = 4
"""Cases of `most_moved`, each of which is shown under several methods."""


class Chosen(NamedTuple):
    """Cases, each an image id and a class name, and the rule that chose them in words."""

    cases: list[tuple[str, str]]
    rule: str


def labelled(cohort: Cohort, image_ids: list[str], classes: list[str], count: int) -> list[str]:
    """The first `count` images that carry all `classes`, sorted by the number of other labels and then by image id."""
    labels = cohort.labels.loc[image_ids]
    fitting = labels[labels[classes].all(axis=1)]
    return fitting.sum(axis=1).sort_index().sort_values(kind="stable").index[:count].tolist()


def most_disputed(cohort: Cohort, class_name: str) -> str | None:
    """The image whose readers put a finding furthest apart; None where no image has two readers of the finding.

    Images with most readers come first. Of these, the one with the largest `std(x) + std(y)` of the centres of the
    readers' boxes is taken.
    """
    boxed = cohort.annotations[(cohort.annotations["class_name"] == class_name) & cohort.annotations["x_min"].notna()]
    readers = boxed.groupby("image_id")["rad_id"].nunique()
    if boxed.empty or readers.max() < 2:
        return None
    centres = pd.DataFrame(box_centres(boxed[BOX_COLUMNS].to_numpy()), columns=["x", "y"])
    spread = centres.groupby(boxed["image_id"].to_numpy()).std().sum(axis=1)
    return spread[readers == readers.max()].sort_index().idxmax()


def surest(probabilities: pd.DataFrame, truth: pd.DataFrame, classes: list[str], count: int) -> list[str]:
    """The `count` images that truly carry all `classes` and whose smallest probability of these is highest.

    >>> probabilities = pd.DataFrame({"ILD": [0.9, 0.7], "Nodule": [0.1, 0.6]}, ["a", "b"])
    >>> surest(probabilities, probabilities > 0, ["ILD", "Nodule"], 1)  # min(0.7, 0.6) is above min(0.9, 0.1)
    ['b']

    Args:
        probabilities, truth: image_id by class, same index.
    """
    fitting = truth[classes].all(axis=1)
    lowest = probabilities.loc[fitting, classes].min(axis=1)
    return lowest.sort_values(ascending=False, kind="stable").index[:count].tolist()


def surest_cases(cohort: Cohort, probabilities: pd.DataFrame) -> list[tuple[str, str]]:
    """The `surest` true study of every finding that any study carries: image id and class name, in the run's order.

    Args:
        probabilities: image_id by class.
    """
    truth = cohort.labels.loc[probabilities.index]
    carried = [name for name in cohort.findings if truth[name].any()]
    return [(surest(probabilities, truth, [name], 1)[0], name) for name in carried]


def cases_first(cases: list[tuple[str, str]], image_ids: Iterable[str], count: int) -> list[str]:
    """The studies of all `cases`, then further studies of `image_ids` in their order until there are `count`."""
    chosen = dict.fromkeys(image_id for image_id, _ in cases)
    return list(dict.fromkeys([*chosen, *image_ids]))[: max(count, len(chosen))]


def most_predicted(counts: pd.Series, probabilities: pd.DataFrame, findings: list[str]) -> tuple[str, str]:
    """The finding that is predicted most often and the study that is surest of it: image id and class name.

    Where no finding is predicted, another label, such as "No finding", takes its place.

    Args:
        counts: how many studies are predicted with each class, by class name.
        probabilities: image_id by class.
        findings: those of the classes that are findings.
    """
    name = counts[findings].idxmax() if counts[findings].any() else counts.idxmax()
    return probabilities[name].idxmax(), name


def fullest(cohort: Cohort, *choices: Iterable[str]) -> str:
    """The image with most findings, by the rule of `most_labels`, of the first of `choices` that names any image."""
    without_repeats = (list(dict.fromkeys(image_ids)) for image_ids in choices)
    return most_labels(cohort, next(filter(None, without_repeats)), cohort.findings, 1)[0]


def most_labels(cohort: Cohort, image_ids: list[str], classes: list[str], count: int) -> list[str]:
    """The `count` images with most labels of `classes`; of these with most readers' boxes of them, then by image id."""
    labels = cohort.labels.loc[image_ids, classes].sum(axis=1)
    boxed = cohort.annotations[cohort.annotations["class_name"].isin(classes) & cohort.annotations["x_min"].notna()]
    boxes = boxed["image_id"].value_counts().reindex(image_ids, fill_value=0)
    order = pd.DataFrame({"labels": labels, "boxes": boxes}).sort_index()
    return order.sort_values(["labels", "boxes"], ascending=False, kind="stable").index[:count].tolist()


def right_class_wrong_place(scores: pd.DataFrame) -> pd.Series | None:
    """The case with the lowest IoU and, among equal ones, the highest probability; None where there is no case.

    Args:
        scores: image_id, class_name, all_pairs, probability of correctly predicted findings.
    """
    ordered = scores.sort_values(["all_pairs", "probability"], ascending=[True, False], kind="stable")
    return None if ordered.empty else ordered.iloc[0]


def wrong_class_right_place(scores: pd.DataFrame) -> pd.Series | None:
    """The case with the highest IoU; None where there is no case.

    Args:
        scores: image_id, class_name, all_pairs, probability of findings that are there but were not predicted.
    """
    ordered = scores.sort_values("all_pairs", ascending=False, kind="stable")
    return None if ordered.empty else ordered.iloc[0]


def typical_examples(cohort: Cohort) -> list[str]:
    """At most six training images: of the first two findings together, of each further one, and of the last label,
    those that are `labelled` with fewest others."""
    groups = [cohort.findings[:2], *([name] for name in cohort.findings[2:]), cohort.explained[-1:]]
    found = [image_id for classes in groups for image_id in labelled(cohort, cohort.of("train"), classes, 1)]
    return found[:6]


def first_sure_case(cohort: Cohort, probabilities: pd.DataFrame) -> tuple[str, str]:
    """The `surest` true study of the first label that any study carries: image id and class name."""
    truth = cohort.labels.loc[probabilities.index]
    name = next(name for name in cohort.explained if truth[name].any())
    return surest(probabilities, truth, [name], 1)[0], name


def surest_together(
    cohort: Cohort, probabilities: pd.DataFrame, classes: list[str], count: int
) -> list[tuple[str, list[str]]]:
    """The `count` surest true studies of all `classes` together, as `explanation_grid` takes them."""
    truth = cohort.labels.loc[probabilities.index]
    return [(image_id, classes) for image_id in surest(probabilities, truth, classes, count)]


def surest_healthy(cohort: Cohort, probabilities: pd.DataFrame, count: int) -> list[tuple[str, list[str]]]:
    """`surest_together` of "No finding" alone; nothing where the explained model does not have the label."""
    return surest_together(cohort, probabilities, [cohort.healthy], count) if cohort.healthy else []


def contrasting_cases(scores: pd.DataFrame, threshold: float) -> list[tuple[str, list[str]]]:
    """`right_class_wrong_place` among the findings that reach `threshold`, `wrong_class_right_place` among those below
    0.5, as `explanation_grid` takes them; a case that does not exist is left out.

    Args:
        scores: image_id, class_name, all_pairs, probability.
    """
    found, missed = scores["probability"] >= threshold, scores["probability"] < 0.5
    chosen = [right_class_wrong_place(scores[found]), wrong_class_right_place(scores[missed])]
    return [(case["image_id"], [case["class_name"]]) for case in chosen if case is not None]


def overlaps_in_words(scores: pd.DataFrame, rows: list[tuple[str, list[str]]]) -> str:
    """The IoU of cases that a figure shows with a letter each; begins with a space, since it follows a sentence.

    Args:
        scores: image_id, class_name, all_pairs.
        rows: from `contrasting_cases`.

    >>> scores = pd.DataFrame({"image_id": ["i", "j"], "class_name": "Mass", "all_pairs": [0.0, 0.25]})
    >>> overlaps_in_words(scores, [("j", ["Mass"]), ("i", ["Mass"])])
    ' IoU: a 0.250, b 0.000.'
    """
    known = scores.set_index(["image_id", "class_name"])["all_pairs"]
    shown = [f"{letter} {known[image_id, name]:.3f}" for letter, (image_id, (name,)) in zip("ab", rows, strict=False)]
    return f" IoU: {', '.join(shown)}." if shown else ""


def own_falls(drops: pd.DataFrame, transform: str, share: float) -> pd.DataFrame:
    """image_id, class_name and fall of the heatmap's own class at one replacement and share of pixels.

    Args:
        drops: from `cxrlib.evaluate.perturbation.perturb_studies`.
        transform: one of its replacements.
        share: one of its shares of pixels.
    """
    rows = drops[(drops["transform"] == transform) & (drops["share"] == share)]
    fall = [row[row["heatmap_class"]] for _, row in rows.iterrows()]
    return pd.DataFrame({"image_id": rows["image_id"], "class_name": rows["heatmap_class"], "fall": fall})


def ranked_cases(
    scores: pd.DataFrame, column: str, place: float, leave_out: Iterable[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """For each class the case at one place of the order from the lowest to the highest score.

    >>> scores = pd.DataFrame({"image_id": list("abc"), "class_name": "ILD", "iou": [0.3, 0.1, 0.2]})
    >>> ranked_cases(scores, "iou", 0), ranked_cases(scores, "iou", 0.5), ranked_cases(scores, "iou", 0, [("b", "ILD")])
    ([('b', 'ILD')], [('c', 'ILD')], [('c', 'ILD')])

    Args:
        scores: image_id, class_name and `column`; rows without a score do not count.
        column: the score.
        place: 0 for the lowest, 0.5 for the middle, 1 for the highest.
        leave_out: cases that are taken only where a class has no other, since another figure shows them.
    """
    chosen, shown = [], set(leave_out)
    for name, rows in scores.dropna(subset=column).groupby("class_name", sort=False):
        others = rows[[(image_id, name) not in shown for image_id in rows["image_id"]]]
        ordered = (others if len(others) else rows).sort_values(column, kind="stable")
        chosen.append((ordered["image_id"].iloc[round(place * (len(ordered) - 1))], name))
    return chosen


def middle_cases(scores: pd.DataFrame, cohort: Cohort, probabilities: pd.DataFrame, share: float = 0.05) -> Chosen:
    """For each finding the case with the middle IoU at the scored share of pixels that is nearest to `share`.

    Args:
        scores: image_id, class_name, share and all_pairs of correctly predicted findings.
        cohort, probabilities: of the run; `surest_cases` is left out.
        share: fraction of the pixels.
    """
    nearest = _nearest(scores["share"], share)
    found = ranked_cases(
        scores[scores["share"] == nearest], "all_pairs", 0.5, leave_out=surest_cases(cohort, probabilities)
    )
    return Chosen(
        found, f"Of each correctly predicted finding, the test study with the middle IoU at the top {nearest:.0%}"
    )


def most_moved(agreement: pd.DataFrame, leave_out: Iterable[tuple[str, str]]) -> Chosen:
    """For each predicted class the case whose map noise changes most; of these the FEW with the greatest change.

    Args:
        agreement: from `cxrlib.evaluate.smoothing_agreement`.
        leave_out: as in `ranked_cases`.
    """
    rule = "Of each class that is predicted, the test study whose map noise changes most (lowest rank correlation)"
    scores = agreement.reset_index()
    found = ranked_cases(scores, "rank_correlation", 0, leave_out)
    correlation = scores.groupby(["image_id", "class_name"])["rank_correlation"].min()
    few = sorted(found, key=lambda case: correlation[case])[:FEW]
    return Chosen(few, f"{rule}; the lowest {FEW}" if len(found) > FEW else rule)


def least_fall(drops: pd.DataFrame, cohort: Cohort, probabilities: pd.DataFrame, share: float = 0.05) -> Chosen:
    """For each predicted class the case whose probability falls least when the map's top pixels become grey.

    Args:
        drops: from `cxrlib.evaluate.perturbation.perturb_studies`.
        cohort, probabilities: of the run; `surest_cases` is left out.
        share: fraction of the pixels; the nearest one that was replaced is taken.
    """
    nearest = _nearest(drops["share"], share)
    falls = own_falls(drops, "mean", nearest)
    rule = (
        f"Of each predicted class, the test study whose probability falls least when the top {nearest:.0%} become grey"
    )
    return Chosen(ranked_cases(falls, "fall", 0, leave_out=surest_cases(cohort, probabilities)), rule)


def _nearest(shares: pd.Series, share: float) -> float:
    return min(shares.unique().tolist(), key=lambda one: abs(one - share), default=share)
