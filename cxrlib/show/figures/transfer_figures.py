"""Figure of notebook 14: scores at home and abroad."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from cxrlib.show.figures.style import OURS, PAGE_WIDTH

ABROAD = "#D55E00"


OFFSET = 0.13
"""Half the distance between the two marks of a label, in rows."""


def transfer_plot(table: pd.DataFrame, home: str, abroad: str) -> Figure:
    """One panel per metric, one row per label: both scores with their 95 % intervals.

    Args:
        table: as `cxrlib.evaluate.transfer.compare` returns it.
        home, abroad: what the legend calls the two test sets.
    """
    labels = table.index.unique("label")
    panels = table.index.unique("metric")
    size = (PAGE_WIDTH, 0.9 + 0.4 * len(labels))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    rows = np.arange(len(labels))
    for ax, metric in zip(axes[0], panels, strict=True):
        scores = table.xs(metric, level="metric").reindex(labels)
        for place, name, colour, shift in (("home", home, OURS, -OFFSET), ("abroad", abroad, ABROAD, OFFSET)):
            ends = scores[[f"{place}_low", f"{place}_high"]].T.to_numpy()
            reach = np.abs(ends - scores[place].to_numpy())
            ax.errorbar(scores[place], rows + shift, xerr=reach, fmt="o", ms=4, lw=1, color=colour, label=name)
        if metric == "AUROC":
            ax.axvline(0.5, color="#999999", lw=0.6, ls=":")
        ax.set(title=metric, xlim=(-0.02, 0.6) if metric == "IoU" else (-0.03, 1.03), yticks=rows, yticklabels=labels)
        ax.set_ylim(len(labels) - 0.5, -0.5)
        for row in rows[scores["abroad"].isna() | scores["home"].isna()]:
            place = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "center"}
            ax.text(0.98, row, "not defined abroad or at home", fontsize=6, color="#666666", **place)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return figure
