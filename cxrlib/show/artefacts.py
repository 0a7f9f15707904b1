"""Tables and figures as files: never half-written, with the same bytes for the same content."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text

from cxrlib.runtime.files import whole_file
from cxrlib.show.figures.fonts import use_fonts_with_all_letters
from cxrlib.show.figures.lettering import keep_titles_in_panels, use_minus_signs

FIGURE_DPI = 200
NOTE_GAP = 0.06
"""Inches between a figure and the note below it."""
LETTERS = "smallest letters: "
"""What the comment of a PNG file says before their size."""
RENDERED_NOTE = "rendered radiographs, real annotations; not a clinical result"


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file with six significant digits; the index is written unless it is a plain range."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=not isinstance(table.index, pd.RangeIndex), float_format="%.6g")


def write_figure(path: Path, figure: Figure, mark: str, rendered: bool, formats: Sequence[str] = ("png",)) -> str:
    """Write a figure as PNG at `path`, as PDF beside it if wanted, cropped to what it shows, and close it.

    Args:
        path: of the PNG file.
        figure: laid out once, for both files.
        mark: stands in the metadata of both, e.g. the id of the run.
        rendered: whether a note below the figure says that its radiographs are rendered.
        formats: "png", "pdf" or both. A PDF of an earlier run is deleted where none is wanted.

    Returns:
        Letters of the figure that no installed font has.
    """
    figure.set_dpi(FIGURE_DPI)  # letters have other widths at other resolutions: laid out as it is drawn
    use_minus_signs(figure)
    missing = use_fonts_with_all_letters(figure)
    if figure.axes and (layout := figure.get_layout_engine()):  # a sentence has nothing to lay out
        layout.execute(figure)
        keep_titles_in_panels(figure)
    for legend in figure.legends:  # otherwise they would move with the crop below
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    if rendered:
        below = (figure.get_tightbbox().y0 - NOTE_GAP) / figure.get_figheight()
        figure.text(0.5, below, RENDERED_NOTE, ha="center", va="top", fontsize=6, color="#666666")
    area = figure.get_tightbbox().padded(NOTE_GAP)
    letters = min((text.get_fontsize() for text in figure.findobj(Text) if text.get_text()), default=0)
    png = {"Software": None, "Source": mark, "Comment": f"{LETTERS}{letters:g} pt"}
    about = {"png": png, "pdf": {"CreationDate": None, "Creator": mark}}
    with plt.rc_context({"figure.constrained_layout.use": False}):  # savefig would lay it out again
        figure.set_layout_engine(None)  # "none" would draw each file twice
        for name in formats:
            with whole_file(path.with_suffix(f".{name}")) as temporary:
                figure.savefig(temporary, dpi=FIGURE_DPI, bbox_inches=area, metadata=about[name])
    for name in about.keys() - {*formats}:
        path.with_suffix(f".{name}").unlink(missing_ok=True)
    plt.close(figure)
    return missing
