"""Figures of notebook 03: confusion matrices and ROC curves."""

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from cxrlib.evaluate.bootstrap import in_words
from cxrlib.show.figures.style import PAGE_WIDTH, class_colours, outlined


def confusion_grid(matrices: dict[str, list], n: int) -> Figure:
    """Figure 21: one 2x2 confusion matrix per label, counts of studies."""
    columns = 4
    rows = -(-len(matrices) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(PAGE_WIDTH, 1.9 * rows), squeeze=False)
    for ax in axes.flat[len(matrices) :]:
        ax.set_axis_off()
    ticks = ["no", "yes"]
    for place, (ax, (name, matrix)) in enumerate(zip(axes.flat, matrices.items(), strict=False)):
        sns.heatmap(matrix, annot=True, fmt="d", cmap="Blues", cbar=False, vmin=0, vmax=n, square=True, ax=ax)
        ax.set(xticklabels=ticks, yticklabels=ticks, xlabel="predicted", ylabel="" if place % columns else "true")
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
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 3.6))
    ax.plot([0, 1], [0, 1], ":", color="#888888", lw=1)
    for number, (name, (false_positive, true_positive)) in enumerate(curves.items()):
        style = ["-", "--", "-."][number % 3]
        area = auroc.loc[name]
        label = f"{name}, {in_words(area)}; {area['n']:.0f}"
        edge = outlined(1.4)
        ax.plot(false_positive, true_positive, style, color=colours[name], lw=1.4, label=label, path_effects=edge)
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    title = f"label, AUC (95 % interval); positives of n = {n}"
    figure.legend(title=title, frameon=False, loc="outside right center", handlelength=3)
    return figure
