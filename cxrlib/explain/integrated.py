"""Integrated gradients (Sundararajan et al. 2017): what each pixel adds on the way from a baseline to the image."""

import warnings
from typing import Literal

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen
from cxrlib.explain.gradients import input_gradients
from cxrlib.explain.method import Method, Passes
from cxrlib.runtime.memory import smaller_batches

COMPLETE = 0.05
"""Largest relative gap of `completeness_gaps` without a warning: the paper's "within 5 %"."""


@smaller_batches
def integrated_gradients(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    steps: int = 50,
    baseline: float | Literal["black"] | torch.Tensor = 0.0,
    batch_size: int = 32,
) -> torch.Tensor:
    """Integrated gradients (Sundararajan et al. 2017), summed over the channels.

        M_ij = sum_k (x_kij - b_kij) 1/S sum_s g_kij(b + a_s (x - b)),  a_s = (s - 1/2) / S,  s = 1..S,  g = dy / dx

    The integral is a sum over the middles of S equal steps. The cells of a complete map add up to y(x) - y(b). This is
    checked for every image and class; where the gap is above `COMPLETE` a warning says so.

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were.
        images: x, float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        steps: S.
        baseline: b, where the image is thought to say nothing. A number for all pixels (0 is the mean grey of a
            normalised image), "black" for each image's own minimum, or a tensor that fits the images.
        batch_size: points of the way that pass through the network at once; memory does not grow with `steps`.

    Returns:
        float32 (n, len(classes), h, w), with negative values.

    Raises:
        NoGradient: torch cannot differentiate the logits.
        ValueError: the baseline fits no image.

    Of a linear network the map is w (x - b):

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0]])
    >>> integrated_gradients(network, torch.tensor([[[[2.0, 5.0]]]]), baseline="black").tolist()
    [[[[0.0, -9.0]]]]
    """
    starts = baseline_images(images, baseline)
    middles = (torch.arange(steps, dtype=images.dtype, device=images.device) + 0.5) / steps

    def explain_one(image: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        way = image - start

        def summed(gradients: torch.Tensor) -> torch.Tensor:
            return (gradients.sum(1, keepdim=True) * way).sum(-3)

        batches = (start + some.view(-1, 1, 1, 1) * way for some in middles.split(batch_size))
        return sum(input_gradients(network, points, classes, summed, batch_size) for points in batches) / steps

    with frozen(network):
        maps = torch.cat([explain_one(*pair) for pair in zip(images, starts, strict=True)])
        gaps = completeness_gaps(
            maps, _logits(network, images, classes, batch_size), _logits(network, starts, classes, batch_size)
        )
    if gaps.max() > COMPLETE:
        image, column = divmod(int(gaps.argmax()), gaps.shape[1])
        name = column if classes is None else classes[column]
        warnings.warn(
            f"integrated gradients of image {image}, class {name}: the map's sum misses the change of the logit by "
            f"{gaps.max():.0%}; raise steps (now {steps})",
            stacklevel=3,
        )
    return maps


def baseline_images(images: torch.Tensor, baseline: float | Literal["black"] | torch.Tensor) -> torch.Tensor:
    """The baseline of each image, in its shape.

    Args:
        images: float32 (n, c, h, w).
        baseline: a number, "black" for each image's minimum, or a tensor that can be expanded to the images.

    Returns:
        float32 (n, c, h, w).

    Raises:
        ValueError: it is another word, or a tensor of another shape.

    >>> baseline_images(torch.tensor([[[[2.0, 5.0]]], [[[7.0, 6.0]]]]), "black").flatten().tolist()
    [2.0, 2.0, 6.0, 6.0]
    """
    if isinstance(baseline, str):
        if baseline != "black":
            raise ValueError(f"no baseline {baseline!r}; choose a number, 'black' or a tensor like the images")
        return images.amin((1, 2, 3), keepdim=True).expand_as(images)
    given = torch.as_tensor(baseline, dtype=images.dtype, device=images.device)
    try:
        return given.expand_as(images)
    except RuntimeError:
        shapes = f"{tuple(given.shape)}, the images {tuple(images.shape)}"
        raise ValueError(f"the baseline has the shape {shapes}; give one that fits") from None


def completeness_gaps(maps: torch.Tensor, ends: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """How far the sum of each map is from y(x) - y(b), relative to this difference.

        |sum M - (y(x) - y(b))| / max(|y(x) - y(b)|, 0.001 |y(x)|, 0.001 |y(b)|)

    A difference below a thousandth of a logit is measured as if it were a thousandth, since rounding is of that size.

    Args:
        maps: M, (n, classes, rows, columns).
        ends: y(x), (n, classes).
        starts: y(b), (n, classes).

    Returns:
        float64 (n, classes).

    >>> completeness_gaps(torch.full((1, 1, 2, 2), 0.5), torch.tensor([[5.0]]), torch.tensor([[2.5]])).tolist()
    [[0.2]]
    """
    ends, starts = ends.double(), starts.double()
    change = ends - starts
    smallest = 0.001 * torch.maximum(ends.abs(), starts.abs()) + torch.finfo(torch.float64).tiny
    return (maps.double().sum((2, 3)) - change).abs() / torch.maximum(change.abs(), smallest)


@torch.no_grad()
def _logits(network: nn.Module, images: torch.Tensor, classes: list[int] | None, batch_size: int) -> torch.Tensor:
    logits = torch.cat([network(batch.clone()) for batch in images.split(batch_size)])
    return logits if classes is None else logits[:, classes]


METHODS = [
    Method(
        name="integrated_gradients",
        title="Integrated gradients",
        paper="Sundararajan et al. 2017, arXiv:1703.01365",
        formula="sum_k (x_k - b_k) times the mean of dy / dx_k on the way from the baseline b to the image x",
        maps=integrated_gradients,
        resolution="input",
        signed=True,
        passes=lambda classes, size, steps, **_: Passes(steps + 2, steps * classes),
    )
]
