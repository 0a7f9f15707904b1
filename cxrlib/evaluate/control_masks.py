"""Masks of as many pixels as a heatmap's mask, chosen by less than the heatmap: what its fall must exceed.

Every control but the moved region is the beginning of a ranking of pixels, so that the masks of larger shares hold
those of smaller ones.
"""

import torch

from cxrlib.explain.explanations import Explanations


def random_ranking(pixels: int, seed: int) -> torch.Tensor:
    """All pixels in random order, int64 (pixels,).

    >>> random_ranking(4, seed=0).sort().values.tolist()
    [0, 1, 2, 3]
    """
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))


def ranked(values: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Pixels from the highest to the lowest value; of equal values the one that is earlier in `order` comes first.

    Args:
        values: floats (height, width).
        order: all pixels, int64 (height * width,).

    Returns:
        int64 (height * width,).

    >>> ranked(torch.tensor([[1.0, 2.0], [1.0, 0.0]]), torch.tensor([3, 2, 1, 0])).tolist()
    [1, 2, 0, 3]
    """
    return order[values.flatten()[order].argsort(descending=True, stable=True)]


def first_pixels(ranking: torch.Tensor, counts: list[int], size: int) -> torch.Tensor:
    """Masks of the first pixels of a ranking.

    Args:
        ranking: pixels in reading order's numbers, int64 (n,), n at most size * size.
        counts: how many pixels each mask has, at most n.
        size: side of the masks in pixels.

    Returns:
        Boolean (counts, size, size).

    Raises:
        ValueError: the ranking has fewer pixels than a mask needs.

    >>> first_pixels(torch.tensor([3, 0]), [1, 2], 2).int().tolist()
    [[[0, 0], [0, 1]], [[1, 0], [0, 1]]]
    """
    if max(counts, default=0) > len(ranking):
        raise ValueError(f"a mask needs {max(counts)} pixels and the ranking has {len(ranking)}")
    masks = torch.zeros(len(counts), size * size, dtype=torch.bool)
    for mask, count in zip(masks, counts, strict=True):
        mask[ranking[:count]] = True
    return masks.reshape(-1, size, size)


def moved_region(masks: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """The masks mirrored left to right, then moved; what leaves the image at one side enters at the other.

    A region keeps its shape and its number of pixels.

    Args:
        masks: boolean (..., height, width).
        down, right: pixels by which the mask is moved.

    >>> moved_region(torch.tensor([[True, True, False], [True, False, False]]), down=1, right=0).int().tolist()
    [[0, 0, 1], [0, 1, 1]]
    """
    return masks.flip(-1).roll((down, right), dims=(-2, -1))


def mean_heatmaps(explanations: Explanations, labels: torch.Tensor) -> torch.Tensor:
    """Each class's mean heatmap over the studies that have the class, each map divided by its largest absolute value.

    Args:
        explanations: maps of studies that are not scored.
        labels: 0/1, (studies, classes), in the order of the maps.

    Returns:
        float32 (classes, rows, columns); NaN for a class that no study has.

    >>> import pandas as pd
    >>> maps = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 3.0]]]])
    >>> explained = Explanations(pd.DataFrame({"Mass": [0.9, 0.9]}), maps, input_size=2, identity="")
    >>> mean_heatmaps(explained, torch.tensor([[1], [1]])).tolist()
    [[[0.75, 1.0]]]
    """
    maps = explanations.maps
    largest = maps.abs().amax(dim=(-2, -1), keepdim=True)
    maps = maps / largest.where(largest > 0, torch.ones_like(largest))
    weights = labels.to(maps.dtype)
    return torch.einsum("nc,ncyx->cyx", weights, maps) / weights.sum(0)[:, None, None]
