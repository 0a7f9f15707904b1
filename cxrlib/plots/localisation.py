"""Figures of notebook 06: boxes and their overlap."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from cxrlib.annotations import BOX_COLUMNS
from cxrlib.boxes import boxes_from_mask
from cxrlib.cohort import Cohort
from cxrlib.explanations import Explanations
from cxrlib.maps import upscale
from cxrlib.masks import top_pixels
from cxrlib.plots.radiograph import show_boxes, show_radiograph, show_readers
from cxrlib.plots.style import PAGE_WIDTH, RANDOM, THESIS, class_colours, image_axes, outlined, sentence_figure

TRUE, PREDICTED = "#2ca02c", "#c77cff"
"""The thesis's colours: green readers' boxes, purple boxes of the heatmap."""


def intersection_and_union(first: np.ndarray, second: np.ndarray, iou: float) -> Figure:
    """Figure 17: the intersection and the union of two boxes (4,)."""
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
    figure.suptitle(f"IoU = {shared:g} / {first_area + second_area - shared:g} = {iou:.3f}", fontsize=8, y=-0.02)
    return figure


def box_grid(cohort: Cohort, explanations: Explanations, image_id: str, shares: list[float]) -> Figure:
    """Figure 28: one radiograph, a row per finding on it, a column per share: readers' boxes and the heatmap's."""
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
            show_radiograph(ax, pixels, f"top {100 * share:g} %")
            show_boxes(ax, cohort.boxes(image_id, name)[BOX_COLUMNS].to_numpy(), TRUE)
            show_boxes(ax, boxes_from_mask(top_pixels(heatmap, share).numpy(), cohort.size), PREDICTED)
    return figure


def iou_curves(table: pd.DataFrame, thesis: pd.DataFrame) -> Figure:
    """Figure 30: mean IoU with its interval against the share of pixels, one panel per finding.

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
    figure, axes = plt.subplots(
        rows, columns, figsize=(PAGE_WIDTH, 1.9 * rows), sharex=True, sharey=True, squeeze=False
    )
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
    for ax in axes[-1]:
        ax.set_xlabel("top pixels, %")
    for line in axes:
        line[0].set_ylabel("mean IoU, all pairs")
    handles, _ = max((ax.get_legend_handles_labels() for ax in axes.flat), key=lambda found: len(found[0]))
    ours = Line2D([], [], marker="o", ms=3, color="#444444", label="Grad-CAM, band: 95 % interval")
    figure.legend(handles=[ours, *handles], loc="outside lower center", ncols=3, frameon=False)
    return figure
