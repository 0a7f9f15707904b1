"""Fonts that have the letters of a figure: class names may be in any script."""

from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

PLACEHOLDERS = "Last Resort"
"""Start of the names of fonts whose every glyph is a placeholder."""


def use_fonts_with_all_letters(figure: Figure) -> str:
    """Let texts whose font lacks a letter fall back on installed fonts that have it.

    Args:
        figure: not laid out yet.

    Returns:
        The letters that no installed font has, in order; such a letter is drawn as a box.
    """
    texts = figure.findobj(Text)
    for ax in figure.axes:  # labels of ticks get their text when they are asked for
        texts += [*ax.get_xticklabels(), *ax.get_yticklabels()]
    missing = set()
    for text in texts:
        font = text.get_fontproperties()
        lacking = frozenset(text.get_text()) - _letters(findfont(font)) - set("\n")
        if lacking:
            families, absent = _families_with(lacking)
            text.set_fontfamily([*font.get_family(), *families])
            missing |= absent
    return "".join(sorted(missing))


@cache
def _letters(path: str) -> frozenset[str]:
    """All letters of a font file."""
    return frozenset(map(chr, get_font(path).get_charmap()))


@cache
def _families_with(letters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Names of as few installed fonts as have the letters, and the letters that none has."""
    names = sorted({font.name for font in fontManager.ttflist if not font.name.startswith(PLACEHOLDERS)})
    letters_of = {name: _letters(findfont(FontProperties(family=name))) for name in names}
    chosen, absent = [], letters
    while absent:
        best = max(names, key=lambda name: len(absent & letters_of[name]))
        if not absent & letters_of[best]:
            break
        chosen.append(best)
        absent -= letters_of[best]
    return chosen, absent
