"""A figure's two files show the same."""

import pytest
from matplotlib import pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from cxrlib.show.artefacts import LETTERS, write_figure
from cxrlib.show.figures.style import sentence_figure, set_style


@pytest.mark.parametrize("rendered", [True, False])
def test_a_figure_is_laid_out_once_for_both_files(rendered, tmp_path, monkeypatch):
    laid_out, places = [], []
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: laid_out.append(figure))
    with plt.rc_context():
        set_style()
        figure, ax = plt.subplots()
        draw = ax.draw
        monkeypatch.setattr(ax, "draw", lambda renderer: (places.append(ax.get_position().bounds), draw(renderer)))
        write_figure(tmp_path / "figure.png", figure, "a run", rendered, ["png", "pdf"])
    assert laid_out == [figure] and len(places) == 2 and len({*places}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"figure.png", "figure.pdf"}


def test_a_format_that_is_no_longer_wanted_leaves_no_file_of_an_earlier_run(tmp_path):
    for formats in (["png", "pdf"], ["png"]):
        write_figure(tmp_path / "figure.png", plt.subplots()[0], "a run", False, formats)
        assert sorted(path.suffix[1:] for path in tmp_path.iterdir()) == sorted(formats)


def test_a_sentence_instead_of_a_figure_is_written_without_a_warning(tmp_path, recwarn):
    with plt.rc_context():
        set_style()
        write_figure(tmp_path / "figure.png", sentence_figure("There is nothing to draw."), "a run", rendered=True)
    assert [str(warning.message) for warning in recwarn] == []  # a notebook would show it on red
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_a_png_says_how_small_its_letters_are(tmp_path):
    figure, ax = plt.subplots()
    ax.text(0, 0, "small", fontsize=3.5)
    write_figure(tmp_path / "figure.png", figure, "a run", rendered=False)
    with Image.open(tmp_path / "figure.png") as image:
        assert image.text["Comment"] == f"{LETTERS}3.5 pt"
