"""Figures of notebooks 04 and 05: Grad-CAM step by step, methods beside each other."""

import torch
from matplotlib.figure import Figure

from cxrlib.data.cohort import Cohort
from cxrlib.show.figures.panels import display_map, show_heatmap, show_radiograph, show_readers
from cxrlib.show.figures.style import HEATMAP, class_colours, image_axes


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
