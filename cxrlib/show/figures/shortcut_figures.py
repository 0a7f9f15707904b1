"""Figures of notebook 12: planted cues and their maps, what networks make of cues, who shows them, and the ladder."""

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrlib.evaluate.ladder import MEASURES, NETWORK
from cxrlib.evaluate.method_scores import RANDOM as CONTROLS
from cxrlib.evaluate.shortcut import ShortcutModel
from cxrlib.show.figures.panels import show_on_radiograph
from cxrlib.show.figures.style import OURS, PAGE_WIDTH, RANDOM, image_axes, sentence_figure

SECOND, THIRD = "#E69F00", "#D55E00"


KIND_COLOURS = {"marker": OURS, "corner": SECOND, "noise": THIRD}


TEST_COLOURS = {
    "as in training": OURS,
    "removed": SECOND,
    "swapped": THIRD,
    "healthy without cue": RANDOM,
    "healthy, cue alone": THIRD,
    "reliance": OURS,
}


ROWS_OF_TESTS = {
    "AUROC": ["as in training", "removed", "swapped"],
    "share or probability": ["healthy without cue", "healthy, cue alone", "reliance"],
}


NONE = "No cue was planted: phantom.shortcuts names none. The profile phantom plants three kinds."


WITHOUT_MAPS = "No map: the cue has no place,\nor its label is predicted nowhere."


MOST_MAPS = 5
"""Methods whose maps an example shows."""


COLUMNS = 5
"""Panels in a row."""


def cue_examples(models: list[ShortcutModel], plain: torch.Tensor) -> Figure:
    """A row per kind at its greatest strength: a picture without and with the cue, and maps with the cue outlined.

    The picture is the one whose probability rises most, of those that were explained, or of all where none was.

    Args:
        models: networks and maps.
        plain: the test pictures without a cue, uint8 (n, 1, size, size), in the order of the cases.
    """
    if not models:
        return sentence_figure(NONE)
    strongest = {model.kind: model for model in sorted(models, key=lambda model: model.strength)}
    figure, axes = image_axes(len(strongest), 2 + MOST_MAPS)
    for line, model in zip(axes, strongest.values(), strict=True):
        rise = model.cases["with_cue"] - model.cases["without"]
        explained = next(iter(model.maps.values())).probabilities.index if model.maps else model.cases.index
        image_id = rise[explained].idxmax()
        row, case = model.cases.index.get_loc(image_id), model.cases.loc[image_id]
        picture = model.pictures[row, 0].numpy()
        line[0].imshow(plain[row, 0].numpy(), vmin=0, vmax=255)
        line[0].set_title(f"without\np = {case['without']:.2f}", fontsize=7)
        line[1].imshow(picture, vmin=0, vmax=255)
        line[1].set_title(f"{model.kind}\np = {case['with_cue']:.2f}", fontsize=7)
        for ax, (title, maps) in zip(line[2:], spread(model.maps), strict=False):
            show_on_radiograph(ax, picture, maps.map(image_id, model.label))
            ax.contour(model.cues[row].numpy(), levels=[0.5], colors="#56B4E9", linewidths=0.8)
            ax.set_title(title.replace(" ", "\n", 1), fontsize=7)
        if not model.maps:
            words = line[2].text(0, 0.5, WITHOUT_MAPS, transform=line[2].transAxes, fontsize=7, va="center")
            words.set_in_layout(False)
    return figure


def spread(maps: dict) -> list[tuple]:
    """MOST_MAPS of some methods, from the first to the last."""
    items = list(maps.items())
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, min(MOST_MAPS, len(items)))]


def cue_tests_panels(table: pd.DataFrame) -> Figure:
    """A column per kind, against the strength: AUROC with the cue in three ways, and what the cue does by itself.

    Args:
        table: from `cue_tests_table`.
    """
    if table.empty:
        return sentence_figure(NONE)
    kinds = table["kind"].unique()
    size = (PAGE_WIDTH, 4.4)
    figure, axes = plt.subplots(2, len(kinds), figsize=size, sharex=True, sharey="row", squeeze=False)
    for column, kind in enumerate(kinds):
        for ax, tests in zip(axes[:, column], ROWS_OF_TESTS.values(), strict=True):
            for shift, test in zip((-0.02, 0.0, 0.02), tests, strict=True):
                rows = table[(table["kind"] == kind) & (table["test"] == test)].sort_values("strength")
                _points(ax, rows["strength"] + shift, rows, TEST_COLOURS[test], test)
            ax.grid(axis="y", lw=0.3, color="#dddddd")
        axes[0, column].set_title(kind)
    for row, label in enumerate(ROWS_OF_TESTS):
        axes[row, 0].set_ylabel(label)
        axes[row, -1].legend(frameon=False, fontsize=6, loc="upper left", bbox_to_anchor=(1.02, 1))
    figure.supxlabel("strength of the tie between cue and label in training", fontsize=8)
    return figure


def detection_panels(table: pd.DataFrame) -> Figure:
    """A panel per method: the share of maps with their peak on the cue against the network's reliance on it.

    Each point is one strength; grey is the random heatmap with as many cells.

    Args:
        table: from `shortcut_table`.
    """
    known = table.dropna(subset="shows")
    if known.empty:
        return sentence_figure(NONE if table.empty else "No map was made: no network predicts the label with the cue.")
    methods = known["method"].unique()
    figure, axes = _panels(len(methods), "mean of p with the cue − p without it", "maps with their peak on the cue")
    for ax, method in zip(axes, methods, strict=True):
        for kind in known["kind"].unique():
            rows = known[(known["method"] == method) & (known["kind"] == kind)].sort_values("reliance")
            ax.plot(rows["reliance"], rows["random"], "o:", ms=2, lw=0.8, color=RANDOM, label="random")
            reach = np.abs(rows[["reliance_low", "reliance_high"]].T.to_numpy() - rows["reliance"].to_numpy())
            ax.errorbar(rows["reliance"], rows["shows"], xerr=reach, lw=0.6, ls="none", color=KIND_COLOURS[kind])
            _points(ax, rows["reliance"], rows.assign(ours=rows["shows"]), KIND_COLOURS[kind], kind)
        ax.set_title(method, fontsize=7)
        ax.set_ylim(-0.05, 1.05)
    _legend(figure, axes[0])
    return figure


def ladder_panels(table: pd.DataFrame) -> Figure:
    """The network's panel and one per method: score on each rung from the smallest or faintest cause upwards.

    The network's is the mean true effect; a method's the average precision, and grey that of random maps of its form.

    Args:
        table: from `climb`.
    """
    metrics = table[table["metric"].isin(["effect", "average_precision"])].dropna(subset="ours")
    if metrics.empty:
        return sentence_figure("No compared study of this run carries a boxed finding: n = 0.")
    who = [name for name in metrics["who"].unique() if not name.startswith(CONTROLS)]
    figure, axes = _panels(len(who), "rung, from the hardest cause to the easiest", "average precision, or effect")
    for ax, name in zip(axes, who, strict=True):
        for measure, colour in zip(MEASURES, (OURS, SECOND), strict=True):
            rows = metrics[metrics["measure"] == measure]
            own = rows[rows["who"] == name]
            if name != NETWORK:
                ax.plot(own["rung"], own["ours"] - own["gain"], ":", lw=0.9, color=RANDOM, label="random maps")
            _points(ax, own["rung"], own, colour, f"by {measure}")
        ax.set_title("network: true effect" if name == NETWORK else name, fontsize=7)
        ax.set_xticks(sorted(metrics["rung"].unique()))
    axes[0].axhline(0, lw=0.6, color=RANDOM)
    _legend(figure, axes[-1])
    return figure


def _panels(count: int, x_label: str, y_label: str) -> tuple[Figure, list[Axes]]:
    """Axes in rows of COLUMNS that share their scales."""
    lines = -(-count // COLUMNS)
    size = (PAGE_WIDTH, 0.8 + 1.35 * lines)
    figure, axes = plt.subplots(lines, COLUMNS, figsize=size, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat:
        ax.tick_params(labelsize=6)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.grid(axis="y", lw=0.3, color="#dddddd")
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    for above, below in zip(axes[-2] if lines > 1 else [], axes[-1], strict=False):
        above.tick_params(labelbottom=not below.axison)
    figure.supxlabel(x_label, fontsize=8)
    figure.supylabel(y_label, fontsize=8)
    return figure, list(axes.flat[:count])


def _points(ax: Axes, x: pd.Series, rows: pd.DataFrame, colour: str, label: str) -> None:
    """Scores with their intervals, joined by a line."""
    reach = np.abs(rows[["low", "high"]].T.to_numpy() - rows["ours"].to_numpy())
    ax.errorbar(x, rows["ours"], yerr=reach, fmt="o-", ms=3, lw=1, elinewidth=0.8, color=colour, label=label)


def _legend(figure: Figure, ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside upper center", ncols=len(once), frameon=False)
