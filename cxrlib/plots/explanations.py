"""Figures of notebooks 04 and 05: Grad-CAM step by step, methods beside each other."""

import numpy as np
import torch
from matplotlib.figure import Figure

from cxrlib.cohort import Cohort
from cxrlib.plots.radiograph import colour_bar, display_map, show_heatmap, show_radiograph, show_readers
from cxrlib.plots.style import HEATMAP, class_colours, image_axes, sentence_figure


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


def method_grid(cohort: Cohort, cases: list[tuple[str, str]], methods: dict[str, list[np.ndarray]]) -> Figure:
    """Figures 9 and 27: one row per case, the radiograph and one heatmap per method.

    Args:
        cases: image id and class name.
        methods: title -> one heatmap (h, w) in 0..1 per case.
    """
    if not cases:
        return sentence_figure("No test study of this run carries a finding: n = 0.")
    colours = class_colours(cohort.explained)
    figure, axes = image_axes(len(cases), 1 + len(methods), width=5.5, title_lines=1, bar=True)
    for number, ((image_id, class_name), line) in enumerate(zip(cases, axes, strict=True)):
        pixels = cohort.images([image_id])[0]
        show_radiograph(line[0], pixels, class_name)
        show_readers(line[0], cohort, image_id, {class_name: colours[class_name]})
        for ax, (title, heatmaps) in zip(line[1:], methods.items(), strict=True):
            show_radiograph(ax, pixels, "" if number else title)
            show_heatmap(ax, heatmaps[number], cohort.size)
    colour_bar(figure, [ax for line in axes for ax in line])
    return figure
