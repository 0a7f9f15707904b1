"""Figures of notebook 06: what radiologists reach against each other, and where heatmaps stand below them."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.annotations import reader_order
from cxrlib.plots.style import OURS, PAGE_WIDTH, RANDOM, THESIS, sentence_figure

READERS = "#009E73"


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
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.5 * len(classes) + 1.0))
    known = table.dropna(subset="ours").reset_index().sort_values("ours", ascending=False, kind="stable")
    best = known.drop_duplicates("class_name").set_index("class_name")
    best = best.reindex([name for name in classes if name in best.index])
    rows = pd.Series(range(len(classes)), classes, dtype=float)
    for name, row in rows.items():
        ax.plot([0, ceiling.at[name, "ours"]], [row, row], color="#dddddd", lw=4, solid_capstyle="butt", zorder=0)
    ax.plot(best["random_heatmap"], rows[best.index] + 0.24, "^", ms=5, color=RANDOM, label="random heatmap")
    _with_interval(ax, best, rows[best.index] - 0.12, "o", OURS, "this run")
    ax.plot(thesis.max()[classes], rows + 0.12, "x", ms=5, color=THESIS, label="thesis (no interval given)")
    _with_interval(ax, ceiling.loc[classes], rows, "D", READERS, "two radiologists, all real studies")
    names = [f"{name}\n{_count(best, name)}; {ceiling.at[name, 'n']:,} images" for name in classes]
    ax.set(yticks=rows, yticklabels=names, xlabel="mean IoU, all pairs of boxes", xlim=(0, 0.8))
    ax.set_ylim(-0.6, len(classes) - 0.4)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _count(best: pd.DataFrame, name: str) -> str:
    if name not in best.index:
        return "n = 0"
    return f"n = {best.at[name, 'n']} at the top {100 * best.at[name, 'share']:g} %"


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
