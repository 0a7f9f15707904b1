"""Figures of notebook 03: confusion matrices and ROC curves."""

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from cxrlib.bootstrap import in_words
from cxrlib.plots.style import PAGE_WIDTH, class_colours


def confusion_grid(matrices: dict[str, list], n: int) -> Figure:
    """Figure 21: one 2x2 confusion matrix per label, counts of studies."""
    columns = 4
    rows = -(-len(matrices) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(PAGE_WIDTH, 1.9 * rows), squeeze=False)
    for ax in axes.flat[len(matrices) :]:
        ax.set_axis_off()
    for ax, (name, matrix) in zip(axes.flat, matrices.items(), strict=False):
        ticks = ["no", "yes"]
        sns.heatmap(matrix, annot=True, fmt="d", cmap="Blues", cbar=False, vmin=0, vmax=n, square=True, ax=ax)
        ax.set(xticklabels=ticks, yticklabels=ticks, xlabel="predicted", ylabel="true")
        ax.set_title(name, fontsize=8)
    return figure


def roc_plot(curves: dict[str, tuple], auroc: pd.DataFrame, n: int) -> Figure:
    """Figure 22: ROC curve of each label with its area and interval.

    Args:
        curves: false and true positive rates of each label that has both outcomes.
        auroc: ours, low, high and n of each label.
        n: number of studies.
    """
    colours = class_colours(list(auroc.index))
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH * 0.75, PAGE_WIDTH * 0.42))
    ax.plot([0, 1], [0, 1], ":", color="#888888", lw=1)
    for number, (name, (false_positive, true_positive)) in enumerate(curves.items()):
        style = ["-", "--", "-."][number % 3]
        area = auroc.loc[name]
        label = f"{name}, {in_words(area)}"
        ax.plot(false_positive, true_positive, style, color=colours[name], lw=1.4, label=label)
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal", xlim=(0, 1), ylim=(0, 1.01))
    ax.legend(
        title=f"label, AUC (95 % interval); n = {n} test studies",
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
    return figure
