"""Figures of notebook 07: replaced pixels, probability curves, and the pipeline at a glance."""

import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from cxrlib.cohort import Cohort
from cxrlib.explanations import Explanations
from cxrlib.plots.radiograph import display_map, show_heatmap, show_radiograph
from cxrlib.plots.style import PAGE_WIDTH, class_colours, image_axes


def replaced_grid(original: torch.Tensor, variants: dict[str, torch.Tensor], class_name: str) -> Figure:
    """Figure 31: the network's input and its replaced versions, uint8 (1, h, w) each."""
    figure, axes = image_axes(1, 1 + len(variants))
    show_radiograph(axes[0][0], original[0].numpy(), f"input\n{class_name}")
    for ax, (name, image) in zip(axes[0][1:], variants.items(), strict=True):
        show_radiograph(ax, image[0].numpy(), f"top 10 % replaced:\n{name}")
    return figure


def drop_curves(means: pd.DataFrame, heatmap_class: str, n: int) -> Figure:
    """Figure 32: mean change of every label's probability against the share of replaced pixels, a panel per transform.

    Args:
        means: indexed by transform and share, one column per label: mean p_original - p_replaced.
        heatmap_class: whose heatmap chose the pixels.
        n: number of images.
    """
    transforms = list(dict.fromkeys(means.index.get_level_values("transform")))
    colours = class_colours(list(means.columns))
    figure, axes = plt.subplots(1, len(transforms), figsize=(PAGE_WIDTH, 2.5), sharey=True, squeeze=False)
    for ax, transform in zip(axes[0], transforms, strict=True):
        for name, values in means.loc[transform].items():
            width = 2.2 if name == heatmap_class else 1.0
            ax.plot(values.index * 100, values, "o-", ms=2.5, lw=width, color=colours[name], label=name)
        ax.axhline(0, color="#888888", lw=0.6)
        ax.set_title(transform, fontsize=8)
        ax.set_xlabel("replaced pixels, %")
    axes[0][0].set_ylabel("p original − p replaced")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=7)
    figure.suptitle(f"pixels chosen by the {heatmap_class} heatmap (n = {n})", fontsize=9)
    return figure


def pipeline(
    cohort: Cohort,
    explanations: Explanations,
    image_id: str,
    class_name: str,
    variants: dict[str, torch.Tensor],
    means: pd.DataFrame,
) -> Figure:
    """Figure 2: radiograph, predictions, heatmap, replaced images, curves."""
    figure, axes = plt.subplots(1, 5, figsize=(PAGE_WIDTH, 1.9), width_ratios=[1, 1, 1, 1, 1.2])
    pixels = cohort.images([image_id])[0]
    colours = class_colours(explanations.classes)
    probabilities = explanations.probabilities.loc[image_id]
    show_radiograph(axes[0], pixels, "radiograph")
    axes[1].barh(probabilities.index, probabilities, color=[colours[name] for name in probabilities.index])
    axes[1].set(xlim=(0, 1))
    axes[1].invert_yaxis()
    axes[1].set_title("probabilities", fontsize=7)
    axes[1].tick_params(labelsize=5)
    show_radiograph(axes[2], pixels, f"Grad-CAM:\n{class_name}")
    show_heatmap(axes[2], display_map(explanations.map(image_id, class_name)), cohort.size)
    name, image = next(iter(variants.items()))
    show_radiograph(axes[3], image[0].numpy(), f"top 10 % replaced:\n{name}")
    for transform in dict.fromkeys(means.index.get_level_values("transform")):
        values = means.loc[transform, class_name]
        axes[4].plot(values.index * 100, values, "o-", ms=2, label=transform)
    axes[4].set_title("mean fall of p, all images,\nagainst replaced pixels, %", fontsize=7)
    axes[4].tick_params(labelsize=6)
    axes[4].legend(fontsize=5, frameon=False)
    for ax in (axes[0], axes[2], axes[3]):
        ax.set_axis_off()
    return figure
