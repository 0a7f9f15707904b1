"""A linear probe of the place: what a layer's features know of where a finding lies, when somebody asks them.

A probe is a linear model on frozen features (Alain and Bengio 2016, "Understanding intermediate layers using linear
classifier probes", arXiv:1610.01644). This one is a convolution of 1 x 1 cells from the k channels of a feature map to
the fraction of each cell that the readers' boxes of a class cover. It is no explanation: it is taught by boxes. A
finding that the probe places and Grad-CAM does not is in the features, and the method misses it.

The weights are those of ridge regression (Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634):

    w = argmin sum_cells (x w - y)^2 + s |w|^2 = (X'X + s I)^-1 X'y

with a row x = (A_1ij, ..., A_kij, 1) for each cell, y its cover, and a bias that is not held back. X'X, X'y and y'y are
sums over cells. So each image passes through the network once, and memory does not grow with the number of images.

A class is fitted on the studies that have a box of it. Fitting it on all studies was measured on the demo's validation
split (1,000 rendered studies, ResNet18, 5 x 5 cells, mean over six findings of the mean IoU over all pairs at the best
share): 0.165, against 0.174 on the studies with a box; Grad-CAM has 0.083, and covers as maps 0.253. A strength of its
own for each class gave 0.173. Where a label has no box nobody knows the place, and such a study teaches nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from cxrlib.explain.gradcam import explained_activations, feature_map, frozen
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.networks import device_of, normalise
from cxrlib.model.pooling import pooled_at
from cxrlib.runtime.memory import smaller_batches
from cxrlib.runtime.progress import progress

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
"""Strengths of the ridge that are tried, as multiples of trace(X'X) / k."""


class Moments(NamedTuple):
    """Sums over the cells of the studies that have a box of a class, float64: all that ridge regression needs."""

    xx: torch.Tensor
    """X'X, (classes, k + 1, k + 1); the last row and column belong to the bias."""
    xy: torch.Tensor
    """X'y, (classes, k + 1)."""
    yy: torch.Tensor
    """y'y, (classes,)."""


def no_moments(classes: int, channels: int, device: torch.device | str = "cpu") -> Moments:
    """The sums over no cell.

    >>> no_moments(classes=2, channels=3).xx.shape
    torch.Size([2, 4, 4])
    """
    shapes = (classes, channels + 1, channels + 1), (classes, channels + 1), (classes,)
    return Moments(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))


def add_cells(moments: Moments, activations: torch.Tensor, covers: torch.Tensor) -> None:
    """Add the cells of some images; an image counts for the classes of which some cell is covered.

    Args:
        moments: changed in place.
        activations: A, float32 (n, k, rows, columns).
        covers: y, float32 (n, classes, rows, columns).

    One channel, two cells, one class. X'X has the sums of x^2, x and 1:

    >>> moments = no_moments(classes=1, channels=1)
    >>> add_cells(moments, torch.tensor([[[[2.0, 3.0]]]]), torch.tensor([[[[0.5, 0.0]]]]))
    >>> moments.xx.tolist(), moments.xy.tolist(), moments.yy.tolist()
    ([[[13.0, 5.0], [5.0, 2.0]]], [[1.0, 0.5]], [0.25])
    """
    device = moments.xx.device
    cells = activations.to(device).flatten(2).transpose(1, 2)
    targets = covers.to(device, torch.float64).flatten(2)
    for column, boxed in enumerate(targets.any(2).T):
        if boxed.any():
            x = torch.nn.functional.pad(cells[boxed].flatten(0, 1).double(), (0, 1), value=1.0)
            y = targets[boxed, column].flatten()
            moments.xx[column] += x.T @ x
            moments.xy[column] += x.T @ y
            moments.yy[column] += y @ y


def solve(moments: Moments, strength: float) -> torch.Tensor:
    """The weights of every class: (X'X + s I)^-1 X'y, with s = strength * trace(X'X) / k; the bias is not held back.

    A class without a cell, or whose features are all zero, has weights of zero but for its bias.

    Args:
        moments: of the training studies.
        strength: at least zero.

    Returns:
        float64 (classes, k + 1), the bias last.

    The line through (0, 1) and (1, 3) is 2 x + 1:

    >>> moments = no_moments(classes=1, channels=1)
    >>> add_cells(moments, torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0, 3.0]]]]))
    >>> solve(moments, strength=0.0).tolist()
    [[2.0, 1.0]]
    """
    squares = moments.xx.diagonal(dim1=1, dim2=2)
    held = strength * squares[:, :-1].mean(1, keepdim=True).expand_as(squares[:, :-1])
    ridge = torch.nn.functional.pad(held, (0, 1))
    ridge = torch.where(squares + ridge > 0, ridge, 1.0)  # a sum of nothing has no inverse
    return torch.linalg.solve(moments.xx + torch.diag_embed(ridge), moments.xy)


def squared_error(moments: Moments, weights: torch.Tensor) -> torch.Tensor:
    """Sum over cells of (x w - y)^2 = w'X'Xw - 2 w'X'y + y'y, float64 (classes,).

    Args:
        moments: of the studies on which the weights are tried.
        weights: float64 (classes, k + 1).

    >>> moments = no_moments(classes=1, channels=1)
    >>> add_cells(moments, torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0, 3.0]]]]))
    >>> squared_error(moments, torch.tensor([[1.0, 1.0]], dtype=torch.float64)).tolist()  # (1 - 1)^2 + (2 - 3)^2
    [1.0]
    """
    quadratic = torch.einsum("ck,ckl,cl->c", weights, moments.xx, weights)
    return quadratic - 2 * (weights * moments.xy).sum(1) + moments.yy


def fit(train: Moments, valid: Moments) -> tuple[torch.Tensor, float]:
    """Weights at the one of `STRENGTHS` that has the least squared error, over all classes, on the validation studies.

    Where these have no box all strengths are alike, and the largest is taken.

    Returns:
        float64 (classes, k + 1) and the strength.

    What the features do not know is held back:

    >>> moments = [no_moments(classes=1, channels=1) for _ in range(2)]
    >>> for part, sign in zip(moments, (1, -1), strict=True):
    ...     add_cells(part, torch.tensor([[[[0.0, 1.0]]]]), 0.5 + sign * torch.tensor([[[[-0.1, 0.1]]]]))
    >>> fit(*moments)[1]
    10.0
    """
    tried = [solve(train, strength) for strength in STRENGTHS]
    errors = [squared_error(valid, weights).sum().item() for weights in tried]
    best = errors.index(min(errors))
    return tried[best], STRENGTHS[best]


def probe_maps(activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Raw maps L^c_ij = ReLU(sum_k w_ck A_kij + b_c), the predicted cover of each cell.

    Args:
        activations: A, float32 (n, k, rows, columns).
        weights: (classes, k + 1), the bias last.

    Returns:
        float32 (n, classes, rows, columns).

    >>> probe_maps(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[2.0, -1.0]])).tolist()
    [[[[0.0, 1.0]]]]
    """
    weights = weights.to(activations)
    maps = weights[:, :-1] @ activations.flatten(2) + weights[:, -1:]
    return maps.relu().unflatten(2, activations.shape[2:])


def layer_activations(network: nn.Module, inputs: torch.Tensor, layer: str) -> torch.Tensor:
    """What a layer gives for some images, without gradients: Grad-CAM's A, float32 (n, k, rows, columns).

    Args:
        network: logits (n, classes), or an `inference_copy` that is cut at the layer.
        inputs: float32 (n, c, h, w) as the network takes them.
        layer: name of the module.

    Raises:
        LayerError: no such layer, or its output is no feature map.

    >>> network = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    >>> layer_activations(network, torch.tensor([[[[-1.0, 2.0]]]]), "0").tolist()
    [[[[0.0, 2.0]]]]
    """
    with frozen(network), torch.no_grad():
        pooled = pooled_at(network, layer)
        if pooled is not None:
            return feature_map([pooled.features(inputs)], layer)
        with explained_activations(network, layer) as recorded:
            network(inputs)
            return feature_map(recorded, layer).detach()


@smaller_batches
def moments_of(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    covers: Callable[[torch.Tensor], torch.Tensor],
    layer: str,
    batch_size: int,
) -> Moments:
    """The sums over the cells of many images: one forward pass per image.

    Args:
        network: on its device.
        images: uint8 (n, 1, h, w) in the network's frame, at least one.
        covers: positions of images, int64 (m,), to their covers, float32 (m, classes, rows, columns).
        layer: as in `layer_activations`.
        batch_size: images per forward pass; halved, with a warning, where memory does not suffice.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> images = torch.zeros(5, 1, 4, 4, dtype=torch.uint8)
    >>> moments_of(network, images, lambda rows: torch.ones(len(rows), 2, 4, 4), "0", batch_size=2).yy.tolist()
    [80.0, 80.0]
    """
    device, found = device_of(network), None
    batches = torch.arange(len(images)).split(batch_size)
    loaded = load_batches(images, batches, device)
    for positions, batch in progress(zip(batches, loaded, strict=True), "probe", "batch", len(batches)):
        activations, targets = layer_activations(network, normalise(batch), layer), covers(positions)
        if found is None:
            where = "cpu" if device.type == "mps" else device  # MPS has no float64
            found = no_moments(targets.shape[1], activations.shape[1], where)
        add_cells(found, activations, targets)
    return found


@smaller_batches
def probe_images(
    network: nn.Module, images: torch.Tensor | StoredInputs, weights: torch.Tensor, layer: str, batch_size: int
) -> torch.Tensor:
    """`probe_maps` of many images: one forward pass per image.

    Args:
        network, images, layer, batch_size: as in `moments_of`.
        weights: (classes, k + 1), the bias last.

    Returns:
        float32 (n, classes, rows, columns) on the CPU.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> probe_images(network, torch.zeros(5, 1, 4, 4, dtype=torch.uint8), torch.ones(2, 9), "0", batch_size=2).shape
    torch.Size([5, 2, 4, 4])
    """
    loaded = load_batches(images, torch.arange(len(images)).split(batch_size), device_of(network))
    return torch.cat([probe_maps(layer_activations(network, normalise(one), layer), weights).cpu() for one in loaded])
