"""Linear models of a network over the superpixels that are present: what LIME and KernelSHAP share."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from cxrlib.explain.perturbed import collected, fill_value, forward_passes, hidden_logits, number_of_batches
from cxrlib.explain.superpixels import hidden_pixels, labels_of


def surrogate_maps(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None,
    superpixels: torch.Tensor | None,
    cells: int,
    fill: float | Sequence[float] | None,
    batch_size: int,
    title: str,
    draw: Callable[[int], torch.Tensor],
    fit: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Maps whose every pixel has the coefficient of its superpixel; all classes share the forward passes.

    Args:
        network, images, classes, superpixels, cells, fill, batch_size: as in `cxrlib.explain.lime.lime`.
        title: of the progress bar.
        draw: from a number of superpixels to samples, bool (samples, superpixels), true where one is present.
        fit: from samples, float64, and logits, float64 (samples, classes), to coefficients (superpixels, classes).

    Returns:
        Raw maps, float32 (n, len(classes), h, w).

    Raises:
        ValueError: as `cxrlib.explain.superpixels.labels_of`.

    >>> def last_sample(present, logits):
    ...     return present[-1][:, None] * logits[-1]
    >>> values = {"superpixels": torch.tensor([[0, 0, 1]]), "cells": 7, "fill": 0.0, "batch_size": 1, "title": "A"}
    >>> values |= {"draw": lambda count: torch.eye(count) > 0, "fit": last_sample}
    >>> surrogate_maps(nn.Sequential(nn.Flatten(), nn.AvgPool1d(3)), torch.ones(1, 1, 1, 3), None, **values).tolist()
    [[[[0.0, 0.0, 0.3333333432674408]]]]
    """
    maps = labels_of(images, superpixels, cells)
    samples = {count: draw(count) for count in {count for _, count in maps}}
    batches = number_of_batches([len(samples[count]) for _, count in maps], batch_size)
    with forward_passes(network, classes, batches, title) as forward:

        def map_of(image: torch.Tensor, labels: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
            hidden = (hidden_pixels(some, labels) for some in present.split(batch_size))
            logits = hidden_logits(forward, image, hidden, fill_value(image, fill))
            coefficients = fit(present.double(), logits.cpu().double())
            return coefficients.T.float().to(image.device)[:, labels]

        pairs = zip(images, maps, strict=True)
        return collected((map_of(image, labels, samples[count]) for image, (labels, count) in pairs), len(images))
