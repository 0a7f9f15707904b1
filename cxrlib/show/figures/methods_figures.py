"""Figures of notebook 08: every method on the same cases, their scores, how far they agree, and further networks."""

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrlib.data.cohort import Cohort
from cxrlib.runtime.numerals import number_text
from cxrlib.show.figures.panels import colour_bar, show_on_radiograph, show_radiograph, show_readers
from cxrlib.show.figures.style import OURS, PAGE_WIDTH, RANDOM, class_colours, counted, image_axes, sentence_figure

PER_LINE = 8
"""Most panels in a line of `method_sheet`."""


METRICS = {
    "all_pairs": "IoU,\nall pairs",
    "hit": "hit rate",
    "energy": "energy\ninside",
    "average_precision": "average\nprecision",
    "similarity": "similarity\nof classes",
    "fall": "fall of p",
    "agreement": "agreement",
    "AUROC": "AUROC",
}
"""Metrics that are drawn, and the names of their panels."""


def method_sheet(cohort: Cohort, cases: list[tuple[str, str]], methods: dict[str, list[torch.Tensor]]) -> Figure:
    """Every method's heatmap of the same cases: a block of lines for each case, the radiograph first.

    What speaks against a class is left out, and each map is stretched from its least to its greatest value.

    Args:
        cohort: pixels and boxes.
        cases: image id and class name.
        methods: title -> one raw map (rows, columns) per case.
    """
    if not cases:
        return sentence_figure("No compared study of this run carries a boxed finding: n = 0.")
    colours, panels = class_colours(cohort.explained), 1 + len(methods)
    lines = -(-panels // PER_LINE)
    figure, axes = image_axes(lines * len(cases), -(-panels // lines), title_lines=2, bar=True)
    for number, (image_id, class_name) in enumerate(cases):
        block = [ax for line in axes[lines * number : lines * (number + 1)] for ax in line][:panels]
        pixels = cohort.images([image_id])[0]
        show_radiograph(block[0], pixels)
        block[0].set_title(class_name, fontsize=6, fontweight="bold")
        for ax, (title, maps) in zip(block[1:], methods.items(), strict=True):
            show_on_radiograph(ax, pixels, _stretched(maps[number]))
            ax.set_title(title, fontsize=6)
        for ax in block:
            show_readers(ax, cohort, image_id, {class_name: colours[class_name]})
    colour_bar(figure, [ax for line in axes for ax in line])
    return figure


def score_panels(table: pd.DataFrame, class_name: str, controls: set[str], same: dict[str, str]) -> Figure:
    """A panel per metric and a row per method or network, with 95 % intervals; a dotted line at the first row's score.

    Args:
        table: name, metric, class_name, ours, low, high and n.
        class_name: the finding, or the mean of findings, that is drawn.
        controls: names of the rows that are drawn in grey.
        same: name -> the name of another row that has the same maps.
    """
    table = table[table["class_name"] == class_name].dropna(subset="ours")
    if table.empty:
        return sentence_figure("No compared study of this run carries a boxed finding: n = 0.")
    names = [f"{name} (= {same[name]})" if name in same else name for name in table["name"].unique()]
    metrics = [metric for metric in METRICS if metric in set(table["metric"])]
    size = (PAGE_WIDTH, 0.8 + 0.19 * len(names))
    figure, axes = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        scores = table[table["metric"] == metric].set_index("name").reindex(table["name"].unique())
        reach = np.abs(scores[["low", "high"]].T.to_numpy() - scores["ours"].to_numpy())
        for row, name in enumerate(scores.index):
            colour = RANDOM if name in controls else OURS
            ax.errorbar(scores["ours"].iloc[row], row, xerr=reach[:, [row]], fmt="o", ms=3, lw=1, color=colour)
        if not np.isnan(scores["ours"].iloc[0]):
            ax.axvline(scores["ours"].iloc[0], color=OURS, lw=0.6, ls=":", zorder=0)
        ax.set_title(METRICS[metric], fontsize=7)
        ax.tick_params(labelsize=6)
        ax.xaxis.set_major_locator(MaxNLocator(2 if len(metrics) > 6 else 3))
        ax.grid(axis="y", lw=0.3, color="#dddddd")
    axes[0][0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    figure.supxlabel(counted(table["n"]), fontsize=7)
    return figure


def agreement_matrix(agreement: pd.DataFrame) -> Figure:
    """Mean rank correlation between every two methods, as numbers and colours.

    Args:
        agreement: from `method_agreement`.
    """
    below = np.triu(np.ones(agreement.shape, bool), 1)
    side = min(PAGE_WIDTH, 1.6 + 0.36 * len(agreement))
    figure, ax = plt.subplots(figsize=(side, 0.8 * side))
    sns.heatmap(
        agreement,
        mask=below,
        ax=ax,
        vmin=-1,
        vmax=1,
        cmap="RdBu_r",
        annot=agreement.map(lambda value: number_text(value, 2)),
        fmt="",
        annot_kws={"fontsize": 6},
        linewidths=0.3,
        cbar_kws={"label": "rank correlation", "shrink": 0.6},
    )
    ax.set(xlabel="", ylabel="")
    ax.tick_params(labelsize=6, length=0)
    ax.set_xticklabels(ax.get_xticklabels(), rotation=45, ha="right")
    ax.set_yticklabels(ax.get_yticklabels(), rotation=0)
    return figure


def _stretched(raw: torch.Tensor) -> torch.Tensor:
    """A raw map without negative values, less its least value: otherwise RISE, whose maps have a floor, is one wash."""
    positive = raw.clamp(min=0)
    return positive - positive.min()
