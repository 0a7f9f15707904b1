"""Figures do not depend on the user's settings, and have fonts for class names in any script."""

import pytest
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.text import Text

from cxrlib.show.figures import fonts
from cxrlib.show.figures.fonts import use_fonts_with_all_letters
from cxrlib.show.figures.style import set_style


@pytest.fixture(autouse=True)
def usual_style():
    set_style()
    yield
    set_style()


def test_the_user_s_settings_do_not_reach_a_figure():
    before = dict(plt.rcParams)
    backend = plt.get_backend()
    plt.rcParams.update({"text.usetex": True, "axes.facecolor": "red", "savefig.dpi": 30, "font.size": 30})
    set_style()
    assert dict(plt.rcParams) == before and plt.get_backend() == backend


@pytest.mark.parametrize("name", ["costs $5", "$x", "$\\frac$", "a_b", "50 %"])
def test_a_class_name_is_no_formula(tmp_path, name):
    figure, ax = plt.subplots()
    text = ax.set_title(name)
    figure.savefig(tmp_path / "a.pdf")
    assert text.get_window_extent().width > 0


def letter_only_in(name):
    """A letter that an installed font has and DejaVu Sans has not."""
    usual, own = (set(font_manager.get_font(font_manager.findfont(f)).get_charmap()) for f in ("DejaVu Sans", name))
    return chr(min(own - usual))


@pytest.fixture
def only_these_fonts(monkeypatch):
    """Install for the test DejaVu Sans and one of matplotlib's mathematical fonts only."""
    kept = [font for font in font_manager.fontManager.ttflist if font.name in ("DejaVu Sans", "STIXNonUnicode")]
    monkeypatch.setattr(fonts.fontManager, "ttflist", kept)
    fonts._families_with.cache_clear()
    yield
    fonts._families_with.cache_clear()


@pytest.mark.usefixtures("only_these_fonts")
@pytest.mark.filterwarnings("error:Glyph:UserWarning")
def test_a_font_that_has_the_letter_is_found_for_titles_and_ticks(tmp_path):
    letter = letter_only_in("STIXNonUnicode")
    figure, ax = plt.subplots()
    ax.set_title(f"Effusion {letter}")
    ax.set_yticks([0, 1], ["plain", letter])
    assert use_fonts_with_all_letters(figure) == ""
    figure.savefig(tmp_path / "a.png")  # without a warning of a missing glyph
    chosen = {text.get_text(): text.get_fontfamily() for text in figure.findobj(Text)}
    assert chosen["plain"] == ["DejaVu Sans"]
    assert chosen[letter] == chosen[f"Effusion {letter}"] == ["DejaVu Sans", "STIXNonUnicode"]


@pytest.mark.usefixtures("only_these_fonts")
def test_letters_that_no_font_has_are_named():
    figure, ax = plt.subplots()
    ax.set_title("心臓\nCardiomegaly")
    assert use_fonts_with_all_letters(figure) == "".join(sorted("心臓"))


def test_a_font_of_placeholders_has_no_letters():
    figure, ax = plt.subplots()
    ax.set_title("\U000f1234")
    assert use_fonts_with_all_letters(figure) == "\U000f1234"
