"""Radiographs with readers' boxes and heatmaps over them."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.show.figures.colouring import DIMMED, FINE, LEVELS, bar_picture, coloured, is_fine, relative, top_of
from cxrlib.show.figures.lettering import whole
from cxrlib.show.figures.style import READER_LINES, class_colours, image_axes, on_image, outlined, sentence_figure
from cxrlib.show.likeness import like_in_words

BOX_LINE = 1.2
"""Width of a box's outline in points."""


INSET = 0.015
"""Boxes with equal corners are drawn inside each other, each this fraction of the image's side further in."""


WIDEST = 3
"""Most panels of one study in a line."""


MAP_SIZE = 256
"""Pixels of a heatmap for display."""


CONTOUR = (("black", 1.0), ("white", 0.5))
"""Colours and widths in points of the two lines of which a contour line is made."""


FULL_LINES = 1.4
"""Inches of a panel from which on contour lines have their full width."""


LEVEL_LINES = (":", "--", "-")
"""Line styles of the contour lines at LEVELS."""


def show_radiograph(ax: Axes, pixels: np.ndarray, title: str = "") -> None:
    """Draw a uint8 (h, w) radiograph."""
    ax.imshow(pixels, vmin=0, vmax=255)
    ax.set_title(title, fontsize=7)


def show_boxes(ax: Axes, boxes: np.ndarray, colour: str, line: str = "-") -> None:
    """Outline boxes (n, 4) in pixels of the image on `ax`."""
    for x_min, y_min, x_max, y_max in boxes:
        outline = Rectangle((x_min, y_min), x_max - x_min, y_max - y_min)
        outline.set(fill=False, edgecolor=colour, linestyle=line, linewidth=BOX_LINE)
        outline.set_path_effects(on_image(BOX_LINE))
        ax.add_patch(outline)


def show_readers(ax: Axes, cohort: Cohort, image_id: str, colours: dict[str, str]) -> None:
    """Outline every reader's boxes of some findings.

    Every reader has a line style of READER_LINES, in order of the readers' ids. Boxes with the same corners are drawn
    inside each other.

    Args:
        colours: finding -> colour; at least one.
    """
    readers = cohort.readers(image_id)
    boxes = pd.concat([cohort.boxes(image_id, name).assign(colour=colour) for name, colour in colours.items()])
    x_min, y_min, x_max, y_max = boxes[BOX_COLUMNS].to_numpy().T
    third = np.minimum(x_max - x_min, y_max - y_min) / 3  # a box keeps at least a third of its shorter side
    inset = np.minimum(boxes.groupby(BOX_COLUMNS).cumcount() * INSET * cohort.size, third)
    boxes[BOX_COLUMNS] += np.outer(inset, [1, 1, -1, -1])
    for (reader, colour), rows in boxes.groupby(["rad_id", "colour"], sort=False):
        line = READER_LINES[readers.index(reader) % len(READER_LINES)]
        show_boxes(ax, rows[BOX_COLUMNS].to_numpy(), colour, line)


def box_legend(figure: Figure, cohort: Cohort, image_ids: list[str], columns: int = 4) -> None:
    """A legend below a figure: the findings' colours, and the line styles if an image has several readers."""
    colours = class_colours(cohort.explained)
    handles = [Line2D([], [], color=colours[name], label=name) for name in cohort.findings]
    count = max(len(cohort.readers(image_id)) for image_id in image_ids)
    lines = zip(["first reader", "second reader", "third reader"], READER_LINES, strict=True)
    handles += [Line2D([], [], color="black", ls=line, label=name) for name, line in list(lines)[:count] if count > 1]
    for handle in handles:
        handle.set(linewidth=BOX_LINE, path_effects=outlined(BOX_LINE))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def show_heatmap(ax: Axes, raw: torch.Tensor, size: int, cells: bool = False) -> None:
    """Lay a raw map (rows, columns) over an image of `size` pixels, in the colours of `colouring`.

    Contour lines run at LEVELS of the maximum, except on maps of single points and on cells. A map without a positive
    value says that it is zero.

    Args:
        cells: whether the map's own cells are shown; otherwise the colours run from cell to cell.
    """
    values = raw.detach().float().cpu()
    top = top_of(values.numpy())
    if top == 0:
        words = {"ha": "center", "va": "center", "transform": ax.transAxes, "fontsize": 7, "color": "black"}
        words |= {"in_layout": False}  # a panel that is narrower would get no room for itself
        ax.text(0.5, 0.5, "this map\nis zero", bbox={"facecolor": "white", "edgecolor": "black", "pad": 2}, **words)
        return
    extent = (0, size, size, 0)
    shown = relative(values.numpy() if cells else upscale(values, MAP_SIZE).numpy(), top)
    ax.imshow(coloured(shown), extent=extent, interpolation="nearest" if cells else "antialiased")
    if not cells and not is_fine(values.numpy()):
        smooth = relative(upscale(values, MAP_SIZE).numpy(), top)
        centres = (np.arange(MAP_SIZE) + 0.5) * size / MAP_SIZE
        scale = min(1, ax.get_position().width * ax.figure.get_figwidth() / FULL_LINES)
        for colour, width in CONTOUR:
            look = {"colors": colour, "linewidths": scale * width, "linestyles": LEVEL_LINES}
            ax.contour(centres, centres, smooth, levels=LEVELS, **look)
    ax.set(xlim=(0, size), ylim=(size, 0))


def show_on_radiograph(ax: Axes, pixels: np.ndarray, raw: torch.Tensor, title: str = "", cells: bool = False) -> None:
    """`show_heatmap` over a radiograph (size, size), which is darker under a map of single points."""
    dimmed = pixels * DIMMED if is_fine(raw) else pixels
    show_radiograph(ax, dimmed, title)
    show_heatmap(ax, raw, len(pixels), cells)


def cells_of(raw: torch.Tensor) -> str:
    """How many cells a raw map (..., rows, columns) has, in words.

    >>> cells_of(torch.zeros(3, 5, 5))
    '5 x 5 cells'
    """
    return f"{raw.shape[-2]} x {raw.shape[-1]} cells"


def how_shown(*maps: torch.Tensor) -> str:
    """The rule by which some maps (..., rows, columns) are drawn, in words for a caption; begins with a space."""
    said = " and ".join(dict.fromkeys(cells_of(raw) for raw in maps))
    rule = f" Maps of {said}, interpolated; lines at 25, 50 and 75 % of each map's maximum."
    if any(is_fine(raw) for raw in maps):
        rule += f" Above {FINE} x {FINE} cells: fractions of the 99th percentile, on a darkened radiograph."
    return rule


def colour_bar(figure: Figure, axes: list, note: str = "") -> None:
    """A colour bar for heatmaps at the right of a grid: the colours over black, over grey and over white.

    Args:
        note: a further line of its label, such as how many cells the maps have.
    """
    one_row = len({ax.get_subplotspec().rowspan.start for ax in axes}) == 1
    shape = {"shrink": 0.8, "aspect": 9} if one_row else {"shrink": 0.6, "aspect": 18}
    bar = figure.colorbar(ScalarMappable(), ax=axes, pad=0.01, fraction=0.03, **shape)
    bar.solids.set_visible(False)
    bar.ax.imshow(bar_picture(256, 3), extent=(0, 1, 0, 1), aspect="auto", interpolation="nearest", zorder=0.5)
    for level, line in zip(LEVELS, LEVEL_LINES, strict=True):
        for colour, width in CONTOUR:
            bar.ax.axhline(level, color=colour, lw=width, ls=line)
    bar.set_ticks([0, *LEVELS, 1])
    lines = ["fraction of the map's maximum,", "over black, grey and white", *filter(None, [note])]
    bar.set_label("\n".join(lines) if not one_row else "\n".join(lines).replace("of the ", "of the\n"), fontsize=6)
    bar.ax.tick_params(labelsize=6)


def explanation_grid(
    cohort: Cohort,
    explanations: Explanations,
    rows: list[tuple[str, list[str]]],
    letters: bool = False,
    per_line: int = 1,
) -> Figure:
    """For each study the radiograph with its labels' boxes, then one heatmap per class with its probability.

    The last line of a title says which other class of the study has the map that is most alike. A study with more than
    WIDEST panels has two lines.

    Args:
        cohort: pixels and boxes.
        explanations: maps and probabilities.
        rows: image id and the classes to explain.
        letters: whether the studies are numbered a, b, c.
        per_line: number of studies beside each other.
    """
    if not rows:
        return sentence_figure("No test radiograph of this run fits: n = 0.")
    colours = class_colours(cohort.explained)
    panels = 1 + max(len(classes) for _, classes in rows)
    columns, lines = (panels, 1) if panels <= WIDEST else (-(-panels // 2), 2)
    labels = {image_id: [name for name in cohort.explained if cohort.labels.at[image_id, name]] for image_id, _ in rows}
    blocks = -(-len(rows) // per_line)
    figure, axes = image_axes(blocks * lines, columns * per_line, title_lines=3, bar=True)
    places = [
        [ax for line in axes[top : top + lines] for ax in line[left : left + columns]]
        for top in range(0, blocks * lines, lines)
        for left in range(0, columns * per_line, columns)
    ]
    for number, ((image_id, classes), line) in enumerate(zip(rows, places, strict=False)):
        pixels = cohort.images([image_id])[0]
        true = labels[image_id]
        letter = f"{chr(ord('a') + number)}  " if letters else ""
        show_radiograph(line[0], pixels, f"{letter}labelled {', '.join(map(whole, true))}")
        if true:
            show_readers(line[0], cohort, image_id, {name: colours[name] for name in true})
        for name, ax in zip(classes, line[1:], strict=False):
            probability = explanations.probabilities.at[image_id, name]
            truth = "labelled" if name in true else "not labelled"
            like = like_in_words(explanations, image_id, name)
            title = f"{name}\np = {probability:.3f} ({truth})\n{like}"
            show_on_radiograph(ax, pixels, explanations.map(image_id, name), title)
            show_readers(ax, cohort, image_id, {name: colours[name]})
    if any(len(cohort.boxes_of(image_id)) for image_id, _ in rows):
        box_legend(figure, cohort, [image_id for image_id, _ in rows])
    colour_bar(figure, [ax for line in axes for ax in line], cells_of(explanations.maps))
    return figure
