"""Figures of notebook 07: replaced pixels, probability curves, and the pipeline at a glance."""

from collections.abc import Iterator
from itertools import zip_longest

import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.bootstrap import FEWEST
from cxrlib.evaluate.faithfulness import OWN
from cxrlib.explain.explanations import Explanations
from cxrlib.show.figures.faithfulness_figures import BANDS, controls_legend, draw_beside_controls, drawn
from cxrlib.show.figures.panels import show_on_radiograph, show_radiograph
from cxrlib.show.figures.style import PAGE_WIDTH, class_colours, image_axes, outlined, sentence_figure

LINES = ["-", "--", "-.", ":"]


MARKS = "osD^vP*X"


PANELS = "abcdefg"
"""Letters of the thesis's Figure 32, one per label of the explained model."""


NO_CONTROLS = "No heatmap of this class is compared with controls: n = 0."


FALLS = (
    "Mean fall of p on the radiographs with p of at least {threshold} for the heatmap's own class; bands: 95 % "
    "intervals. Above: the own class beside as many other pixels (readers' boxes: where they hold so many, in "
    f"{FEWEST} cases or more). Below, as in the thesis: every class; thick: the own class."
)
"""What Figure 32 shows, the same for each of its letters."""


SMALL = 0.05
"""A smaller change of a probability is none to speak of."""


def replaced_grid(
    original: torch.Tensor, variants: dict[str, torch.Tensor], class_name: str, share: float, note: str = ""
) -> Figure:
    """Figure 31: the network's input and its replaced versions, uint8 (1, h, w) each.

    Args:
        original: the input.
        variants: versions by transform, of which the top `share` of the pixels is replaced.
        class_name: of the heatmap; `note` follows it.
    """
    figure, axes = image_axes(1, 1 + len(variants), title_lines=3)
    show_radiograph(axes[0][0], original[0].numpy(), "\n".join(filter(None, ["input", class_name, note])))
    for ax, (name, image) in zip(axes[0][1:], variants.items(), strict=True):
        show_radiograph(ax, image[0].numpy(), f"top {100 * share:.0f} % replaced:\n{named(name)}")
    return figure


def named(transform: str) -> str:
    """A transform's name in figures.

    >>> named("mean"), named("blur 11")
    ('mean grey', 'blur, 11 px')
    """
    return "mean grey" if transform == "mean" else f"{transform.replace(' ', ', ')} px"


def drop_curves(
    means: pd.DataFrame,
    own: pd.DataFrame,
    heatmap_class: str,
    limits: tuple[float, float],
    n: int,
    controlled: pd.DataFrame,
) -> Figure:
    """Figure 32: the own class beside its controls; below, as in the thesis, every label and a panel per transform.

    Both are mean falls of probabilities against the share of replaced pixels.

    Args:
        means: indexed by transform and share, one column per label: mean p_original - p_replaced.
        own: transform, share, low and high of the heatmap's own class, from `own_drops`.
        heatmap_class: whose heatmap chose the pixels; its line is thick and has a band.
        limits: of the probabilities' axis; the same for all figures of a run.
        n: number of images.
        controlled: from `control_curves`, of the heatmap's class; may be empty.
    """
    transforms = list(dict.fromkeys(means.index.get_level_values("transform")))
    colours = class_colours(list(means.columns))
    columns = max(2, len(transforms))
    figure = plt.figure(figsize=(PAGE_WIDTH, 4.6))
    grid = figure.add_gridspec(2, columns)
    first = figure.add_subplot(grid[0, :-1])
    _beside_controls(first, controlled)
    controls_legend(figure.add_subplot(grid[0, -1]))
    below = [figure.add_subplot(grid[1, column], sharey=first) for column in range(len(transforms))]
    for ax, transform in zip(below, transforms, strict=True):
        band = own[own["transform"] == transform]
        ax.fill_between(band["share"] * 100, band["low"], band["high"], color=colours[heatmap_class], alpha=0.3, lw=0)
        for number, (name, values) in enumerate(means.loc[transform].items()):
            width = 2.2 if name == heatmap_class else 0.9
            look = {"lw": width, "ls": LINES[number % len(LINES)], "marker": MARKS[number % len(MARKS)], "ms": 3}
            edge = outlined(width)
            ax.plot(values.index * 100, values, color=colours[name], label=name, path_effects=edge, **look)
        ax.axhline(0, color="#888888", lw=0.6)
        ax.set_title(f"as in the thesis: {named(transform)}\nn = {n} radiographs", fontsize=8)
        ax.set(xlabel="replaced pixels, %", ylim=limits)
        ax.tick_params(labelleft=ax is below[0])
    below[0].set_ylabel("mean fall in probability")
    handles, names = below[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=7)
    figure.suptitle(f"pixels chosen by the {heatmap_class} heatmap", fontsize=9)
    return figure


def _beside_controls(ax: Axes, controlled: pd.DataFrame) -> None:
    ax.set_xlabel("replaced pixels, %")
    ax.set_ylabel("mean fall of its own class")
    if controlled.empty:
        ax.text(0.5, 0.5, NO_CONTROLS, ha="center", va="center", fontsize=8, transform=ax.transAxes)
        return
    draw_beside_controls(ax, controlled)
    count = controlled.loc[controlled["pixels"] == OWN, "n"].max()
    ax.set_title(f"the heatmap's pixels and as many others: {named('mean')}\nn = {count} radiographs", fontsize=8)


def drop_panels(
    means: pd.DataFrame, own: pd.DataFrame, counts: pd.Series, threshold: float, controlled: pd.DataFrame
) -> Iterator[tuple[str, Figure, str]]:
    """Figure 32: `drop_curves` of every class's heatmap, with one probability axis for all of them.

    Args:
        means, counts: from `cxrlib.evaluate.perturbation.mean_drops`.
        own: from `own_drops`.
        threshold: a class is predicted where its probability reaches this.
        controlled: from `control_curves`.

    Yields:
        One of PANELS, its figure and its caption; where there is nothing to draw, the figure is a sentence.
    """
    bands, lines = [own, controlled[controlled["pixels"].isin(BANDS)]], drawn(controlled)["ours"]
    ends = [value for band in bands for end in ("low", "high") for value in band[end].dropna()]
    extremes = [0, *means.min(), *means.max(), *lines, *ends]
    limits = (min(extremes) - 0.02, max(extremes) + 0.02)
    for letter, name in zip_longest(PANELS, counts.index[: len(PANELS)]):
        caption = f"Replaced are the top pixels of the {name} heatmap. {FALLS.format(threshold=threshold)}"
        if name is None:
            caption = f"This run explains {len(counts)} labels: there is no panel {letter}."
            figure = sentence_figure(caption)
        elif counts[name]:
            beside = controlled[controlled["class_name"] == name]
            figure = drop_curves(means.loc[name], own[own["class_name"] == name], name, limits, counts[name], beside)
        else:
            figure = sentence_figure(f"{name}: n = 0, no test study is predicted with p of at least {threshold}.")
        yield letter, figure, caption


def pipeline(
    cohort: Cohort,
    explanations: Explanations,
    image_id: str,
    class_name: str,
    variants: dict[str, torch.Tensor],
    share: float,
    own: pd.DataFrame,
    n: int,
) -> Figure:
    """Figure 2: radiograph, predictions, heatmap, replaced images, curves.

    Args:
        cohort, explanations: of the run.
        image_id, class_name: the case that is shown.
        variants: replaced inputs by transform, uint8 (1, h, w).
        share: of the pixels that is replaced in them.
        own: transform, share, ours, low and high of the class, over all images where it is predicted.
        n: how many these are.
    """
    figure, axes = plt.subplots(1, 5, figsize=(PAGE_WIDTH, 2.1), width_ratios=[1, 0.9, 1, 1, 1.2])
    pixels = cohort.images([image_id])[0]
    colours = class_colours(explanations.classes)
    probabilities = explanations.probabilities.loc[image_id]
    show_radiograph(axes[0], pixels, "a  radiograph\n")
    axes[1].barh(probabilities.index, probabilities, color=[colours[name] for name in probabilities.index])
    axes[1].set(xlim=(0, 1), xlabel="probability")
    axes[1].invert_yaxis()
    axes[1].set_title("b  prediction\n", fontsize=7)
    axes[1].tick_params(labelsize=6)
    show_on_radiograph(axes[2], pixels, explanations.map(image_id, class_name), f"c  Grad-CAM:\n{class_name}")
    name, image = next(iter(variants.items()))
    show_radiograph(axes[3], image[0].numpy(), f"d  top {100 * share:.0f} % replaced:\n{named(name)}")
    for (transform, values), line in zip(own.groupby("transform", sort=False), LINES, strict=False):
        axes[4].fill_between(values["share"] * 100, values["low"], values["high"], color="#bbbbbb", alpha=0.4, lw=0)
        axes[4].plot(values["share"] * 100, values["ours"], line, color="black", lw=1, label=named(transform))
    axes[4].set_title(f"e  mean fall in probability\n(n = {n})", fontsize=7)
    axes[4].set_xlabel("replaced pixels, %")
    axes[4].tick_params(labelsize=6)
    figure.legend(*axes[4].get_legend_handles_labels(), loc="outside lower right", ncols=4, fontsize=6, frameon=False)
    for ax in (axes[0], axes[2], axes[3]):
        ax.set_axis_off()
    return figure


def fall_in_words(
    drops: pd.DataFrame, probabilities: pd.DataFrame, image_id: str, class_name: str, share: float
) -> str:
    """How far a class's probability falls when its heatmap's top pixels become the mean grey, and what that says.

    Args:
        drops: from `cxrlib.evaluate.perturbation.perturb_studies`.
        probabilities: of the unchanged images, image_id by class.
        image_id, class_name: the case.
        share: fraction of the pixels; the nearest one that was replaced is taken.

    Returns:
        One sentence; empty where the case was not looked at.

    >>> row = {"image_id": "a", "heatmap_class": "Mass", "transform": "mean", "share": 0.5, "Mass": 0.8}
    >>> drops = pd.DataFrame([row])
    >>> fall_in_words(drops, pd.DataFrame({"Mass": [0.9]}, ["a"]), "a", "Mass", 0.5)
    'Replacing the top 50 % by the mean grey takes p from 0.90 to 0.10: these pixels matter.'
    """
    own = (drops["image_id"] == image_id) & (drops["heatmap_class"] == class_name) & (drops["transform"] == "mean")
    if not own.any():
        return ""
    row = drops.loc[(drops.loc[own, "share"] - share).abs().idxmin()]
    before = probabilities.at[image_id, class_name]
    after = before - row[class_name]
    said = f"Replacing the top {100 * row['share']:.0f} % by the mean grey takes p from {before:.2f} to {after:.2f}"
    return f"{said}: {_what_it_says(before, after)}."


def _what_it_says(before: float, after: float) -> str:
    if after <= before / 2:
        return "these pixels matter"
    if before - after > SMALL:
        return "these pixels matter, but not alone"
    return "the network does without these pixels" if after - before <= SMALL else "the network is surer without them"
