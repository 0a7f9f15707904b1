"""Figures of notebook 06: what radiologists reach against each other, and where heatmaps stand below them."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.plots.style import OURS, PAGE_WIDTH, RANDOM, THESIS

READERS = "#009E73"
FEWEST_IMAGES = 20


def between_chance_and_readers(
    table: pd.DataFrame, thesis: pd.DataFrame, readers: pd.DataFrame, protocol: str = "all_pairs"
) -> Figure:
    """Mean IoU over all pairs per finding: random heatmap, this run, the thesis, the radiologists.

    Args:
        table: from `iou_table`; each finding at its best share of pixels.
        thesis: share by class, likewise at its best share.
        readers: from `reader_table`.
        protocol: which of its rows; with the same union as the table.
    """
    ceiling = readers[readers["protocol"] == protocol].set_index("class_name")
    classes = [name for name in thesis.columns if name in ceiling.index]
    classes = sorted(classes, key=lambda name: ceiling.at[name, "ours"])
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.45 * len(classes) + 0.9))
    known = table.dropna(subset="ours").reset_index().sort_values("ours", ascending=False, kind="stable")
    best = known.drop_duplicates("class_name").set_index("class_name")
    best = best.reindex([name for name in classes if name in best.index])
    rows = pd.Series(range(len(classes)), classes, dtype=float)
    for name, row in rows.items():
        ax.plot([0, ceiling.at[name, "ours"]], [row, row], color="#dddddd", lw=4, solid_capstyle="butt", zorder=0)
    ax.plot(best["random_heatmap"], rows[best.index], "^", ms=5, color=RANDOM, label="random heatmap")
    _with_interval(ax, best, rows[best.index] - 0.12, "o", OURS, "this run, best share of pixels")
    ax.plot(thesis.max()[classes], rows + 0.12, "x", ms=5, color=THESIS, label="thesis, best share of pixels")
    _with_interval(ax, ceiling.loc[classes], rows, "D", READERS, "two radiologists, all real studies")
    names = [f"{name}\nn = {best['n'].get(name, 0):.0f} / {ceiling.at[name, 'n']:,}" for name in classes]
    ax.set(yticks=rows, yticklabels=names, xlabel="mean IoU, all pairs of boxes", xlim=(0, 0.8))
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _with_interval(ax: Axes, scores: pd.DataFrame, rows: pd.Series, marker: str, colour: str, label: str) -> None:
    errors = np.stack([scores["ours"] - scores["low"], scores["high"] - scores["ours"]]).clip(min=0)
    ax.errorbar(scores["ours"], rows, xerr=errors, fmt=marker, ms=5, color=colour, lw=1.2, capsize=2, label=label)


def pair_matrix(pairs: pd.DataFrame) -> Figure:
    """Agreement of every pair of readers, one panel per finding; pairs with few common images stay empty.

    Args:
        pairs: from `reader_pairs`.
    """
    known = pairs[pairs["n"] >= FEWEST_IMAGES]
    order = sorted({*known["first"], *known["second"]}, key=lambda name: int(name.lstrip("R")))
    classes = sorted(pairs["class_name"].unique())
    figure, axes = plt.subplots(2, 3, figsize=(PAGE_WIDTH, 5.0), sharex=True, sharey=True)
    for name, ax in zip(classes, axes.flat, strict=True):
        matrix = pd.DataFrame(np.nan, order, order)
        for row in known[known["class_name"] == name].itertuples():
            matrix.loc[row.first, row.second] = matrix.loc[row.second, row.first] = row.all_pairs
        shown = ax.imshow(matrix, cmap="viridis", vmin=0, vmax=0.8)
        for (row, column), value in np.ndenumerate(matrix.to_numpy()):
            if not np.isnan(value):
                shade = "white" if value < 0.55 else "black"
                ax.text(column, row, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=5, color=shade)
        ax.set_title(name, fontsize=8)
        ax.set_xticks(range(len(order)), order, rotation=90, fontsize=6)
        ax.set_yticks(range(len(order)), order, fontsize=6)
    figure.colorbar(shown, ax=axes, shrink=0.6, label="mean IoU, all pairs of boxes")
    return figure
