"""Textbook figures of the thesis, drawn from the run's own network or in the project's own words."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from cxrlib.plots.style import PAGE_WIDTH

BOX = {"boxstyle": "round,pad=0.4", "facecolor": "#f2f2f2", "edgecolor": "#444444", "linewidth": 0.8}
ARROW = {"arrowstyle": "-|>", "color": "#444444", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}


def dot_product(patch: np.ndarray, kernel: np.ndarray) -> Figure:
    """Figure 3: a patch of the input times a filter, cell by cell, and their sum.

    Args:
        patch: normalised grey values (k, k).
        kernel: weights (k, k).
    """
    product = patch * kernel
    figure, axes = plt.subplots(1, 4, figsize=(PAGE_WIDTH, 2.2), width_ratios=[1, 1, 1, 0.7])
    panels = [
        (patch, "patch of the input", "normalised grey value"),
        (kernel, "filter", "weight"),
        (product, "product, cell by cell", "product"),
    ]
    for ax, (values, title, words), sign in zip(axes, panels, ["⊙", "=", "Σ ="], strict=False):
        limit = np.abs(values).max()
        shown = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        bar = figure.colorbar(shown, ax=ax, shrink=0.7, location="bottom", pad=0.03)
        bar.set_label(words, fontsize=7)
        bar.ax.tick_params(labelsize=6)
        ax.spines[:].set_visible(False)
        ax.set_title(title, fontsize=8)
        ax.set(xticks=[], yticks=[])
        ax.text(1.2, 0.5, sign, transform=ax.transAxes, fontsize=14, ha="center", va="center")
    axes[3].set_axis_off()
    axes[3].text(0.5, 0.6, f"{product.sum():.3f}", fontsize=12, ha="center", va="center", bbox=BOX)
    axes[3].text(
        0.5, 0.25, "first channel's part of\none value of the\nfeature map", fontsize=7, ha="center", va="center"
    )
    return figure


def residual_block(block: nn.Module) -> Figure:
    """Figure 6: the layers of a residual block and the connection that skips them."""
    layers = block_layers(block)
    words = ["x", *layers, "F(x) + x", "ReLU"]
    heights = -1.4 * np.arange(len(words))
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH * 0.5, 0.5 * len(words)))
    for height, text in zip(heights, words, strict=True):
        ax.text(0, height, text, ha="center", va="center", fontsize=8, bbox=BOX)
    for above, below in zip(heights, heights[1:], strict=False):
        ax.annotate("", (0, below + 0.5), (0, above - 0.5), arrowprops=ARROW)
    start, end = heights[0], heights[-2]
    ax.plot([0.2, 1.5, 1.5], [start, start, end], color="#444444", lw=0.8)
    ax.annotate("", (0.55, end), (1.5, end), arrowprops=ARROW)
    shortcut = "x, resized by a\n1 × 1 convolution" if getattr(block, "downsample", None) else "x, unchanged"
    ax.text(1.65, (start + end) / 2, shortcut, ha="left", va="center", fontsize=8)
    ax.set(xlim=(-1.6, 3.2), ylim=(heights[-1] - 0.6, heights[0] + 0.6))
    ax.set_axis_off()
    return figure


def block_layers(block: nn.Module) -> list[str]:
    """The layers on the long way through a torchvision residual block, in order, in words."""
    words = []
    for name, module in block.named_children():
        if isinstance(module, nn.Conv2d):
            side = module.kernel_size[0]
            words.append(f"{side} × {side} convolution, {module.in_channels} → {module.out_channels}")
        elif isinstance(module, nn.BatchNorm2d):
            words[-1] += "\nbatch norm" + ("" if _is_last(block, name) else ", ReLU")
    return words


def _is_last(block: nn.Module, name: str) -> bool:
    return name == [key for key, module in block.named_children() if isinstance(module, nn.BatchNorm2d)][-1]


TAXONOMY = [
    ("Which models?", ["one kind: reads the\nnetwork's own layers", "any: only changes the\ninput and watches"]),
    ("How much?", ["local: one prediction\non one image", "global: the model\nas a whole"]),
    ("By what means?", ["a picture of what\nmattered", "a simpler model that\nstands in for it"]),
]
"""Three questions and their two answers each (after Singh et al. 2020)."""
METHODS = "Grad-CAM, SmoothGrad: one kind, local, picture        Pixel replacement: any, local, picture"


def taxonomy() -> Figure:
    """Figure 8: ways to sort explanation methods, and where this project's stand."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 2.6))
    _box(ax, 3, 3, "Explanation methods")
    for number, (question, answers) in enumerate(TAXONOMY):
        centre = 1 + 2 * number
        _line(ax, (3, 2.75), (centre, 2.25))
        _box(ax, centre, 2, question)
        for side, answer in zip((-0.5, 0.5), answers, strict=True):
            _line(ax, (centre, 1.75), (centre + side, 1.3))
            _box(ax, centre + side, 0.9, answer)
    ax.text(3, 0.05, METHODS, ha="center", va="center", fontsize=8)
    ax.set(xlim=(-0.05, 6.05), ylim=(-0.2, 3.3))
    ax.set_axis_off()
    return figure


def _box(ax: Axes, x: float, y: float, text: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=6.5, bbox=BOX)


def _line(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.plot(*zip(start, end, strict=True), color="#444444", lw=0.8)
