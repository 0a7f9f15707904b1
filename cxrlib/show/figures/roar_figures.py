"""Figures of notebook 11: pictures without their top pixels, what networks lose by it, and what a penalty buys."""

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.evaluate.removal import BLURRED, CONTROLS, EDGES, KEEP, MASK, RANDOM, control_map, taken_out, top_of_each
from cxrlib.evaluate.retrained import METRICS
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.show.figures.style import OURS, PAGE_WIDTH, image_axes, sentence_figure
from cxrlib.show.figures.style import RANDOM as GREY

CONTROL_LINES = {RANDOM: "-", BLURRED: "--", EDGES: ":"}


COLOURS = [OURS, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]


MODE_TITLES = {"remove": "top pixels removed (ROAR)", KEEP: "all others removed (KAR)", MASK: "the mask alone"}


def removal_examples(images: torch.Tensor, maps: dict[str, Explanations | None], share: float) -> Figure:
    """A row per picture: as it is, then without the top pixels of each method and control.

    Args:
        images: uint8 (n, 1, size, size).
        maps: title -> maps of these pictures first; None for a control.
        share: fraction of the pixels.
    """
    figure, axes = image_axes(len(images), 1 + len(maps))
    titles = ["whole", *maps]
    columns = [images]
    for title, own in maps.items():
        generator = torch.Generator().manual_seed(0)
        known = None if own is None else upscale(own.maps[: len(images), 0], images.shape[-1])
        chosen = control_map(title, images, generator) if known is None else known
        columns.append(taken_out(images, top_of_each(chosen, share, generator), "remove"))
    for row, line in enumerate(axes):
        for ax, title, pictures in zip(line, titles, columns, strict=True):
            ax.imshow(pictures[row, 0].numpy(), vmin=0, vmax=255)
            ax.set_title(title.replace(", ", ",\n") if row == 0 else "", fontsize=7)
    return figure


def fall_panels(table: pd.DataFrame) -> Figure:
    """A column per mode, a row per metric: the fall against the share of pixels, with intervals; controls are grey.

    Args:
        table: from `retrained_table`.
    """
    rows = table.drop_duplicates(["method", "mode", "share", "metric"])
    modes, methods = rows["mode"].unique(), rows["method"].unique()
    own = [name for name in methods if name not in CONTROLS]
    figure, axes = plt.subplots(
        len(METRICS), len(modes), figsize=(PAGE_WIDTH, 4.6), sharex=True, sharey="row", squeeze=False
    )
    shifts = dict(zip(methods, np.linspace(-0.02, 0.02, len(methods)), strict=True))
    for column, mode in enumerate(modes):
        for ax, metric in zip(axes[:, column], METRICS, strict=True):
            for name in methods:
                line = rows[(rows["method"] == name) & (rows["mode"] == mode) & (rows["metric"] == metric)]
                colour = COLOURS[own.index(name) % len(COLOURS)] if name in own else GREY
                _line(ax, line.sort_values("share"), mode, shifts[name], colour, CONTROL_LINES.get(name, "-"), name)
            ax.axhline(0, lw=0.5, color="black")
            ax.grid(axis="y", lw=0.3, color="#dddddd")
            ax.set_xticks(sorted(rows["share"].unique()))
            ax.set_xlim(0, 1)
        axes[0, column].set_title(MODE_TITLES[mode])
    for line, metric in zip(axes, METRICS, strict=True):
        line[0].set_ylabel(f"fall of the {metric}")
    figure.supxlabel("share of the pixels in the mask", fontsize=8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(6, len(names)), frameon=False)
    return figure


def _line(ax: Axes, rows: pd.DataFrame, mode: str, shift: float, colour: str, style: str, label: str) -> None:
    sign = -1 if mode == KEEP else 1
    reach = np.abs(rows[["low", "high"]].T.to_numpy() - rows["ours"].to_numpy())
    reach = reach[::-1] if mode == KEEP else reach
    points = {"marker": "o", "ms": 3, "lw": 1, "elinewidth": 0.6, "color": colour, "ls": style, "label": label}
    ax.errorbar(rows["share"] + shift, sign * rows["ours"], yerr=reach, **points)


def trade_off_panels(table: pd.DataFrame) -> Figure:
    """A panel per score: against the weight of the penalty, with intervals; dashed: a reader against the others.

    Args:
        table: from `penalty_table`.
    """
    metrics = [name for name in table["metric"].unique() if table.loc[table["metric"] == name, "ours"].notna().any()]
    weights = table["weight"].unique()
    if len(weights) < 2:
        return sentence_figure("No penalty: none is asked for, or this network has no map in closed form.")
    figure, axes = plt.subplots(2, 3, figsize=(PAGE_WIDTH, 4.0), sharex=True, squeeze=False)
    for ax, metric in zip(axes.flat, metrics, strict=False):
        rows = table[table["metric"] == metric]
        reach = np.abs(rows[["low", "high"]].T.to_numpy() - rows["ours"].to_numpy())
        ax.errorbar(range(len(rows)), rows["ours"], yerr=reach, fmt="o-", ms=4, lw=1, elinewidth=0.8, color=OURS)
        if rows["readers"].notna().any():
            ax.axhline(rows["readers"].iloc[0], ls="--", lw=1, color="#009E73")
        n = rows["n"].iloc[0]
        ax.set_title(f"{metric}\n{f'n = {n}' if n else 'too few cases for an interval'}", fontsize=7)
        ax.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
        ax.grid(axis="y", lw=0.3, color="#dddddd")
    for ax in axes.flat[len(metrics) :]:
        ax.set_axis_off()
    figure.supxlabel("weight of the map's share outside of readers' boxes, in the loss", fontsize=8)
    return figure
