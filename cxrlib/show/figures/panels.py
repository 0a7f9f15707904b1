"""Radiographs with readers' boxes and heatmaps over them."""

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import normalise_maps, upscale
from cxrlib.show.figures.style import HEATMAP, READER_LINES, class_colours, image_axes, outlined, sentence_figure

OPACITY = 0.7
"""Opacity of a heatmap's maximum, 0..1; a cell of value v in 0..1 has opacity v * OPACITY."""


GREY = 0.5
"""Grey value under the colours of the bar, 0..1."""


BOX_LINE = 1.2
"""Width of a box's outline in points."""


INSET = 0.015
"""Boxes with equal corners are drawn inside each other, each this fraction of the image's side further in."""


WIDEST = 3
"""Most panels of one study in a line."""


MAP_SIZE = 128
"""Pixels of a heatmap for display; the drawing interpolates between them."""


def show_radiograph(ax: Axes, pixels: np.ndarray, title: str = "") -> None:
    """Draw a uint8 (h, w) radiograph."""
    ax.imshow(pixels, vmin=0, vmax=255)
    ax.set_title(title, fontsize=7)


def show_boxes(ax: Axes, boxes: np.ndarray, colour: str, line: str = "-") -> None:
    """Outline boxes (n, 4) in pixels of the image on `ax`."""
    for x_min, y_min, x_max, y_max in boxes:
        outline = Rectangle((x_min, y_min), x_max - x_min, y_max - y_min)
        outline.set(fill=False, edgecolor=colour, linestyle=line, linewidth=BOX_LINE)
        outline.set_path_effects(outlined(BOX_LINE, "black"))
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


def show_heatmap(ax: Axes, heatmap: np.ndarray, size: int) -> None:
    """Lay a heatmap (h, w) in 0..1 over an image of `size` pixels; cells of lower value are more transparent."""
    extent = (0, size, size, 0)
    ax.imshow(heatmap, cmap=HEATMAP, vmin=0, vmax=1, alpha=OPACITY * heatmap, extent=extent, interpolation="bilinear")


def display_map(raw: torch.Tensor) -> np.ndarray:
    """A raw map (rows, columns) for display: divided by its maximum and upscaled to MAP_SIZE pixels, in 0..1."""
    return upscale(normalise_maps(raw), MAP_SIZE).clamp(0, 1).numpy()


def colour_bar(figure: Figure, axes: list) -> None:
    """A colour bar for heatmaps at the right of a grid, with the colours over middle grey."""
    height = np.linspace(0, 1, 256)
    opacity = OPACITY * height[:, None]
    colours = ListedColormap(opacity * colormaps[HEATMAP](height)[:, :3] + (1 - opacity) * GREY)
    one_row = len({ax.get_subplotspec().rowspan.start for ax in axes}) == 1
    shape = {"shrink": 0.8, "aspect": 12} if one_row else {"shrink": 0.6, "aspect": 30}
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=axes, pad=0.01, fraction=0.02, **shape)
    bar.set_label("fraction of the\nmap's maximum" if one_row else "heatmap, fraction of its maximum", fontsize=7)
    bar.ax.tick_params(labelsize=6)


def explanation_grid(
    cohort: Cohort,
    explanations: Explanations,
    rows: list[tuple[str, list[str]]],
    letters: bool = False,
    per_line: int = 1,
) -> Figure:
    """For each study the radiograph with its labels' boxes, then one heatmap per class with its probability.

    A study with more than WIDEST panels has two lines.

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
    title_lines = max(2, *(-(-len(true) // 2) for true in labels.values()))
    blocks = -(-len(rows) // per_line)
    figure, axes = image_axes(blocks * lines, columns * per_line, title_lines=title_lines, bar=True)
    places = [
        [ax for line in axes[top : top + lines] for ax in line[left : left + columns]]
        for top in range(0, blocks * lines, lines)
        for left in range(0, columns * per_line, columns)
    ]
    for number, ((image_id, classes), line) in enumerate(zip(rows, places, strict=False)):
        pixels = cohort.images([image_id])[0]
        true = labels[image_id]
        letter = f"{chr(ord('a') + number)}  " if letters else ""
        show_radiograph(line[0], pixels, f"{letter}labelled {wrap_names(true)}")
        if true:
            show_readers(line[0], cohort, image_id, {name: colours[name] for name in true})
        for name, ax in zip(classes, line[1:], strict=False):
            probability = explanations.probabilities.at[image_id, name]
            truth = "labelled" if name in true else "not labelled"
            show_radiograph(ax, pixels, f"{name}\np = {probability:.3f} ({truth})")
            show_heatmap(ax, display_map(explanations.map(image_id, name)), cohort.size)
            show_readers(ax, cohort, image_id, {name: colours[name]})
    if any(len(cohort.boxes_of(image_id)) for image_id, _ in rows):
        box_legend(figure, cohort, [image_id for image_id, _ in rows])
    colour_bar(figure, [ax for line in axes for ax in line])
    return figure


def wrap_names(names: list[str]) -> str:
    """Class names, two on a line."""
    return ",\n".join(", ".join(names[i : i + 2]) for i in range(0, len(names), 2))
