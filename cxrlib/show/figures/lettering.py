"""The texts of a figure that is laid out: titles stay in their panels, negative numbers have a minus sign."""

import re
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text

from cxrlib.runtime.numerals import MINUS

NEGATIVE = re.compile(r"(?<![\w.])-(?=\.?\d)")
"""The hyphen of a number like -0.5, and not that of a range or of a name."""


ENDS = [re.compile(r"(?<!=) (?![=%])"), re.compile(r"\s"), re.compile(r"(?<=.)(?=.)")]
"""Where a line may end: not beside the sign of an equation nor in a name that is kept whole; else at any space; else in
a word."""


HYPHEN = "\N{HYPHEN}"


MOST_ROUNDS = 4
"""Images get smaller where titles get longer, so that titles are looked at again."""


def whole(name: str) -> str:
    """A name whose words stay on one line where they fit."""
    return name.replace(" ", "\N{NO-BREAK SPACE}")


def use_minus_signs(figure: Figure) -> None:
    """Give the negative numbers in a figure's texts the minus sign that its axes have."""
    for text in figure.findobj(Text):
        if NEGATIVE.search(text.get_text()):
            text.set_text(NEGATIVE.sub(MINUS, text.get_text()))


def keep_titles_in_panels(figure: Figure) -> None:
    """Break the lines of titles that are wider than their panels; the figure gets higher by the lines that this adds.

    Args:
        figure: laid out; it is laid out again where a title changes.
    """
    for _ in range(MOST_ROUNDS):
        added: dict[int, float] = {}
        for ax in figure.axes:
            height = _wrap_title(ax, figure.canvas.get_renderer())
            if height and (place := ax.get_subplotspec()):
                row = place.rowspan.start
                added[row] = max(added.get(row, 0.0), height)
        if not added:
            return
        figure.set_figheight(figure.get_figheight() + sum(added.values()))
        if layout := figure.get_layout_engine():
            layout.execute(figure)


def _wrap_title(ax: Axes, renderer: RendererBase) -> float:
    """Break the lines of a title; the inches by which it gets higher."""
    ax.apply_aspect()
    title, room = ax.title, ax.get_window_extent().width
    font = title.get_fontproperties()

    def fits(line: str) -> bool:
        return renderer.get_text_width_height_descent(line, font, False)[0] <= room

    before = title.get_window_extent(renderer).height
    lines = title.get_text().split("\n")
    title.set_text("\n".join(part for line in lines for part in (_broken(line, fits) if line else [line])))
    return (title.get_window_extent(renderer).height - before) / ax.figure.dpi


def _broken(line: str, fits: Callable[[str], bool]) -> list[str]:
    """A line as lines that fit, as few as possible; a word that does not fit is broken too."""
    lines, rest = [], line
    while not fits(rest):
        ends = [[at.start() for at in kind.finditer(rest) if fits(_ended(rest, at.start()))] for kind in ENDS]
        end = max(next(filter(None, ends), [1]))
        lines.append(_ended(rest, end))
        rest = rest[end:].lstrip()
    return [*lines, rest]


def _ended(line: str, end: int) -> str:
    """The first letters of a line, with a hyphen where they end within a word."""
    return line[:end] + HYPHEN * line[end - 1 : end + 1].isalpha()
