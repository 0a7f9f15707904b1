"""Tables of notebook 06 beyond the thesis: localisation beside controls, grids, FROC, regression, readers."""

import numpy as np
import pandas as pd

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.bootstrap import interval
from cxrlib.evaluate.boxes import with_union
from cxrlib.evaluate.controls import beside_controls
from cxrlib.evaluate.froc import LEAST
from cxrlib.evaluate.grid_ceiling import fraction_samples
from cxrlib.evaluate.iou_regression import FEATURES, box_features, regress
from cxrlib.evaluate.localisation import boxed_cases
from cxrlib.evaluate.readers import by_image, label_outcomes
from cxrlib.show.tables import by_class, reader_f1, reader_pairs, reader_table

THESIS_GRID = 7
"""Cells along each side of the thesis's maps: ResNet50's last layer at 224 pixels."""


POOLED, WITHIN = "all findings", "within findings"
"""Regressions: all cases with one intercept (cheXlocalize's), and with an intercept for each finding."""


def localisation_table(
    cases: pd.DataFrame, shares: pd.DataFrame, classes: list[str], weights: pd.DataFrame
) -> pd.DataFrame:
    """`beside_controls` of every method and measure, and the share of pixels behind `iou`.

    Args:
        cases, shares: from `place_cases`.
        classes: findings, in the order of the result.
        weights: resamples by image_id.

    Returns:
        The columns of `beside_controls`, and share, which the validation split chose; missing for other measures.
    """
    table = beside_controls(cases, classes, weights).merge(shares, "left", ["method", "class_name"])
    return table.assign(share=table["share"].where(table["measure"] == "iou"))


def grid_ceiling_table(allowed: pd.DataFrame, thesis: pd.DataFrame, weights: pd.DataFrame, union: str) -> pd.DataFrame:
    """What maps of a few cells allow: mean IoU over all pairs at each finding's and grid's best share of pixels.

    Args:
        allowed: from `allowed_by_grids`.
        thesis: share by class, the mean IoU that the thesis reports.
        weights: resamples by image_id of these images.
        union: as in `pairwise_iou`.

    Returns:
        class_name, grid, share (the best), ours, low, high, n (images), thesis (at its best share; in the rows of
        THESIS_GRID) and thesis_of_ceiling, the thesis's value as a fraction of what its grid allows.
    """
    name, parts = with_union("all_pairs", union), []
    for (class_name, grid), cases in allowed.groupby(["class_name", "grid"]):
        share = cases.groupby("share")[name].mean().idxmax()
        best = by_class(cases[cases["share"] == share], [name], [class_name], weights).drop(columns="protocol")
        parts.append(best.assign(grid=grid))
    table = pd.concat(parts, ignore_index=True)
    reported = table["class_name"].map(thesis.max()).where(table["grid"] == THESIS_GRID)
    table = table.assign(thesis=reported, thesis_of_ceiling=reported / table["ours"])
    return table[["class_name", "grid", "share", "ours", "low", "high", "n", "thesis", "thesis_of_ceiling"]]


def with_ceiling(
    table: pd.DataFrame, scores: pd.DataFrame, allowed: pd.DataFrame, weights: pd.DataFrame, union: str
) -> pd.DataFrame:
    """Table 6 beside what the grid of the run's own maps allows on the same cases.

    Args:
        table: from `iou_table`.
        scores: from `score_cases`, of the heatmaps.
        allowed: from `score_cases`, of their `oracle_maps`: the same cases and shares.
        weights: resamples by image_id.
        union: as in `pairwise_iou`.

    Returns:
        The table with grid_ceiling (mean IoU of the oracle maps at their best share for the finding), of_ceiling (ours
        as a fraction of it), of_ceiling_low and of_ceiling_high.
    """
    name, key, found = with_union("all_pairs", union), ["image_id", "class_name"], {}
    for class_name, cases in allowed.groupby("class_name"):
        best = cases.groupby("share")[name].mean().idxmax()
        most = cases[cases["share"] == best].set_index(key)[name]
        for share, ours in scores[scores["class_name"] == class_name].groupby("share"):
            pairs = most.loc[pd.MultiIndex.from_frame(ours[key])]
            samples = fraction_samples(ours[name].to_numpy(), pairs.to_numpy(), ours["image_id"].tolist(), weights)
            low, high = interval(samples, len(ours))
            found[share, class_name] = (float(pairs.mean()), samples[0], float(low), float(high))
    columns = ["grid_ceiling", "of_ceiling", "of_ceiling_low", "of_ceiling_high"]
    more = pd.DataFrame(found.values(), pd.MultiIndex.from_tuples(found, names=table.index.names), columns, dtype=float)
    return table.join(more.reindex(table.index) if found else pd.DataFrame(np.nan, table.index, columns))


def ceiling_sentences(ceiling: pd.DataFrame) -> list[str]:
    """What a finer layer or stride would allow, and what the thesis reaches of its grid: a sentence for each finding.

    Args:
        ceiling: from `grid_ceiling_table`.
    """
    lines = []
    for name, rows in ceiling.groupby("class_name"):
        of_grid = rows.set_index("grid")["ours"]
        line = f"{name}: " + ", ".join(f"{grid} x {grid} cells allow {most:.2f}" for grid, most in of_grid.items())
        known = rows["thesis"].dropna()
        if len(known):
            row = rows.loc[known.index[0]]
            line += f"; the thesis's {row['thesis']:.3f} is {row['thesis_of_ceiling']:.0%} of what its grid allows"
        lines.append(line)
    return lines


def shared_caption(shared: pd.DataFrame) -> str:
    """How many false positives lie on another finding, beside random heatmaps.

    Args:
        shared: from `shared_regions`.

    >>> shared_caption(pd.DataFrame({"hit": [True, False, True], "random_hit": [False, True, False]}))
    'False positives whose strongest cell lies in a box of another finding: 2 of 3; of random heatmaps 1.'
    """
    return (
        "False positives whose strongest cell lies in a box of another finding: "
        f"{shared['hit'].sum()} of {len(shared)}; of random heatmaps {shared['random_hit'].sum()}."
    )


def place_tables(
    cohort: Cohort,
    cases: pd.DataFrame,
    chosen: pd.DataFrame,
    froc: pd.DataFrame,
    probabilities: pd.DataFrame,
    weights: pd.DataFrame,
) -> dict[str, tuple[pd.DataFrame, str]]:
    """Localisation beside controls, FROC and regression: name of each table -> the table and its caption.

    Args:
        cohort: the run's.
        cases, chosen: from `place_cases`. The first method has the whole test split; it alone has FROC and regression.
        froc: from `froc_table`, of that method.
        probabilities: of the test split, image_id by class.
        weights: resamples by image_id.
    """
    first = chosen["method"].iloc[0]
    boxed = boxed_cases(cohort, probabilities)
    own = cases[(cases["method"] == first) & (cases["measure"] == "iou")].drop_duplicates(["image_id", "class_name"])
    return {
        "localisation_cases": (cases, "Every boxed finding: score of each measure, and score of each control."),
        "localisation": (
            localisation_table(cases, chosen, cohort.findings, weights),
            "Localisation of every boxed finding beside controls, gains in pairs, 95 % intervals; the share of "
            "pixels of iou is chosen for each class on the validation split.",
        ),
        "froc": (
            froc,
            f"Share of the readers' boxes found at so many false boxes an image, where boxes meet at {LEAST} or more.",
        ),
        "iou_regression": (
            regression_table(own["score"], box_features(cohort, boxed), weights),
            f"Linear regression of {first}'s IoU on what the readers' boxes are like, with 95 % intervals.",
        ),
    }


def regression_table(scores: pd.Series, features: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """What the boxes of a finding that a heatmap meets are like: coefficients with intervals over patients.

    Args:
        scores: IoU of each case.
        features: from `box_features`, of the same cases in the same order.
        weights: resamples by image_id.

    Returns:
        model (POOLED or WITHIN), feature, coefficient (IoU for one unit), low, high, standardised (IoU for one standard
        deviation of the feature, within findings in that model), standardised_low, standardised_high, r_squared, n. NaN
        where a feature has no spread, or where too few cases are there.
    """
    known = scores.notna().to_numpy()
    y, own, parts = scores[known].to_numpy(), features[known], []
    ids = own["image_id"].tolist()
    for model, groups in ((POOLED, None), (WITHIN, own["class_name"].to_numpy())):
        samples, deviation, fit = regress(y, own[FEATURES], groups, ids, weights)
        low, high = interval(samples, [len(y)] * len(FEATURES))
        part = pd.DataFrame({"feature": FEATURES, "coefficient": samples[0], "low": low, "high": high})
        spread = deviation.to_numpy()
        part = part.assign(
            standardised=samples[0] * spread, standardised_low=low * spread, standardised_high=high * spread
        )
        parts.append(part.assign(model=model, r_squared=fit, n=len(y)))
    table = pd.concat(parts, ignore_index=True)
    return table[["model", *table.columns.drop("model")]]


def reader_tables(
    annotations: pd.DataFrame, agreement: pd.DataFrame, labels: list[str], weights: pd.DataFrame
) -> dict[str, tuple[pd.DataFrame, str]]:
    """What radiologists reach against each other on real studies: name of each table -> the table and its caption.

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`.
        agreement: from `reader_agreement`.
        labels: whose F1 is told.
        weights: resamples by image_id.
    """
    boxed = "Two readers who boxed the same finding, all real studies"
    return {
        "reader_agreement": (
            reader_table(agreement, weights),
            f"{boxed}, with 95 % intervals; n: images with such readers.",
        ),
        "reader_agreement_cases": (
            by_image(agreement),
            "Mean IoU of two readers, one value per image and finding, all real studies.",
        ),
        "reader_pairs": (
            reader_pairs(agreement, weights),
            "Mean agreement of every pair of readers who boxed the same finding, all real studies; n: images.",
        ),
        "reader_f1": (
            reader_f1(label_outcomes(annotations, labels), weights),
            "F1 of one reader's labels against what the image's other readers found: the ceiling for Table 3.",
        ),
    }
