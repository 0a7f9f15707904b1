"""Figure of notebook 13: the lights of every finding and method."""

from textwrap import wrap

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxrlib.evaluate.trusted_measures import UNFIT
from cxrlib.evaluate.verdict import GREEN, GREY, RED
from cxrlib.show.figures.style import PAGE_WIDTH, sentence_figure

MARKS = {
    GREEN: {"marker": "o", "color": "#009E73"},
    RED: {"marker": "X", "color": "#D55E00"},
    GREY: {"marker": "o", "color": "#999999", "markerfacecolor": "none"},
    UNFIT: {"marker": "s", "color": "#999999", "markerfacecolor": "none"},
}
"""A light has a shape too, for readers who do not tell its colour."""


WORDS = {
    GREEN: "above the control",
    RED: "below the control",
    GREY: "not decided",
    UNFIT: "no measure: it does not know the true cause",
}


AT_MOST = 5
"""Methods beside each other; more go into a further row of panels."""


LINE = 16
"""Letters of a method's title in a line."""


def verdict_lights(table: pd.DataFrame) -> Figure:
    """A row per finding, a group of columns per method, a column per light.

    Args:
        table: from `verdict_table`.
    """
    if table.empty:
        return sentence_figure("No finding was judged.")
    methods, lights, findings = (table[name].unique().tolist() for name in ("method", "light", "class_name"))
    bands = [methods[start : start + AT_MOST] for start in range(0, len(methods), AT_MOST)]
    height = (1.15 + 0.2 * len(findings)) * len(bands) + 0.25
    figure, axes = plt.subplots(len(bands), 1, figsize=(PAGE_WIDTH, height), squeeze=False)
    step = len(lights) + 1
    for ax, band in zip(axes[:, 0], bands, strict=True):
        for number, method in enumerate(band):
            own = table[table["method"] == method]
            for colour, mark in MARKS.items():
                rows = own[_marks(own) == colour]
                x = [number * step + lights.index(light) for light in rows["light"]]
                ax.plot(x, [findings.index(name) for name in rows["class_name"]], ls="", ms=5.5, mew=1.1, **mark)
            middle, title = number * step + (len(lights) - 1) / 2, "\n".join(wrap(method, LINE))
            ax.text(middle, -2.5, title, ha="center", va="bottom", fontsize=7, weight="bold")
        places = [number * step + place for number in range(len(band)) for place in range(len(lights))]
        ax.set(xticks=places, yticks=range(len(findings)), xlim=(-0.8, AT_MOST * step - 1.2))
        ax.set_xticklabels(lights * len(band), rotation=90, fontsize=6)
        ax.set_yticklabels(findings)
        ax.set_ylim(len(findings) - 0.5, -0.5)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.grid(axis="y", lw=0.3, color="#dddddd")
        ax.set_axisbelow(True)
        ax.spines[:].set_visible(False)
    handles = [
        Line2D([], [], ls="", ms=5.5, mew=1.1, label=f"{colour}: {WORDS[colour]}", **mark)
        for colour, mark in MARKS.items()
        if colour != UNFIT or (_marks(table) == UNFIT).any()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _marks(table: pd.DataFrame) -> pd.Series:
    """The colour of each light, or UNFIT for a grey one whose measure is unfit where the cause is known."""
    return table["verdict"].mask((table["verdict"] == GREY) & (table["measure_on_truth"] == UNFIT), UNFIT)
