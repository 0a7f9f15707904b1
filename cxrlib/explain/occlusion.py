"""Occlusion (Zeiler and Fergus 2014): how much a logit drops when a window of the image is hidden."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from cxrlib.explain.method import Method, Passes
from cxrlib.explain.perturbed import collected, fill_value, forward_passes, hidden_logits, number_of_batches

SHARE_OF_SIDE = 7
"""By default a window is this part of the image's shorter side: 32 of 224 pixels."""


def occlusion(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    window: int | None = None,
    stride: int | None = None,
    fill: float | Sequence[float] | None = None,
    batch_size: int = 32,
) -> torch.Tensor:
    """Mean drop of each logit over the windows that cover a pixel; all classes share the forward passes.

        M^c_ij = 1/n_ij sum_(w covers ij) (y^c(x) - y^c(x with w hidden)),  n_ij the windows that cover pixel ij

    Windows start at the upper left corner. The last of a row or column ends at the image's edge, where it may be cut.

    Args:
        network: logits (n, classes).
        images: x, float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        window: side of the square window in pixels; a seventh of the image's shorter side when None.
        stride: step between windows in pixels; half a window when None.
        fill: what replaces hidden pixels, one value or one for each channel; the image's mean of each channel when
            None.
        batch_size: images that pass through the network at once.

    Returns:
        Raw maps, float32 (n, len(classes), h, w).

    Raises:
        ValueError: the window is larger than the image, or the stride larger than the window.

    In a linear model a pixel's drop is its weight times its difference from the fill value:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1, bias=False))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> occlusion(network, torch.full((1, 1, 1, 3), 4.0), window=1, stride=1, fill=0.0).tolist()
    [[[[4.0, -12.0, 8.0]]]]
    """
    height, width = images.shape[2:]
    window, stride = window_and_stride((height, width), window, stride)
    rows, columns = (covered(side, window, stride).to(images.device) for side in (height, width))
    parts = images.split(batch_size)
    batches = len(parts) + len(images) * number_of_batches([len(rows) * len(columns)], batch_size)
    with forward_passes(network, classes, batches, "Occlusion") as forward:
        unchanged = torch.cat([forward(part.clone()) for part in parts])

        def map_of(image: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            hidden = windows(rows, columns, batch_size)
            drops = logits - hidden_logits(forward, image, hidden, fill_value(image, fill))
            return mean_of_covering(drops.T.unflatten(1, (len(rows), len(columns))), rows, columns)

        return collected((map_of(*pair) for pair in zip(images, unchanged, strict=True)), len(images))


def window_and_stride(size: tuple[int, int], window: int | None = None, stride: int | None = None) -> tuple[int, int]:
    """Side of the window and step between windows in pixels; what is None follows from the image's size.

    Raises:
        ValueError: as `occlusion`.

    >>> window_and_stride((224, 320))
    (32, 16)
    """
    window = max(1, min(size) // SHARE_OF_SIDE) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= window <= min(size):
        raise ValueError(
            f"occlusion: window={window} is not in 1..{min(size)}, the image's shorter side; choose it there"
        )
    if not 1 <= stride <= window:
        raise ValueError(f"occlusion: stride={stride} is not in 1..{window}, the window; a pixel would have no window")
    return window, stride


def covered(side: int, window: int, stride: int) -> torch.Tensor:
    """Which pixels of one axis each position of the window covers.

    Returns:
        bool (positions, side).

    >>> covered(5, window=2, stride=2).int().tolist()
    [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
    """
    starts = torch.arange(math.ceil((side - window) / stride) + 1)[:, None] * stride
    pixels = torch.arange(side)
    return (pixels >= starts) & (pixels < starts + window)


def windows(rows: torch.Tensor, columns: torch.Tensor, batch_size: int) -> Iterator[torch.Tensor]:
    """All windows, row by row, in batches of bool (at most batch_size, h, w).

    Args:
        rows, columns: what the positions of a window cover along both axes, as `covered` gives it.
        batch_size: windows at once.

    >>> [len(batch) for batch in windows(covered(4, 2, 2), covered(6, 2, 2), batch_size=4)]
    [4, 2]
    """
    for numbers in torch.arange(len(rows) * len(columns), device=rows.device).split(batch_size):
        yield rows[numbers // len(columns), :, None] & columns[numbers % len(columns), None, :]


def mean_of_covering(drops: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Mean over the windows that cover a pixel.

    Args:
        drops: float32 (classes, positions along the height, positions along the width).
        rows, columns: as in `windows`.

    Returns:
        float32 (classes, h, w).

    >>> mean_of_covering(torch.tensor([[[1.0, 3.0]]]), covered(1, 1, 1), covered(3, 2, 1)).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    rows, columns = rows.to(drops), columns.to(drops)
    return rows.T @ drops @ columns / torch.outer(rows.sum(0), columns.sum(0))


def passes(
    classes: int, size: tuple[int, int], window: int | None = None, stride: int | None = None, **_: object
) -> Passes:
    """The image as it is, and one forward pass for each window.

    >>> passes(7, (224, 224))
    Passes(forward=170, backward=0)
    """
    window, stride = window_and_stride(size, window, stride)
    return Passes(1 + math.prod(len(covered(side, window, stride)) for side in size), 0)


METHODS = [
    Method(
        name="occlusion",
        title="Occlusion",
        paper="Zeiler and Fergus 2014, arXiv:1311.2901",
        formula="mean over the windows w that cover a pixel of y(x) - y(x with w hidden)",
        maps=occlusion,
        resolution="input",
        signed=True,
        passes=passes,
    )
]
