"""Figures of what one checks in the data first: labels that come together, readers' habits, where boxes lie."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from cxrlib.plots.style import BAR_WIDTH, HEATMAP, LINE_HEIGHT, PAGE_WIDTH

PALE = "Blues"
DARK = 0.65
"""Share above which a cell's number is written in white."""


def share_grid(shares: pd.DataFrame, row_names: list[str], colour_label: str) -> Figure:
    """A table of shares as coloured cells with the percentage in each; an empty cell is 0.

    Args:
        shares: 0..1, NaN where undefined.
        row_names: what to call the rows.
        colour_label: what the colour bar says.
    """
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.25 * len(shares) + 1.4))
    shown = ax.imshow(100 * shares, cmap=PALE, vmin=0, vmax=100, aspect="auto")
    for (row, column), share in np.ndenumerate(shares.to_numpy()):
        if share > 0:
            colour = "white" if share > DARK else "#222222"
            text = f"{100 * share:.0f}" if share >= 0.005 else "<1"
            ax.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    ax.set_xticks(range(shares.shape[1]), shares.columns, rotation=40, ha="right")
    ax.set_yticks(range(len(shares)), row_names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(shown, label=colour_label, fraction=0.03, pad=0.02)
    return figure


def together_grid(shares: pd.DataFrame) -> Figure:
    """Which labels come together, as `cxrlib.data_checks.labels_together` counts them."""
    return share_grid(shares, [f"of {name}" for name in shares.index], "% that have the column's label too")


def habits_grid(habits: pd.DataFrame) -> Figure:
    """How often each reader gives each label, as `cxrlib.data_checks.reader_habits` counts it."""
    names = [f"{reader} ({count:,} studies)" for reader, count in habits["studies"].items()]
    return share_grid(habits.drop(columns="studies"), names, "% of the reader's studies")


def density_grid(maps: dict[str, np.ndarray], fractions: pd.DataFrame) -> Figure:
    """Where the boxes of each finding lie, each map on its own scale, with their number and median size.

    R and L are the patient's sides.

    Args:
        maps: as `cxrlib.data_checks.box_density` returns them.
        fractions: the boxes behind them.
    """
    columns = 5
    lines = -(-len(maps) // columns)
    height = lines * ((PAGE_WIDTH - BAR_WIDTH) / columns + 3 * LINE_HEIGHT)
    figure, axes = plt.subplots(lines, columns, figsize=(PAGE_WIDTH, height))
    for ax in axes.flat:
        ax.set_axis_off()
    area = (fractions["x_max"] - fractions["x_min"]) * (fractions["y_max"] - fractions["y_min"])
    for (name, density), ax in zip(maps.items(), axes.flat, strict=False):
        shown = ax.imshow(density / density.max(), cmap=HEATMAP, extent=(0, 1, 1, 0), vmin=0, vmax=1)
        for x, side in ((0.06, "R"), (0.94, "L")):
            ax.text(x, 0.07, side, color="white", fontsize=6, ha="center", va="center")
        sizes = area[fractions["class_name"] == name]
        ax.set_title(f"{name}\n{len(sizes):,} boxes,\nmedian area {100 * sizes.median():.1f} %", fontsize=7)
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, aspect=30, pad=0.01, fraction=0.02)
    bar.set_label("share of the boxes over a point,\nfraction of the panel's maximum", fontsize=7)
    return figure
