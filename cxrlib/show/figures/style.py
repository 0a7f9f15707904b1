"""The common style of all figures: width, fonts, and colours for any colour vision, one per class in all figures."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, Normal, Stroke, withStroke

from cxrlib.evaluate.bootstrap import FEWEST

PAGE_WIDTH = 7.0
"""Width of a figure in inches."""


SENTENCE_WIDTH = 3.8
"""Width of a figure of one sentence in inches."""


LINE_HEIGHT = 0.15
"""Height in inches of a line of the title above each image of a grid."""


BAR_WIDTH = 0.65
"""Width in inches of a colour bar and its label beside a grid."""


DENSITY = "inferno"
"""Colours of a density that has a panel to itself."""


THESIS, OURS, RANDOM = "#000000", "#0072B2", "#999999"


READER_LINES = ["-", "--", ":"]


# Okabe and Ito's colours; the first two are the thesis's red and yellow
_PALETTE = ["#D55E00", "#F0E442", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#999999"]


def set_style() -> None:
    """Set matplotlib's defaults for this process; what the user's matplotlibrc says does not count."""
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "font.family": "DejaVu Sans",
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7,
            "legend.title_fontsize": 7,
            "figure.titlesize": 9,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "pdf.fonttype": 42,
            "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
            "image.cmap": "gray",
        }
    )


def class_colours(classes: list[str]) -> dict[str, str]:
    """Colour of every class, by the class's place in the explained experiment."""
    return {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(classes)}


def outlined(width: float, colour: str = "#444444") -> list[AbstractPathEffect]:
    """A thin dark edge for a line of `width` points, so that yellow is seen on white."""
    return [withStroke(linewidth=width + 0.8, foreground=colour)]


def on_image(width: float) -> list[AbstractPathEffect]:
    """A black edge in a white one for a line of `width` points, so that it is seen on any image."""
    edges = ((width + 1.5, "white"), (width + 0.9, "black"))
    return [*(Stroke(linewidth=wide, foreground=colour) for wide, colour in edges), Normal()]


def image_axes(
    rows: int, columns: int, width: float = PAGE_WIDTH, title_lines: int = 2, bar: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """A grid of axes for square images, without ticks.

    Args:
        rows, columns: of the grid.
        width: of the figure, inches.
        title_lines: lines of text above each image.
        bar: whether to leave room for a colour bar at the right.
    """
    height = image_height(rows, columns, title_lines, bar, width)
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
        ax.set(xticks=[], yticks=[])  # hidden axes would take time to lay out
    return figure, axes.tolist()


def counted(counts: pd.Series) -> str:
    """How many cases are behind the scores of a figure."""
    least, most = int(counts.min()), int(counts.max())
    said = f"n = {most:,}" if least == most else f"n = {least:,} to {most:,}"
    return said if most else f"fewer than {FEWEST} cases of each finding"


def image_height(rows: int, columns: int, title_lines: int, bar: bool, width: float = PAGE_WIDTH) -> float:
    """Height in inches of the figure of `image_axes`."""
    return rows * ((width - BAR_WIDTH * bar) / columns + LINE_HEIGHT * title_lines)


def sentence_figure(sentence: str) -> Figure:
    """A figure that says why there is nothing to draw; it is narrow, so that a phone shows its letters large enough."""
    figure = plt.figure(figsize=(SENTENCE_WIDTH, 0.8))
    figure.text(0.5, 0.5, sentence, ha="center", va="center", wrap=True)
    return figure
