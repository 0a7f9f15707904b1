"""Figures of notebook 07 with controls: the own class's curve, and every method's gain over its controls."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from cxrlib.evaluate.bootstrap import FEWEST
from cxrlib.evaluate.faithfulness import LEAST, MEAN_HEATMAP, OWN, RANDOM_PIXELS, RANDOM_REGION, READERS
from cxrlib.show.figures.style import OURS, PAGE_WIDTH, RANDOM, sentence_figure

LOOKS = {
    OWN: {"color": OURS, "lw": 2.0, "ls": "-", "marker": "o"},
    RANDOM_REGION: {"color": "#D55E00", "lw": 1.2, "ls": "--", "marker": "s"},
    MEAN_HEATMAP: {"color": "#CC79A7", "lw": 1.2, "ls": "-.", "marker": "D"},
    READERS: {"color": "#009E73", "lw": 1.2, "ls": "none", "marker": "^"},
    RANDOM_PIXELS: {"color": RANDOM, "lw": 1.0, "ls": ":", "marker": "x"},
    LEAST: {"color": "#000000", "lw": 1.0, "ls": ":", "marker": "v"},
}
"""Line of each choice of pixels; the first two have bands."""


BANDS = [OWN, RANDOM_REGION]


COLUMNS = 4


MEASURES = {
    "fall mean 10 %": "fall of p,\nmean, 10 %",
    "fall ROAD 10 %": "fall of p,\nROAD, 10 %",
    "AOPC": "AOPC",
    "deletion": "deletion",
    "insertion": "insertion",
}
"""Measures that are drawn, and the names of their panels."""


NONE = "No heatmap of this run is compared with controls: n = 0."


def control_panels(curves: pd.DataFrame, classes: list[str]) -> Figure:
    """A panel per class: the fall of its own probability against the share of replaced pixels, beside every control.

    Args:
        curves: from `control_curves`.
        classes: in the order of the panels; a class without a heatmap has none.
    """
    counts = curves[curves["pixels"] == OWN].groupby("class_name")["n"].max()
    names = [name for name in classes if name in counts]
    if not names:
        return sentence_figure(NONE)
    lines = -(-(len(names) + 1) // COLUMNS)
    size = (PAGE_WIDTH, 0.3 + 1.75 * lines)
    figure, axes = plt.subplots(lines, COLUMNS, figsize=size, sharex=True, sharey=True, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        draw_beside_controls(ax, curves[curves["class_name"] == name])
        ax.set_title(f"{name}\nn = {counts[name]}", fontsize=7)
        ax.tick_params(labelsize=6, labelbottom=True)
    rest = list(axes.flat)[len(names) :]
    for ax in rest:
        ax.set_axis_off()
    shares = 100 * np.sort(curves["share"].unique())
    axes[0][0].set_xscale("log")
    axes[0][0].xaxis.set_major_locator(FixedLocator(shares))
    axes[0][0].xaxis.set_minor_locator(NullLocator())
    axes[0][0].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0][0].xaxis.set_minor_formatter(NullFormatter())
    controls_legend(rest[0])
    figure.supxlabel("replaced pixels, % of the image (log scale)", fontsize=8)
    figure.supylabel("mean fall of the own probability", fontsize=8)
    return figure


def draw_beside_controls(ax: Axes, curves: pd.DataFrame) -> None:
    """The fall of one class's own probability beside that of every control.

    Bands are 95 % intervals, of the heatmap and of the random region. The readers' boxes have no line, since each share
    has other cases: those whose boxes hold so many pixels; they are drawn where these are FEWEST or more.

    Args:
        curves: from `control_curves`, of one class.
    """
    ax.axhline(0, color="#888888", lw=0.6)
    shown = drawn(curves)
    for pixels, look in reversed(LOOKS.items()):
        rows = shown[shown["pixels"] == pixels]
        if pixels in BANDS:
            ax.fill_between(100 * rows["share"], rows["low"], rows["high"], color=look["color"], alpha=0.2, lw=0)
        ax.plot(100 * rows["share"], rows["ours"], ms=3, **look)


def drawn(curves: pd.DataFrame) -> pd.DataFrame:
    """The rows of `control_curves` that figures draw: without the readers' boxes of fewer than FEWEST cases."""
    return curves[(curves["n"] >= FEWEST) | (curves["pixels"] != READERS)]


def controls_legend(ax: Axes) -> None:
    """A legend of the curves of `draw_beside_controls`, in axes that hold nothing else."""
    handles = [plt.Line2D([], [], ms=3, label=name, **look) for name, look in LOOKS.items()]
    ax.legend(handles=handles, loc="center left", frameon=False, fontsize=7, title="replaced pixels")
    ax.set_axis_off()


def gain_panels(table: pd.DataFrame, class_name: str) -> Figure:
    """A panel per measure and a row per method: its gain over the random region and over the mean heatmap.

    Args:
        table: from `faithfulness_table`.
        class_name: the label, or the mean of findings, that is drawn.
    """
    known = table[(table["class_name"] == class_name) & table["measure"].isin(MEASURES)].dropna(subset="gain")
    if known.empty:
        return sentence_figure(NONE)
    methods = known["method"].unique().tolist()
    measures = [name for name in MEASURES if name in set(known["measure"])]
    size = (PAGE_WIDTH, 1.0 + 0.32 * len(methods))
    figure, axes = plt.subplots(1, len(measures), figsize=size, sharey=True, squeeze=False)
    for ax, measure in zip(axes[0], measures, strict=True):
        ax.axvline(0, color="#888888", lw=0.6)
        for control, shift in ((RANDOM_REGION, -0.14), (MEAN_HEATMAP, 0.14)):
            rows = known[(known["measure"] == measure) & (known["control"] == control)].set_index("method")
            rows = rows.reindex(methods)
            reach = np.abs(rows[["gain_low", "gain_high"]].T.to_numpy() - rows["gain"].to_numpy())
            look = {"color": LOOKS[control]["color"], "fmt": LOOKS[control]["marker"], "ms": 3, "lw": 1}
            ax.errorbar(rows["gain"], np.arange(len(methods)) + shift, xerr=reach, label=f"over the {control}", **look)
        ax.set_title(MEASURES[measure], fontsize=7)
        ax.tick_params(labelsize=6)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.grid(axis="y", lw=0.3, color="#dddddd")
    counts = known.groupby("method")["n"].max()
    labels = [f"{name}\nn = {counts[name]}" for name in methods]
    axes[0][0].set(yticks=range(len(methods)), yticklabels=labels, ylim=(len(methods) - 0.5, -0.5))
    figure.supxlabel("gain: score of the heatmap minus score of the control", fontsize=8)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False)
    return figure
