"""Figures of notebook 04: Grad-CAM step by step, and the harder findings."""

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure

from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import peaks
from cxrlib.show.cases import most_labels
from cxrlib.show.figures.panels import (
    cells_of,
    colour_bar,
    explanation_grid,
    how_shown,
    show_on_radiograph,
    show_radiograph,
    show_readers,
)
from cxrlib.show.figures.style import class_colours, image_axes, sentence_figure

PANELS = "abcdef"
"""Letters of the panels of Figure 26."""


def steps_figure(
    cohort: Cohort, image_id: str, class_name: str, activations: torch.Tensor, weights: torch.Tensor, raw: torch.Tensor
) -> Figure:
    """Figure 16: radiograph, the three channels that weigh most, the low-resolution map, the overlay.

    Every channel has its own scale, from its minimum to its maximum.

    Args:
        activations: (channels, rows, columns) of the explained layer.
        weights: (channels,) spatial means of the gradients.
        raw: the Grad-CAM map (rows, columns).
    """
    figure, axes = image_axes(1, 6, title_lines=3, bar=True)
    line = axes[0]
    pixels = cohort.images([image_id])[0]
    show_radiograph(line[0], pixels, "1  radiograph")
    show_readers(line[0], cohort, image_id, {class_name: class_colours(cohort.explained)[class_name]})
    for ax, channel in zip(line[1:4], weights.argsort(descending=True)[:3].tolist(), strict=True):
        ax.imshow(activations[channel].numpy(), cmap="viridis")
        ax.set_title(f"2  channel {channel}\nweight {weights[channel]:+.4f}", fontsize=7)
    line[2].set_title(f"3 of {len(weights)} channels\n{line[2].get_title()}", fontsize=7)
    show_on_radiograph(line[4], pixels, raw, f"3  weighted sum, ReLU\n{cells_of(raw)}", cells=True)
    show_on_radiograph(line[5], pixels, raw, "4  divided by its\nmaximum, upscaled")
    for ax in line:
        ax.title.set_fontsize(6)
    colour_bar(figure, line)
    return figure


def harder_panels(cohort: Cohort, explanations: Explanations) -> Iterator[tuple[str, Figure, str]]:
    """Figure 26: the test radiographs with most of the findings after the first two, with the heatmap of each.

    Yields:
        One of PANELS, its figure and its caption; where the run has no such radiograph, the figure is a sentence.
    """
    harder = cohort.findings[2:]
    studies = most_labels(cohort, explanations.probabilities.index.tolist(), harder, len(PANELS)) if harder else []
    for number, letter in enumerate(PANELS):
        caption = f"Radiograph {number + 1}. The six test radiographs with most of the harder findings."
        if number < len(studies):
            caption += peaks_in_words(explanations, studies[number], harder) + how_shown(explanations.maps)
            yield letter, explanation_grid(cohort, explanations, [(studies[number], harder)]), caption
        else:
            sentence = f"This run has {len(studies)} such test radiographs: n = {len(studies)}."
            yield letter, sentence_figure(sentence), caption


def peaks_in_words(explanations: Explanations, image_id: str, classes: list[str]) -> str:
    """Which of some maps of a study have their strongest cell in the outermost row or column; empty where none has.

    Begins with a space, since it follows a sentence.
    """
    maps = [explanations.map(image_id, name) for name in classes]
    at_edge = [name for name, raw in zip(classes, maps, strict=True) if raw.max() > 0 and _is_at_edge(raw)]
    if not at_edge:
        return ""
    return f" Strongest at the edge of the picture, where few findings are: {', '.join(at_edge)}."


def _is_at_edge(raw: torch.Tensor) -> bool:
    (x, y), (rows, columns) = peaks(raw[None])[0].tolist(), raw.shape
    return not (1 / columns < x < 1 - 1 / columns and 1 / rows < y < 1 - 1 / rows)
