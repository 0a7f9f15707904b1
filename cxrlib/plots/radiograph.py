"""Radiographs with readers' boxes and heatmaps over them."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cxrlib.annotations import BOX_COLUMNS
from cxrlib.cohort import Cohort
from cxrlib.explanations import Explanations
from cxrlib.maps import normalise_maps, upscale
from cxrlib.plots.style import HEATMAP, READER_LINES, class_colours, image_axes, sentence_figure

OPACITY = 0.6
MAP_SIZE = 128
"""Pixels of a heatmap for display; the drawing interpolates between them."""


def show_radiograph(ax: Axes, pixels: np.ndarray, title: str = "") -> None:
    """Draw a uint8 (h, w) radiograph."""
    ax.imshow(pixels, vmin=0, vmax=255)
    ax.set_title(title, fontsize=7)


def show_boxes(ax: Axes, boxes: np.ndarray, colour: str, line: str = "-", label: str | None = None) -> None:
    """Outline boxes (n, 4) in pixels of the image on `ax`."""
    for number, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        outline = Rectangle((x_min, y_min), x_max - x_min, y_max - y_min)
        outline.set(fill=False, edgecolor=colour, linestyle=line, linewidth=1.2, label=None if number else label)
        ax.add_patch(outline)


def show_readers(ax: Axes, cohort: Cohort, image_id: str, class_name: str, colour: str, labels: bool = False) -> None:
    """Outline every reader's boxes of one finding; readers differ in line style, in order of their ids."""
    boxes = cohort.boxes(image_id, class_name)
    for number, (reader, rows) in enumerate(boxes.groupby("rad_id", sort=True)):
        name = f"reader {reader}" if labels else None
        show_boxes(ax, rows[BOX_COLUMNS].to_numpy(), colour, READER_LINES[number % len(READER_LINES)], name)


def show_heatmap(ax: Axes, heatmap: np.ndarray, size: int) -> None:
    """Lay a heatmap (h, w) in 0..1 over an image of `size` pixels; weak parts are transparent."""
    opacity = OPACITY * np.sqrt(heatmap)
    extent = (0, size, size, 0)
    ax.imshow(heatmap, cmap=HEATMAP, vmin=0, vmax=1, alpha=opacity, extent=extent, interpolation="bilinear")


def display_map(raw: torch.Tensor) -> np.ndarray:
    """A raw map (rows, columns) divided by its maximum and brought to MAP_SIZE pixels, in 0..1, for display."""
    return upscale(normalise_maps(raw), MAP_SIZE).clamp(0, 1).numpy()


def colour_bar(figure: Figure, axes: list) -> None:
    """A colour bar for heatmaps at the right of a grid."""
    one_row = len({ax.get_subplotspec().rowspan.start for ax in axes}) == 1
    shape = {"shrink": 0.9, "aspect": 12} if one_row else {"shrink": 0.6, "aspect": 30}
    bar = figure.colorbar(ScalarMappable(cmap=HEATMAP), ax=axes, pad=0.01, fraction=0.02, **shape)
    bar.set_label("fraction of\nthe maximum" if one_row else "importance, fraction of the map's maximum", fontsize=7)
    bar.ax.tick_params(labelsize=6)


def explanation_grid(
    cohort: Cohort,
    explanations: Explanations,
    rows: list[tuple[str, list[str]]],
    letters: bool = False,
    per_line: int = 1,
) -> Figure:
    """One row per study: the radiograph with its labels' boxes, then one heatmap per class with its probability.

    Args:
        cohort: pixels and boxes.
        explanations: maps and probabilities.
        rows: image id and the classes to explain.
        letters: number the studies a, b, c.
        per_line: studies beside each other.
    """
    if not rows:
        return sentence_figure("No test radiograph of this run fits: n = 0.")
    colours = class_colours(cohort.explained)
    columns = 1 + max(len(classes) for _, classes in rows)
    names_per_line = 2 if columns < 4 else 1
    labels = {image_id: [name for name in cohort.explained if cohort.labels.at[image_id, name]] for image_id, _ in rows}
    title_lines = max(2, *(-(-len(true) // names_per_line) for true in labels.values()))
    figure, axes = image_axes(-(-len(rows) // per_line), columns * per_line, title_lines=title_lines)
    places = [line[start : start + columns] for line in axes for start in range(0, columns * per_line, columns)]
    for number, ((image_id, classes), line) in enumerate(zip(rows, places, strict=False)):
        pixels = cohort.images([image_id])[0]
        true = labels[image_id]
        letter = f"{chr(ord('a') + number)}  " if letters else ""
        show_radiograph(line[0], pixels, letter + wrap_names(true, names_per_line))
        for name in true:
            show_readers(line[0], cohort, image_id, name, colours[name])
        for name, ax in zip(classes, line[1:], strict=False):
            probability = explanations.probabilities.at[image_id, name]
            truth = "true" if name in true else "not labelled"
            show_radiograph(ax, pixels, f"{name}\np = {probability:.3f} ({truth})")
            show_heatmap(ax, display_map(explanations.map(image_id, name)), cohort.size)
            show_readers(ax, cohort, image_id, name, colours[name])
    colour_bar(figure, [ax for line in axes for ax in line])
    return figure


def wrap_names(names: list[str], per_line: int = 2) -> str:
    """Class names, two on a line."""
    return ",\n".join(", ".join(names[i : i + per_line]) for i in range(0, len(names), per_line))
