"""FROC: how many of the readers' boxes are found at a given number of false boxes an image (Bunch et al. 1978).

A box of a heatmap is a mark with a score. Fewer marks are kept where the score must be higher.
"""

from itertools import product

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.bootstrap import interval
from cxrlib.evaluate.boxes import Union, boxes_from_mask, pairwise_iobb, pairwise_iou
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.evaluate.place_scores import validation_shares
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import normalise_maps, upscale
from cxrlib.explain.masks import top_pixels_of
from cxrlib.runtime.progress import progress

HITS = {"iou": pairwise_iou, "iobb": pairwise_iobb}
"""How a mark meets a reader's box: intersection over the union (VinBigData's rule), or over the mark."""


LEAST = 0.4
"""From which value on it does, as in VinBigData's competition."""


RATES = (0.5, 1.0, 2.0)
"""False boxes an image."""


ALL_FINDINGS = "all findings"
"""Name of the rows of all marks together."""


def heights(heatmap: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The highest value of a heatmap in every box, float64 (n,).

    Args:
        heatmap: (size, size).
        boxes: (n, 4) in pixels of the heatmap; every pixel that a box touches counts.

    >>> heights(np.array([[0.1, 0.9], [0.5, 0.2]]), np.array([[0, 0, 1, 2], [0.5, 0, 1.5, 1]])).tolist()
    [0.5, 0.9]
    """
    corners = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int)
    return np.array([heatmap[top:bottom, left:right].max() for left, top, right, bottom in corners], np.float64)


def marks_and_targets(
    cohort: Cohort, explanations: Explanations, shares: dict[str, float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The boxes of every heatmap, and the readers' boxes that they should find.

    A mark's score is the probability of its class, times the highest value of the map inside the box as a fraction of
    the map's maximum. Every reader's box is a target of its own. A mark may find several; one that finds none is false.

    Args:
        cohort: labels and boxes; a reader's box counts where the image has the label.
        explanations: maps of all studies, also of those without any finding, where every mark is false.
        shares: class -> share of pixels that make the mask.

    Returns:
        Marks: image_id, class_name, score, and for each rule of HITS whether the mark is false.
        Targets: image_id, class_name, and for each rule the highest score of a mark that finds it, -inf without one.
    """
    marks, targets, size = ([], []), ([], []), explanations.input_size
    for image_id in progress(explanations.probabilities.index.tolist(), "marking", "study"):
        for name in cohort.findings:
            heatmap = upscale(normalise_maps(explanations.map(image_id, name).clamp(min=0)), size)
            boxes = boxes_from_mask(top_pixels_of(heatmap, [shares[name]])[0].numpy(), cohort.size)
            scores = heights(heatmap.numpy(), boxes * size / cohort.size)
            scores = scores * float(explanations.probabilities.at[image_id, name])
            true = cohort.boxes(image_id, name)[BOX_COLUMNS].to_numpy(np.float64)
            true = true if cohort.labels.at[image_id, name] else true[:0]
            met = [rule(boxes, true) >= LEAST for rule in HITS.values()]
            false = [~found.any(axis=1) for found in met]
            best = [np.where(found, scores[:, None], -np.inf).max(axis=0, initial=-np.inf) for found in met]
            for (about, numbers), found in ((marks, [scores, *false]), (targets, best)):
                about.append((image_id, name, len(found[0])))
                numbers.append(np.column_stack(found))
    marks, targets = _named(*marks, ["score", *HITS]), _named(*targets, [*HITS])
    return marks.astype(dict.fromkeys(HITS, bool)), targets


def _named(about: list[tuple[str, str, int]], numbers: list[np.ndarray], columns: list[str]) -> pd.DataFrame:
    """Rows of numbers with their names.

    Args:
        about: image_id, class_name and number of rows of each study and class.
        numbers: its rows, each (rows, columns).
        columns: their names.
    """
    names = pd.DataFrame(about, columns=["image_id", "class_name", "rows"])
    names = names.loc[names.index.repeat(names.pop("rows"))].reset_index(drop=True)
    table = pd.DataFrame(np.concatenate([np.empty((0, len(columns))), *numbers]), columns=columns)
    return pd.concat([names, table], axis=1)


def sensitivity_samples(
    marks: pd.DataFrame, targets: pd.DataFrame, rule: str, rates: tuple[float, ...], weights: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the targets that are found at each rate of false marks, in every resample of the studies.

        sensitivity(r) = sum_i w_i f_i(t) / sum_i w_i n_i  at the lowest t with  sum_i w_i m_i(t) / sum_i w_i <= r

    In study i with weight w_i, n_i are the targets, f_i(t) those that a mark with a score of at least t finds, and
    m_i(t) the false marks with such a score. Marks of equal score are kept or left out together.
    Where all marks together have fewer false ones than r, all are kept: the heatmaps have no more to give.

    Args:
        marks, targets: from `marks_and_targets`, of one class or of several together.
        rule: one of HITS.
        rates: r, false marks an image.
        weights: resamples, a column for each study that has been marked, whether it has marks or not.

    Returns:
        Sensitivity and the rate of false marks that is reached, each float64 (1 + resamples, rates); NaN where there
        is no target.

    Two studies, of which one has a target. Its mark is the second best of all, the first is false:

    >>> marks = pd.DataFrame({"image_id": ["a", "b"], "class_name": "Mass", "score": [0.8, 0.9], "iou": [False, True]})
    >>> targets = pd.DataFrame({"image_id": ["a"], "class_name": "Mass", "iou": [0.8]})
    >>> found, reached = sensitivity_samples(marks, targets, "iou", (0.4, 0.5), pd.DataFrame({"a": [1.0], "b": [1.0]}))
    >>> found.tolist(), reached.tolist()
    ([[0.0, 1.0]], [[0.0, 0.5]])
    """
    places = weights.columns
    order = marks.sort_values("score", ascending=False, kind="stable")
    levels, ends = np.unique(-order["score"].to_numpy(), return_index=True)
    ends = np.append(ends[1:], len(order))  # marks down to and with each level
    of_mark, of_target = (places.get_indexer(one["image_id"]) for one in (order, targets))
    is_false, best = order[rule].to_numpy(np.float64), targets[rule].to_numpy()
    found, reached = (np.full((len(weights), len(rates)), np.nan) for _ in range(2))
    for row, own in enumerate(weights.to_numpy()):
        drawn = own.astype(np.float64)
        total, of_targets = drawn.sum(), drawn[of_target]
        if not of_targets.sum():
            continue
        false = np.concatenate([[0.0], (is_false * drawn[of_mark]).cumsum()[ends - 1]]) / total if len(order) else [0.0]
        for column, rate in enumerate(rates):
            level = np.searchsorted(false, rate + 1e-12, side="right") - 1
            kept = best >= (-levels[level - 1] if level else np.inf)
            found[row, column] = of_targets[kept].sum() / of_targets.sum()
            reached[row, column] = false[level]
    return found, reached


def froc_table(
    cohort: Cohort,
    title: str,
    maps: BySplit,
    shares: list[float],
    seed: int,
    union: Union,
    weights: pd.DataFrame,
) -> pd.DataFrame:
    """Sensitivity at RATES false boxes an image, for each finding and for all together, with intervals over patients.

    Args:
        cohort: the run's.
        title: of the method.
        maps: by split: "valid", on which the share of pixels of each class is chosen, and "test".
        shares: fractions of the pixels to choose from.
        seed: of the control, random maps of the same form, whose shares are chosen likewise.
        union: by which shares are chosen, as in `pairwise_iou`.
        weights: resamples, a column for each study of the maps.

    Returns:
        method, meet_by (rule of HITS), class_name (ALL_FINDINGS: all marks together), false_boxes (allowed an image),
        ours, low, high, reached (false boxes an image at this threshold, fewer where the map has no more boxes),
        random, gain, gain_low, gain_high, n (readers' boxes) and images (all studies).
    """
    drawn, found, rows = weights[maps["test"].probabilities.index.tolist()], [], []
    for one in (maps, {split: part.with_random_maps(seed) for split, part in maps.items()}):
        chosen = validation_shares(cohort, one["valid"], shares, union)
        found.append(marks_and_targets(cohort, one["test"], chosen))
    for rule, name in product(HITS, [*cohort.findings, ALL_FINDINGS]):
        own = [[part[part["class_name"].isin([name]) | (name == ALL_FINDINGS)] for part in one] for one in found]
        (ours, reached), (theirs, _) = (sensitivity_samples(*one, rule, RATES, drawn) for one in own)
        targets = own[0][1]
        images = targets["image_id"].nunique()
        (low, high), (gain_low, gain_high) = (interval(one, [images] * len(RATES)) for one in (ours, ours - theirs))
        for i, rate in enumerate(RATES):
            row = (title, rule, name, rate, ours[0, i], low[i], high[i], reached[0, i], theirs[0, i])
            row = (*row, ours[0, i] - theirs[0, i], gain_low[i], gain_high[i])
            rows.append((*row, len(targets), drawn.shape[1]))
    columns = ["method", "meet_by", "class_name", "false_boxes", "ours", "low", "high", "reached", "random", "gain"]
    return pd.DataFrame(rows, columns=[*columns, "gain_low", "gain_high", "n", "images"])
