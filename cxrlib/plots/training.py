"""Figure of notebook 02: losses."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrlib.plots.style import OURS, PAGE_WIDTH, THESIS, sentence_figure


def loss_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Figure 20: training and validation loss of each experiment; a dot marks the epoch that was kept."""
    if all(history["epoch"].max() == 0 for history in histories.values()):
        return sentence_figure("Nothing was trained: the weights are used as they are.")
    widths = [max(len(history), 3) ** 0.5 for history in histories.values()]
    figure, axes = plt.subplots(
        1, len(histories), figsize=(PAGE_WIDTH, 2.3), sharey=True, squeeze=False, width_ratios=widths
    )
    for ax, (name, history) in zip(axes[0], histories.items(), strict=True):
        ax.plot(history["epoch"], history["train_loss"], "D-", ms=3, color=OURS, label="training")
        ax.plot(history["epoch"], history["valid_loss"], "s--", ms=2, color=THESIS, label="validation")
        best = history.loc[history["valid_loss"].idxmin()]
        ax.plot(best["epoch"], best["valid_loss"], "o", ms=7, mfc="none", mec=THESIS, label="kept")
        ax.set_title(name, fontsize=8)
        ax.set(xlabel="epoch", xlim=(0.5, len(history) + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0][0].set_ylabel("weighted binary cross-entropy")
    axes[0][0].legend(frameon=False, fontsize=7)
    return figure
