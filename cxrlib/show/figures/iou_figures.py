"""Figures of notebook 06: boxes and their overlap."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from cxrlib.data.annotations import BOX_COLUMNS, reader_order
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import all_pairs_iou, boxes_from_mask
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels
from cxrlib.show.figures.colouring import PREDICTED, TRUE
from cxrlib.show.figures.panels import show_boxes, show_radiograph, show_readers
from cxrlib.show.figures.style import (
    OURS,
    PAGE_WIDTH,
    RANDOM,
    THESIS,
    class_colours,
    image_axes,
    outlined,
    sentence_figure,
)
from cxrlib.show.tables import best_of_each_finding


def intersection_and_union(first: np.ndarray, second: np.ndarray) -> Figure:
    """Figure 17: the intersection and the union of two boxes (4,)."""
    first, second = np.asarray(first), np.asarray(second)
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH * 0.6, PAGE_WIDTH * 0.3))
    corner = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    inside = np.concatenate(corner)
    for ax, title, filled in zip(axes, ["intersection", "union"], [[inside], [first, second]], strict=True):
        for x_min, y_min, x_max, y_max in filled:
            ax.add_patch(Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, color="#cccccc"))
        show_boxes(ax, [first], TRUE)
        show_boxes(ax, [second], PREDICTED)
        ax.text(*first[:2] + 0.2, "reader", ha="left", va="top", fontsize=7)
        ax.text(*second[2:] - 0.2, "heatmap", ha="right", va="bottom", fontsize=7)
        low, high = np.minimum(first, second)[:2] - 1, np.maximum(first, second)[2:] + 1
        ax.set(title=title, aspect="equal", xlim=(low[0], high[0]), ylim=(high[1], low[1]))
        ax.set_axis_off()
    shared, first_area, second_area = (np.prod(box[2:] - box[:2]) for box in (inside, first, second))
    union = first_area + second_area - shared
    figure.suptitle(f"IoU = {shared:g} / {union:g} = {shared / union:.3f}", fontsize=8, y=-0.02)
    return figure


def box_grid(cohort: Cohort, explanations: Explanations, image_id: str, shares: list[float]) -> Figure:
    """Figure 28: one radiograph, a row per finding on it, a column per share: readers' boxes and the heatmap's.

    Above each panel stands the IoU of all pairs of these boxes.
    """
    findings = [name for name in cohort.findings if len(cohort.boxes(image_id, name))]
    if not findings:
        return sentence_figure("No reader boxed a finding on a test radiograph of this run: n = 0.")
    figure, axes = image_axes(len(findings), 1 + len(shares), width=5.0)
    pixels = cohort.images([image_id])[0]
    for name, line in zip(findings, axes, strict=True):
        probability = explanations.probabilities.at[image_id, name]
        show_radiograph(line[0], pixels, f"{name}\np = {probability:.3f}")
        show_readers(line[0], cohort, image_id, {name: TRUE})
        heatmap = upscale(explanations.map(image_id, name), explanations.input_size)
        for share, ax in zip(shares, line[1:], strict=True):
            true = cohort.boxes(image_id, name)[BOX_COLUMNS].to_numpy()
            predicted = boxes_from_mask(top_pixels(heatmap, share).numpy(), cohort.size)
            score = f"IoU {all_pairs_iou(predicted, true):.3f}" if len(predicted) else "this map is zero"
            show_radiograph(ax, pixels, f"top {100 * share:g} %\n{score}")
            show_boxes(ax, true, TRUE)
            show_boxes(ax, predicted, PREDICTED)
    return figure


def iou_curves(table: pd.DataFrame, thesis: pd.DataFrame) -> Figure:
    """Figure 30: mean IoU with its interval against the share of pixels, one panel with its own axis per finding.

    Args:
        table: from `iou_table`.
        thesis: share by class; may lack classes.
    """
    if table.empty:
        return sentence_figure("No finding of this run is predicted correctly and boxed: n = 0.")
    classes = table.index.get_level_values("class_name").unique()
    colours = class_colours(list(classes))
    columns = 3
    rows = -(-len(classes) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(PAGE_WIDTH, 1.9 * rows), sharex=True, squeeze=False)
    for ax in axes.flat[len(classes) :]:
        ax.set_axis_off()
    for name, ax in zip(classes, axes.flat, strict=False):
        ours = table.xs(name, level="class_name")
        x = ours.index * 100
        ax.fill_between(x, ours["low"], ours["high"], color=colours[name], alpha=0.3, lw=0)
        ax.plot(x, ours["ours"], "o-", ms=3, color=colours[name], path_effects=outlined(1.5))
        ax.plot(x, ours["random_heatmap"], "^:", ms=3, color=RANDOM, label="random heatmap")
        if name in thesis:
            ax.plot(thesis.index * 100, thesis[name], "x--", ms=3, lw=0.8, color=THESIS, label="thesis")
        ax.set_title(f"{name} (n = {ours['n'].iloc[0]} findings)", fontsize=8)
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_locator(MaxNLocator(4))
    for ax in axes[-1]:
        ax.set_xlabel("top pixels, %")
    for line in axes:
        line[0].set_ylabel("mean IoU, all pairs")
    handles, _ = max((ax.get_legend_handles_labels() for ax in axes.flat), key=lambda found: len(found[0]))
    ours = Line2D([], [], marker="o", ms=3, color="#444444", label="Grad-CAM, band: 95 % interval")
    figure.legend(handles=[ours, *handles], loc="outside lower center", ncols=3, frameon=False)
    return figure


READERS, PROBE = "#009E73", "#D55E00"


CEILING = (
    "Mean overlap (IoU) with the readers' boxes, 0 to 1, over n findings: every map by its best share of top pixels, "
    "bars: 95 % intervals, grey: from 0 to what two radiologists reach on real studies."
)
"""What the figure below shows."""


CEILING_WIDTH = 4.6
"""Width in inches of a figure whose letters are read on the report's first screen, where it is 430 pixels wide."""


def between_chance_and_readers(
    table: pd.DataFrame,
    probe: pd.DataFrame,
    thesis: pd.DataFrame,
    readers: pd.DataFrame,
    protocol: str = "all_pairs",
    allowed: pd.DataFrame | None = None,
) -> Figure:
    """Mean IoU over all pairs per finding: two controls, Grad-CAM of this run, the thesis, the probe, the radiologists.

    Upright lines mark what a perfect map of so few cells would score: blue in this run's cells on its own cases (the
    column grid_ceiling of the table), black in the thesis's 7 x 7 cells on real studies.

    Args:
        table: from `iou_table` and `with_ceiling`; each finding at its best share of pixels.
        probe: from `probe_table`, likewise; a finding without a training study to learn from has no mark.
        thesis: share by class, likewise at its best share.
        readers: from `reader_table`.
        protocol: of the rows of `readers`, with the same union as `table`.
        allowed: from `grid_ceiling_table`.
    """
    ceiling = readers[readers["protocol"] == protocol].set_index("class_name")
    classes = [name for name in thesis.columns if name in ceiling.index]
    classes = sorted(classes, key=lambda name: ceiling.at[name, "ours"])
    figure, ax = plt.subplots(figsize=(CEILING_WIDTH, 0.5 * len(classes) + 1.2))
    best, asked = (
        found.reindex([name for name in classes if name in found.index])
        for found in (best_of_each_finding(one).set_index("class_name") for one in (table, probe))
    )
    asked = asked[asked["learned_from"] > 0]
    rows = pd.Series(range(len(classes)), classes, dtype=float)
    for name, row in rows.items():
        ax.plot([0, ceiling.at[name, "ours"]], [row, row], color="#dddddd", lw=4, solid_capstyle="butt", zorder=0)
    ax.plot(best["random_heatmap"], rows[best.index] + 0.36, "^", ms=5, color=RANDOM, label="random heatmap")
    ax.plot(asked["usual_place"], rows[asked.index] - 0.28, "v", ms=5, color=RANDOM, label="usual place, no image")
    _with_interval(ax, best, rows[best.index] + 0.12, "o", OURS, "Grad-CAM, this run")
    ax.plot(thesis.max()[classes], rows + 0.24, "x", ms=5, color=THESIS, label="Grad-CAM, thesis")
    if "grid_ceiling" in best:
        _upright(ax, best["grid_ceiling"], rows[best.index] + 0.12, OURS, "perfect map in this run's cells")
    if allowed is not None:
        seven = allowed.dropna(subset="thesis").set_index("class_name")["ours"].reindex(classes)
        _upright(ax, seven, rows + 0.24, THESIS, "perfect map of 7 x 7 cells, real studies")
    _with_interval(ax, asked, rows[asked.index] - 0.14, "s", PROBE, "linear probe of the last features")
    seen = ceiling.loc[classes, "n"]
    _with_interval(
        ax, ceiling.loc[classes], rows, "D", READERS, f"two radiologists, n = {seen.min():,} to {seen.max():,}"
    )
    names = [f"{name}\n{_count(best, name)}" for name in classes]
    ax.set(yticks=rows, yticklabels=names, xlabel="mean IoU, all pairs of boxes", xlim=(0, 0.8))
    ax.set_ylim(-0.6, len(classes) - 0.4)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _upright(ax: Axes, values: pd.Series, rows: pd.Series, colour: str, label: str) -> None:
    ax.plot(values, rows, "|", ms=9, mew=2, color=colour, label=label)


def _count(best: pd.DataFrame, name: str) -> str:
    if name not in best.index:
        return "n = 0"
    return f"n = {best.at[name, 'n']}, top {100 * best.at[name, 'share']:g} %"


def _with_interval(ax: Axes, scores: pd.DataFrame, rows: pd.Series, marker: str, colour: str, label: str) -> None:
    errors = np.stack([scores["ours"] - scores["low"], scores["high"] - scores["ours"]]).clip(min=0)
    ax.errorbar(scores["ours"], rows, xerr=errors, fmt=marker, ms=5, color=colour, lw=1.2, capsize=2, label=label)


def pair_scores(pairs: pd.DataFrame) -> Figure:
    """Agreement of the pairs of readers with enough common images of a finding, with 95 % intervals.

    Args:
        pairs: from `reader_pairs`; rows without an interval are left out.
    """
    known = pairs.assign(ours=pairs["all_pairs"]).dropna(subset="low")
    if known.empty:
        return sentence_figure("No two readers share enough images of a finding.")
    counts = known.groupby("class_name")["n"].agg(["min", "max"])
    classes = known.groupby("class_name")["ours"].mean().sort_values().index
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.5 * len(classes) + 1.0))
    for number, ((first, second), scores) in enumerate(known.groupby(["first", "second"])):
        rows = pd.Series(classes.get_indexer(scores["class_name"]), scores.index) + 0.15 * (number % 5 - 1)
        pair = " and ".join(sorted((first, second), key=reader_order))
        _with_interval(ax, scores, rows, "os^Dv"[number % 5], f"C{number}", pair)
    names = [f"{name}\nn = {low:,} to {high:,} images" for name, (low, high) in counts.loc[classes].iterrows()]
    ax.set(
        yticks=range(len(classes)),
        yticklabels=names,
        xlabel="mean IoU of two readers, all pairs of boxes",
        xlim=(0, 0.9),
    )
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    return figure
