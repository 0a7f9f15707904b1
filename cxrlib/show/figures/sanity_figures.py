"""Figures of notebook 10: maps under randomised weights, what passes which check, and networks trained again."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cxrlib.evaluate.bootstrap import ALL
from cxrlib.evaluate.sanity import FAIL, OPEN, PASS
from cxrlib.evaluate.similarity import SIMILARITIES
from cxrlib.show.figures.style import PAGE_WIDTH, RANDOM, counted, sentence_figure

LINES = dict(zip(SIMILARITIES, ["#0072B2", "#D55E00", "#009E73"], strict=True))


VERDICTS = {PASS: "#a6d8c4", FAIL: "#f4b8a0", OPEN: "#e4e4e4"}


NONE = "No checked study of this run carries a boxed finding: n = 0."


COLUMNS = 4


def cascade_panels(layers: pd.DataFrame, form: str) -> Figure:
    """A panel per method: similarity of its maps before and after, against the layers that are randomised.

    Lines: in cascade from the output. Crosses: the layer at that place alone. Dotted: maps of different images.

    Args:
        layers: `SanityChecks.layers`.
        form: one of `cxrlib.evaluate.similarity.FORMS`.
    """
    drawn = layers[layers["form"] == form]
    methods = drawn["method"].unique()
    if not len(methods):
        return sentence_figure(NONE)
    lines = -(-len(methods) // COLUMNS)
    size = (PAGE_WIDTH, 0.6 + 1.45 * lines)
    figure, axes = plt.subplots(lines, COLUMNS, figsize=size, sharex=True, sharey=True, squeeze=False)
    for ax, method in zip(axes.flat, methods, strict=False):
        own = drawn[drawn["method"] == method]
        for similarity, colour in LINES.items():
            of = own[own["similarity"] == similarity]
            cascade, alone = (of[of["how"] == how].sort_values("layers") for how in ("cascade", "alone"))
            places, means = [0, *cascade["layers"]], [1, *cascade["mean"]]
            ax.plot(places, means, "o-", ms=2.5, lw=1.1, color=colour, label=similarity)
            ax.plot(alone["layers"], alone["mean"], "x", ms=4, mew=0.9, color=colour)
            ax.axhline(of["control"].iloc[0], color=colour, lw=0.9, ls=":")
        ax.set_title(f"{method}\nn = {own['n'].max()}", fontsize=7)
        ax.tick_params(labelsize=6)
        ax.axhline(0, color=RANDOM, lw=0.4)
    for ax in axes.flat[len(methods) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("similarity", fontsize=7)
    for number in range(COLUMNS):
        shown = [ax for ax in axes[:, number] if ax.axison]
        if shown:
            shown[-1].set_xlabel("layers, from the output", fontsize=6)
            shown[-1].tick_params(labelbottom=True)
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    return figure


def verdict_matrix(table: pd.DataFrame, class_name: str = ALL) -> Figure:
    """Methods by checks: pass, fail or open, with the gain over the control.

    Args:
        table: from `cxrlib.evaluate.sanity.with_verdicts`.
        class_name: the finding, or the mean of findings, that is drawn.
    """
    own = table[table["class_name"] == class_name]
    if own.empty:
        return sentence_figure(NONE)
    methods, checks = own["method"].unique(), own["measure"].unique()
    cells = own.set_index(["method", "measure"])
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 1.7 + 0.24 * len(methods)))
    for row, method in enumerate(methods):
        for column, check in enumerate(checks):
            if (method, check) not in cells.index:
                continue
            cell = cells.loc[(method, check)]
            ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fc=VERDICTS[cell["verdict"]], ec="white", lw=1))
            text = "" if np.isnan(cell["gain"]) else f"{cell['gain']:+z.2f}"
            ax.text(column, row, text, ha="center", va="center", fontsize=6)
    ax.set(xlim=(-0.5, len(checks) - 0.5), ylim=(len(methods) - 0.5, -0.5))
    ax.set_yticks(range(len(methods)), methods, fontsize=6.5)
    ax.set_xticks(range(len(checks)), checks, rotation=40, ha="left", rotation_mode="anchor", fontsize=6)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    patches = [Patch(color=colour, label=verdict) for verdict, colour in VERDICTS.items()]
    place = {"loc": "outside lower center", "ncols": len(patches), "frameon": False}
    figure.legend(handles=patches, title=counted(own["n"]), **place)
    return figure
