"""Figures of notebook 04: Grad-CAM step by step, and the harder findings."""

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure

from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.show.cases import most_labels
from cxrlib.show.figures.panels import display_map, explanation_grid, show_heatmap, show_radiograph, show_readers
from cxrlib.show.figures.style import HEATMAP, class_colours, image_axes, sentence_figure

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
    figure, axes = image_axes(1, 6)
    line = axes[0]
    pixels = cohort.images([image_id])[0]
    show_radiograph(line[0], pixels, "1  radiograph")
    show_readers(line[0], cohort, image_id, {class_name: class_colours(cohort.explained)[class_name]})
    for ax, channel in zip(line[1:4], weights.argsort(descending=True)[:3].tolist(), strict=True):
        ax.imshow(activations[channel].numpy(), cmap="viridis")
        ax.set_title(f"2  channel {channel}\nweight {weights[channel]:+.4f}", fontsize=7)
    line[4].imshow(raw.numpy(), cmap=HEATMAP, vmin=0)
    line[4].set_title("3  weighted sum,\nReLU", fontsize=7)
    show_radiograph(line[5], pixels, "4  divided by its\nmaximum, upscaled")
    show_heatmap(line[5], display_map(raw), cohort.size)
    return figure


def harder_panels(cohort: Cohort, explanations: Explanations) -> Iterator[tuple[str, Figure, str]]:
    """Figure 26: the test radiographs with most of the findings after the first two, with the heatmap of each.

    Yields:
        One of PANELS, its figure and its caption; where the run has no such radiograph, the figure is a sentence.
    """
    harder = cohort.findings[2:]
    studies = most_labels(cohort, explanations.probabilities.index.tolist(), harder, len(PANELS)) if harder else []
    for number, letter in enumerate(PANELS):
        caption = (
            f"Test radiograph {number + 1} of the six with most of the harder findings; each map has its own maximum."
        )
        if number < len(studies):
            yield letter, explanation_grid(cohort, explanations, [(studies[number], harder)]), caption
        else:
            sentence = f"This run has {len(studies)} such test radiographs: n = {len(studies)}."
            yield letter, sentence_figure(sentence), caption
