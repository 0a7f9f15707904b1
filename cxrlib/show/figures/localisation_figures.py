"""Figures of notebook 06 beyond the thesis: a method beside its controls, and what makes a finding easy to meet."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cxrlib.evaluate.iou_regression import UNITS
from cxrlib.evaluate.place_controls import CENTRE, RANDOM_MAP, SWAPPED, USUAL_MAP, USUAL_PLACE
from cxrlib.evaluate.place_scores import PLACE_SCORES
from cxrlib.show.figures.style import OURS, PAGE_WIDTH, RANDOM, THESIS, class_colours, outlined, sentence_figure

MARKS = {
    RANDOM_MAP: ("^", RANDOM),
    CENTRE: ("P", "#56B4E9"),
    USUAL_MAP: ("s", "#D55E00"),
    USUAL_PLACE: ("v", "#009E73"),
    SWAPPED: ("D", "#CC79A7"),
}
"""Marker and colour of each control."""


TITLES = {
    "iou": "IoU, validated share",
    "energy": "energy inside boxes",
    "average_precision": "average precision",
    "hit": "hit within tolerance",
    "otsu_iou": "IoU, mask by Otsu",
}


NONE = "No finding of the compared studies is boxed: n = 0."


def control_panels(table: pd.DataFrame, method: str) -> Figure:
    """A panel per measure and a row per finding: the method with its interval, and each control.

    A control's mark is open where the method scores certainly more (the interval of the gain lies above zero).

    Args:
        table: from `localisation_table`.
        method: that is drawn.
    """
    own = table[(table["method"] == method) & (table["n"] > 0)]
    if own.empty:
        return sentence_figure(NONE)
    names = own["class_name"].unique()
    counts = own.groupby("class_name")["n"].max()
    figure, axes = plt.subplots(1, len(PLACE_SCORES), figsize=(PAGE_WIDTH, 0.9 + 0.36 * len(names)), sharey=True)
    for ax, measure in zip(axes, PLACE_SCORES, strict=True):
        for number, (control, (marker, colour)) in enumerate(MARKS.items()):
            rows = own[(own["measure"] == measure) & (own["control"] == control)].set_index("class_name").reindex(names)
            place = np.arange(len(names)) - 0.12 + 0.11 * number
            beaten = (rows["gain_low"] > 0).to_numpy()
            for certain, face in ((True, "white"), (False, colour)):
                some = beaten == certain
                ax.plot(rows["control_score"][some], place[some], marker, ms=3.5, mfc=face, mec=colour, mew=0.8)
        ours = own[own["measure"] == measure].sort_values("n", ascending=False).drop_duplicates("class_name")
        ours = ours.set_index("class_name").reindex(names)
        reach = np.abs(ours[["low", "high"]].T.to_numpy() - ours["ours"].to_numpy())
        ax.errorbar(
            ours["ours"], np.arange(len(names)) - 0.28, xerr=reach, fmt="o", ms=3.5, lw=1.2, capsize=2, color=OURS
        )
        ax.set_title(TITLES[measure], fontsize=7)
        ax.set_xlim(left=0)
        ax.tick_params(labelsize=6)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        for edge in range(1, len(names)):
            ax.axhline(edge - 0.5, lw=0.3, color="#cccccc")
    axes[0].set(yticks=range(len(names)), yticklabels=[f"{name}\nn = {counts[name]}" for name in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    handles = [Line2D([], [], marker="o", color=OURS, ms=4, label=f"{method}, 95 % interval")]
    handles += [Line2D([], [], marker=m, color=c, ls="", ms=4, label=name) for name, (m, c) in MARKS.items()]
    handles += [Line2D([], [], marker="s", mfc="white", mec="#444444", ls="", ms=4, label="open: certainly exceeded")]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


VINDR = (1.0, 0.802)
"""False boxes an image, and sensitivity there, as published of the VinDr system, which was trained with boxes."""


FROC = (
    "Share of the readers' boxes that Grad-CAM finds at so many false boxes an image; bars: 95 % intervals. "
    "The star is another system's figure, on its own real radiographs."
)


RULES = {"iou": "boxes meet by IoU", "iobb": "boxes meet by share of the map's box"}


LINES = ["o-", "s--", "^-.", "D:", "v-", "P--", "X-."]
"""Marker and dashes of each finding, for readers who do not tell its colour."""


def froc_curves(table: pd.DataFrame) -> Figure:
    """A panel per rule by which boxes meet, a line per finding: sensitivity against false boxes an image.

    Intervals are drawn where there are enough images; grey: random maps of all findings. A finding whose maps have no
    more false boxes to give keeps its sensitivity to the right.

    Args:
        table: from `froc_table`, of one method.
    """
    known = table[table["n"] > 0]
    if known.empty:
        return sentence_figure(NONE)
    names = known["class_name"].unique().tolist()
    colours, rules = class_colours(names), known["meet_by"].unique().tolist()
    figure, axes = plt.subplots(1, len(rules), figsize=(PAGE_WIDTH, 3.6), sharey=True, squeeze=False)
    rates = known["false_boxes"].unique()
    for ax, rule in zip(axes[0], rules, strict=True):
        own = known[known["meet_by"] == rule]
        for number, name in enumerate(names):
            rows = own[own["class_name"] == name]
            place = np.arange(len(rows)) + 0.07 * (number - (len(names) - 1) / 2)
            reach = np.abs(rows[["low", "high"]].T.to_numpy() - rows["ours"].to_numpy())
            reach, together = np.nan_to_num(reach), name == names[-1] and len(names) > 1
            style = {"color": THESIS, "lw": 1.8} if together else {"color": colours[name], "lw": 1.2}
            label = f"{name} (n = {rows['n'].iloc[0]})"
            drawn = ax.errorbar(
                place,
                rows["ours"],
                yerr=reach,
                fmt=LINES[number % len(LINES)],
                ms=3.5,
                capsize=1.5,
                label=label,
                **style,
            )
            drawn.lines[0].set_path_effects(outlined(style["lw"]))
        rows = own[own["class_name"] == names[-1]]
        ax.plot(range(len(rows)), rows["random"], ":", lw=1.2, color=RANDOM, label="random maps, all findings")
        if rule == "iou" and VINDR[0] in rates:
            place = rates.tolist().index(VINDR[0])
            ax.plot(
                place, VINDR[1], "*", ms=9, mfc="white", mec=THESIS, ls="", label="VinDr system, trained with boxes"
            )
        ax.set(xticks=range(len(rates)), xticklabels=[f"{rate:g}" for rate in rates], ylim=(-0.02, 1))
        ax.set(title=RULES[rule], xlabel="false boxes an image")
    axes[0, 0].set_ylabel("share of readers' boxes found")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def coefficient_plot(table: pd.DataFrame) -> Figure:
    """Standardised coefficients with their intervals, a row per feature and a mark per model.

    Args:
        table: from `regression_table`.
    """
    known = table.dropna(subset="standardised")
    if known.empty:
        return sentence_figure(f"{table['n'].max()} findings are too few for a regression.")
    features = table["feature"].unique()
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH * 0.75, 0.36 * len(features) + 1.1))
    for (model, rows), marker, colour, shift in zip(
        known.groupby("model", sort=False), "os", (OURS, "#D55E00"), (-0.13, 0.13), strict=False
    ):
        place = pd.Index(features).get_indexer(rows["feature"]) + shift
        reach = np.abs(rows[["standardised_low", "standardised_high"]].T.to_numpy() - rows["standardised"].to_numpy())
        label = f"{model}: R² = {rows['r_squared'].iloc[0]:.2f}, n = {rows['n'].iloc[0]}"
        ax.errorbar(
            rows["standardised"], place, xerr=reach, fmt=marker, ms=4, lw=1.2, capsize=2, color=colour, label=label
        )
    ax.axvline(0, lw=0.8, color="#444444")
    names = [f"{name} ({UNITS[name]})" if UNITS[name] else name for name in features]
    ax.set(yticks=range(len(features)), yticklabels=names, xlabel="change of IoU for one standard deviation")
    ax.set_ylim(len(features) - 0.5, -0.5)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
