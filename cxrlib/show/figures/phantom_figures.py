"""Figures of notebook 09: twins, heatmaps against the cause, true and estimated effects, right for the wrong reason."""

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cxrlib.evaluate.bootstrap import FEWEST
from cxrlib.evaluate.phantom import AGAINST, BOXES, CAUSE, TWIN, TwinCases
from cxrlib.evaluate.trusted_measures import FIT, OPEN, UNFIT
from cxrlib.evaluate.verdict import GREEN, GREY, RED
from cxrlib.show.figures.panels import colour_bar, show_heatmap
from cxrlib.show.figures.style import OURS, PAGE_WIDTH, THESIS, counted, image_axes, sentence_figure
from cxrlib.show.figures.verdict_figures import MARKS

COLOURS = {CAUSE: OURS, BOXES: "#E69F00"}


REPLACEMENT_COLOURS = ["#D55E00", "#E69F00", "#CC79A7", "#56B4E9"]


TITLES = {"hit": "hit rate", "energy": "energy inside", "average_precision": "average precision", "iou": "IoU"}


MEASURES = TITLES | {"iou": "IoU of boxes", "otsu_iou": "IoU of Otsu's mask"}
"""Names of measures of place for people; the others have their own words."""


NONE = "No compared study of this run carries a boxed finding: n = 0."


def twin_grid(twins: TwinCases, chosen: list[int], maps: list[torch.Tensor]) -> Figure:
    """A row for each finding: the radiograph, its twin, the cause, and the heatmap with the cause outlined.

    Args:
        twins: the cases.
        chosen: positions of the cases that are shown.
        maps: one raw map (rows, columns) per shown case.
    """
    if not chosen:
        return sentence_figure(NONE)
    figure, axes = image_axes(len(chosen), 4, width=5.5, title_lines=1, bar=True)
    size = twins.images.shape[-1]
    for number, (row, line) in enumerate(zip(chosen, axes, strict=True)):
        image, twin = twins.images[row, 0].numpy(), twins.twins[row, 0].numpy()
        difference = np.abs(image.astype(int) - twin)
        name = twins.cases["class_name"].iloc[row]
        titles = [name, "without it", f"cause, up to {100 * difference.max() / 255:.0f} %", "Grad-CAM"]
        for ax, pixels, title in zip(line, [image, twin, None, image], titles, strict=True):
            if pixels is None:
                ax.imshow(difference / max(1, difference.max()), cmap="magma", vmin=0, vmax=1)
            else:
                ax.imshow(pixels, vmin=0, vmax=255)
            ax.set_title(title, fontsize=7)
        show_heatmap(line[3], maps[number], size)
        line[3].contour(twins.cause[row].numpy(), levels=[0.5], colors="#56B4E9", linewidths=0.8)
    colour_bar(figure, [ax for line in axes for ax in line])
    return figure


def truth_panels(table: pd.DataFrame, class_name: str) -> Figure:
    """A panel per score and a row per method: against the cause, and against the readers' boxes; 95 % intervals.

    Args:
        table: from `phantom_table`.
        class_name: the finding, or the mean of findings, that is drawn.
    """
    table = table[table["class_name"] == class_name].dropna(subset="ours")
    if table.empty:
        return sentence_figure(NONE)
    methods = table["method"].unique()
    figure, axes = plt.subplots(1, len(AGAINST), figsize=(PAGE_WIDTH, 0.9 + 0.22 * len(methods)), sharey=True)
    for ax, metric in zip(axes, AGAINST, strict=True):
        for (against, colour), shift in zip(COLOURS.items(), (-0.15, 0.15), strict=True):
            rows = (table["metric"] == metric) & (table["against"] == against)
            scores = table[rows].set_index("method").reindex(methods)
            reach = np.abs(scores[["low", "high"]].T.to_numpy() - scores["ours"].to_numpy())
            place = np.arange(len(methods)) + shift
            ax.errorbar(scores["ours"], place, xerr=reach, fmt="o", ms=3, lw=1, color=colour, label=f"the {against}")
        ax.set_title(TITLES[metric], fontsize=7)
        ax.tick_params(labelsize=6)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.grid(axis="y", lw=0.3, color="#dddddd")
    axes[0].set(yticks=range(len(methods)), yticklabels=methods, ylim=(len(methods) - 0.5, -0.5))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, title=counted(table["n"]))
    return figure


def effect_curves(table: pd.DataFrame) -> Figure:
    """A panel per finding: the fall of the probability against the share of replaced top pixels, by replacement.

    The dotted line and its band are the true effect with its 95 % interval. The crosses at the right are the same for
    exactly the cause, replaced in each way, with their intervals.

    Args:
        table: from `effects_table`.
    """
    known = table.dropna(subset="ours")
    names = known["class_name"].unique()
    if not len(names):
        return sentence_figure(NONE)
    columns = 4
    lines = -(-len(names) // columns)
    size = (PAGE_WIDTH, 0.5 + 1.8 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    replaced = [name for name in known["replacement"].unique() if name != TWIN] + [TWIN]
    colours = dict(zip(replaced, [*REPLACEMENT_COLOURS[: len(replaced) - 1], OURS], strict=True))
    for ax, name in zip(axes.flat, names, strict=False):
        own = known[known["class_name"] == name]
        true = own[own["pixels"] == "finding"].iloc[0]
        ax.axhline(true["ours"], color=THESIS, lw=0.9, ls=":", label="true effect")
        ax.axhspan(true["low"], true["high"], color=THESIS, alpha=0.12, lw=0)
        for replacement, colour in colours.items():
            top = own[(own["pixels"] == "top") & (own["replacement"] == replacement)].sort_values("share")
            label = f"replaced by the {replacement}" if replacement in (TWIN, "mean") else replacement
            ax.plot(100 * top["share"], top["ours"], "o-", ms=2.5, lw=1, color=colour, label=label)
            exact = own[(own["pixels"] == CAUSE) & (own["replacement"] == replacement)].iloc[0]
            place = 1.04 + 0.05 * replaced.index(replacement)
            reach = np.abs(exact[["low", "high"]].to_numpy(float) - exact["ours"])[:, None]
            beside = {"transform": ax.get_yaxis_transform(), "clip_on": False, "color": colour}
            _, _, bars = ax.errorbar([place], [exact["ours"]], yerr=reach, fmt="x", ms=4, lw=0.8, **beside)
            for bar in bars:
                bar.set_clip_on(False)
        ax.set_title(f"{name}\nn = {true['n']:.0f}", fontsize=7)
        ax.tick_params(labelsize=6)
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.set_xlabel("top pixels replaced, %", fontsize=6)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("fall of the probability", fontsize=7)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def not_needed_grid(twins: TwinCases, wrong: pd.DataFrame) -> Figure:
    """Pairs of radiographs with and without a finding that the network predicts in both.

    Args:
        twins: the cases.
        wrong: rows of `true_effects` that are shown; their index is the position of the case.
    """
    if wrong.empty:
        return sentence_figure("The network predicts no finding of these studies that is gone: n = 0.")
    figure, axes = image_axes(-(-len(wrong) // 3), 6, title_lines=3)
    pairs = [line[start : start + 2] for line in axes for start in (0, 2, 4)]
    for (position, row), (left, right) in zip(wrong.iterrows(), pairs, strict=False):
        left.imshow(twins.images[position, 0], vmin=0, vmax=255)
        right.imshow(twins.twins[position, 0], vmin=0, vmax=255)
        left.set_title(f"with\n{row['class_name']}\np = {row['p_with']:.2f}", fontsize=6)
        right.set_title(f"without\n\np = {row['p_without']:.2f}", fontsize=6)
    return figure


def truth_ladder(table: pd.DataFrame, trusted: pd.Series, class_name: str) -> Figure:
    """A row per measure: how far it scores the true cause above each control, as a fraction of the larger score.

    Args:
        table: `beside_controls` of `truth_beside`.
        trusted: from `fitness`.
        class_name: the finding, or the mean of findings, that is drawn.
    """
    own = table[table["class_name"] == class_name].dropna(subset="gain")
    if own.empty:
        return sentence_figure("No study of this run has a twin with a cause: n = 0.")
    measures, controls = own["measure"].unique().tolist(), own["control"].unique().tolist()
    figure, axes = plt.subplots(
        1, len(controls), figsize=(PAGE_WIDTH, 0.9 + 0.19 * len(measures)), sharey=True, squeeze=False
    )
    colours = {FIT: MARKS[GREEN], UNFIT: MARKS[RED], OPEN: MARKS[GREY]}
    for ax, control in zip(axes[0], controls, strict=True):
        for _, row in own[own["control"] == control].iterrows():
            scale = max(abs(row["ours"]), abs(row["control_score"])) or 1.0
            low, gain, high = (row[name] / scale for name in ("gain_low", "gain", "gain_high"))
            reach = np.abs(np.array([[gain - low], [high - gain]]))
            mark = colours[trusted[row["measure"]]]
            place = measures.index(row["measure"])
            ax.errorbar(
                [gain],
                [place],
                xerr=reach,
                ms=4.5,
                lw=1,
                fmt=mark["marker"],
                color=mark["color"],
                mfc=mark.get("markerfacecolor"),
            )
        ax.axvline(0, color="#000000", lw=0.6)
        counted = f"n up to {own['n'].max():.0f}" if own["n"].any() else f"fewer than {FEWEST} cases of each finding"
        ax.set_title(f"over the {control} ({counted})", fontsize=7)
        ax.set_xlabel("gain of the true cause, fraction of the larger score", fontsize=6)
        ax.tick_params(labelsize=6)
        ax.grid(axis="y", lw=0.3, color="#dddddd")
    names = [MEASURES.get(measure, measure) for measure in measures]
    axes[0, 0].set(yticks=range(len(measures)), yticklabels=names, ylim=(len(measures) - 0.5, -0.5))
    handles = [Line2D([], [], ls="", ms=4.5, label=word, **mark) for word, mark in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
