"""Figures of notebook 01: labels, readers and boxes of the data."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import areas
from cxrlib.show.cases import most_disputed
from cxrlib.show.figures.lettering import whole
from cxrlib.show.figures.panels import box_legend, show_radiograph, show_readers
from cxrlib.show.figures.style import (
    BAR_WIDTH,
    DENSITY,
    LINE_HEIGHT,
    PAGE_WIDTH,
    READER_LINES,
    class_colours,
    image_axes,
    sentence_figure,
)

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
    """The shares of `cxrlib.data.checks.labels_together` as coloured cells."""
    return share_grid(shares, [f"of {name}" for name in shares.index], "% that have the column's label too")


def habits_grid(habits: pd.DataFrame) -> Figure:
    """The shares of `cxrlib.data.checks.reader_habits` as coloured cells."""
    names = [f"{reader} ({count:,} studies)" for reader, count in habits["studies"].items()]
    return share_grid(habits.drop(columns="studies"), names, "% of the reader's studies")


def density_grid(maps: dict[str, np.ndarray], fractions: pd.DataFrame) -> Figure:
    """Density maps of the boxes of each finding, with the number and the median area of the boxes.

    Every map is divided by its maximum. R and L are the patient's sides.

    Args:
        maps: as `cxrlib.data.checks.box_density` returns them.
        fractions: the boxes behind them.
    """
    columns = 5
    lines = -(-len(maps) // columns)
    height = lines * ((PAGE_WIDTH - BAR_WIDTH) / columns + 3 * LINE_HEIGHT)
    figure, axes = plt.subplots(lines, columns, figsize=(PAGE_WIDTH, height))
    for ax in axes.flat:
        ax.set_axis_off()
    area = pd.Series(areas(fractions[BOX_COLUMNS].to_numpy()), fractions.index)
    for (name, density), ax in zip(maps.items(), axes.flat, strict=False):
        shown = ax.imshow(density / density.max(), cmap=DENSITY, extent=(0, 1, 1, 0), vmin=0, vmax=1)
        for x, side in ((0.06, "R"), (0.94, "L")):
            ax.text(x, 0.07, side, color="white", fontsize=6, ha="center", va="center")
        sizes = area[fractions["class_name"] == name]
        ax.set_title(f"{name}\n{len(sizes):,} boxes,\nmedian area {100 * sizes.median():.1f} %", fontsize=7)
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, aspect=30, pad=0.01, fraction=0.02)
    bar.set_label("share of the boxes over a point,\nfraction of the panel's maximum", fontsize=7)
    return figure


THOUSANDS = StrMethodFormatter("{x:,.0f}")


def agreement_bars(readers: pd.DataFrame) -> Figure:
    """Figure 1: images per class, split by how many of the three readers gave the label.

    Args:
        readers: number of readers, image_id by class.
    """
    counts = readers.apply(lambda column: column[column > 0].value_counts()).fillna(0).T
    counts = counts.loc[counts.sum(axis=1).sort_values().index]
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 3.6))
    left = np.zeros(len(counts))
    for number, shade in zip(sorted(counts.columns), ["#9ecae1", "#4292c6", "#084594"], strict=False):
        ax.barh(counts.index, counts[number], left=left, color=shade, label=f"{number} of 3 readers")
        left += counts[number].to_numpy()
    ax.bar_label(ax.containers[-1], [f"{total:,.0f}" for total in left], padding=3, fontsize=7)
    ax.set(xlabel=f"radiographs (n = {len(readers):,})", xlim=(0, left.max() * 1.1))
    ax.xaxis.set_major_formatter(THOUSANDS)
    ax.legend(frameon=False, loc="lower right", title="label given by")
    return figure


def training_bars(real: pd.DataFrame, cohort: Cohort) -> Figure:
    """Figure 18: images per label in the run's training split, and in all real annotations if these have the labels.

    Args:
        real: 0/1 labels of all real studies, image_id by class.
    """
    own = cohort.labels.loc[cohort.of("train"), cohort.explained].sum()
    colours = class_colours(cohort.explained)
    panels = [(own, f"this run, training split (n = {len(cohort.of('train')):,})")]
    if set(cohort.explained) <= set(real):
        kept = real.loc[real[cohort.explained].any(axis=1), cohort.explained]
        panels.insert(0, (kept.sum(), f"all real annotations (n = {len(kept):,})"))
    figure, axes = plt.subplots(1, len(panels), figsize=(PAGE_WIDTH, 2.4), sharey=True, squeeze=False)
    for ax, (counts, title) in zip(axes[0], panels, strict=True):
        bars = ax.barh(
            counts.index, counts, color=[colours[name] for name in counts.index], edgecolor="#444444", lw=0.4
        )
        ax.bar_label(bars, [f"{count:,}" for count in counts], padding=2, fontsize=7)
        ax.set(xlabel="radiographs (one may have several labels)", xlim=(0, counts.max() * 1.2))
        ax.xaxis.set_major_formatter(THOUSANDS)
        ax.set_title(title, fontsize=8)
    axes[0][0].invert_yaxis()
    return figure


def example_grid(cohort: Cohort, image_ids: list[str]) -> Figure:
    """Figure 19: radiographs with their labels and all readers' boxes."""
    colours = class_colours(cohort.explained)
    columns = 3
    figure, axes = image_axes(-(-len(image_ids) // columns), columns)
    for image_id, ax in zip(image_ids, [ax for line in axes for ax in line], strict=False):
        true = [name for name in cohort.explained if cohort.labels.at[image_id, name]]
        show_radiograph(ax, cohort.images([image_id])[0], ", ".join(map(whole, true)))
        show_readers(ax, cohort, image_id, {name: colours[name] for name in true})
    box_legend(figure, cohort, image_ids, columns=3)
    return figure


def disagreement_grid(cohort: Cohort, classes: list[str]) -> Figure:
    """Figure 29: the most disputed radiograph of each class, one line style per reader."""
    cases = [(name, most_disputed(cohort, name)) for name in classes]
    cases = [(name, image_id) for name, image_id in cases if image_id]
    if not cases:
        return sentence_figure("One reader per radiograph: how readers differ cannot be shown on this data set.")
    colours = class_colours(cohort.explained)
    figure, axes = image_axes(1, len(cases))
    for number, ((name, image_id), ax) in enumerate(zip(cases, axes[0], strict=True)):
        show_radiograph(ax, cohort.images([image_id])[0], f"{'abcdef'[number]}  {name}")
        show_readers(ax, cohort, image_id, {name: colours[name]})
        readers = zip(cohort.readers(image_id), READER_LINES, strict=False)
        lines = [Line2D([], [], color="black", lw=1, ls=line, label=reader) for reader, line in readers]
        ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
    return figure
