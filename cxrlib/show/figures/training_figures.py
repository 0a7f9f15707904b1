"""Figures of notebook 02: losses, one dot product of a convolution, and a residual block."""

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn

from cxrlib.model.networks import normalise
from cxrlib.show.figures.style import OURS, PAGE_WIDTH, THESIS, sentence_figure


def loss_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Figure 20: training and validation loss of each experiment; a dot marks the epoch that was kept.

    Experiments of one epoch stand beside each other in a panel of their own.
    """
    if all(history["epoch"].max() == 0 for history in histories.values()):
        return sentence_figure("Nothing was trained: the weights are used as they are.")
    longer = {name: history for name, history in histories.items() if len(history) > 1}
    single = {name: history.iloc[0] for name, history in histories.items() if len(history) == 1}
    lengths = [*map(len, longer.values()), *[len(single)][: len(single)]]
    widths = [max(length, 3) ** 0.5 for length in lengths]
    figure, axes = plt.subplots(
        1, len(widths), figsize=(PAGE_WIDTH, 2.3), sharey=True, squeeze=False, width_ratios=widths
    )
    for ax, (name, history) in zip(axes[0], longer.items(), strict=False):
        ax.plot(history["epoch"], history["train_loss"], "D-", ms=3, color=OURS, label="training")
        ax.plot(history["epoch"], history["valid_loss"], "s--", ms=2, color=THESIS, label="validation")
        best = history.loc[history["valid_loss"].idxmin()]
        ax.plot(best["epoch"], best["valid_loss"], "o", ms=7, mfc="none", mec=THESIS, label="kept")
        ax.set_title(name, fontsize=8)
        ax.set(xlabel="epoch", xlim=(0.5, len(history) + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if single:
        _after_one_epoch(axes[0][-1], single)
    axes[0][0].set_ylabel("weighted binary cross-entropy")
    axes[0][0].legend(frameon=False, fontsize=7)
    return figure


def _after_one_epoch(ax: Axes, losses: dict[str, pd.Series]) -> None:
    for loss, mark, colour, label in [("train", "D", OURS, "training"), ("valid", "s", THESIS, "validation")]:
        ax.plot([*losses], [one[f"{loss}_loss"] for one in losses.values()], mark, ms=4, color=colour, label=label)
    ax.set(title="one epoch", xlim=(-0.5, len(losses) - 0.5))
    ax.set_xticks(range(len(losses)), losses, fontsize=6)


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
    """The names of the layers of a torchvision residual block, in order, without the shortcut."""
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


def first_dot_product(network: nn.Module, images: torch.Tensor) -> Figure:
    """Figure 3: `dot_product` of a network's first filter and the centre of an image, both in their first channel.

    Args:
        network: in evaluation mode, on any device.
        images: uint8 (1, 1, size, size) in the network's frame.
    """
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    read: list[torch.Tensor] = []
    hook = first.register_forward_hook(lambda _module, inputs, _output: read.append(inputs[0]))
    with torch.no_grad():
        network(normalise(images).to(first.weight.device))
    hook.remove()
    kernel, image = first.weight[0, 0].detach().cpu(), read[0][0, 0].cpu()
    start = (len(image) - len(kernel)) // 2
    middle = slice(start, start + len(kernel))
    return dot_product(image[middle, middle].numpy(), kernel.numpy())
