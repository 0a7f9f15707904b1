"""Pixels taken out of every picture by a map, for networks that learn again without them (Hooker et al. 2019)."""

import torch
from torch.nn import functional

from cxrlib.explain.maps import normalise_maps, upscale

REMOVE, KEEP, MASK = "remove", "keep", "mask"


RANDOM, BLURRED, EDGES = "random", "random, 5 x 5 cells", "edges"


CONTROLS = (RANDOM, BLURRED, EDGES)
"""Maps that know nothing of the network: noise, noise of few cells, and the strength of the image's edges."""


BLURRED_CELLS = 5
"""Rows and columns of the blurred random map."""


def joint_map(maps: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """One map of an image: the mean of the maps of some classes, each divided by its maximum.

        m = 1/|C| sum_(c in C) max(L_c, 0) / max L_c,  C the classes, "No finding" included

    Each class counts alike, and the network's probabilities play no part. A value that is no number counts as 0.

    Args:
        maps: L, raw maps, float32 (n, classes, rows, columns); of signed maps the positive part counts.
        classes: C of each image, boolean (n, classes): all, or the image's labels.

    Returns:
        float32 (n, rows, columns) in 0..1; zeros for an image without a class.

    >>> maps = torch.tensor([[[[4.0, 2.0]], [[0.0, 3.0]], [[9.0, 9.0]]]])
    >>> joint_map(maps, torch.tensor([[True, True, False]])).tolist()
    [[[0.5, 0.75]]]
    """
    shares = normalise_maps(maps.nan_to_num(0, 0, 0).clamp(min=0))
    count = classes.sum(1).clamp(min=1).view(-1, 1, 1)
    return (shares * classes[:, :, None, None]).sum(1) / count


def control_map(control: str, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A map of one of CONTROLS for each image.

    Args:
        control: RANDOM: every pixel is drawn; BLURRED: 5 x 5 cells are drawn and upscaled; EDGES: Sobel's gradient
            magnitude, which needs no draw.
        images: uint8 (n, 1, size, size).
        generator: of the draws.

    Returns:
        float32 (n, size, size).

    Only the step between the second and the third column is an edge:

    >>> image = torch.tensor([[0, 0, 9, 9]], dtype=torch.uint8).expand(1, 1, 4, 4)
    >>> control_map(EDGES, image, torch.Generator())[0, 1].tolist()
    [0.0, 36.0, 36.0, 0.0]
    """
    n, _, height, width = images.shape
    if control == RANDOM:
        return torch.rand(n, height, width, generator=generator)
    if control == BLURRED:
        return upscale(torch.rand(n, BLURRED_CELLS, BLURRED_CELLS, generator=generator), height)
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    padded = functional.pad(images.float(), (1, 1, 1, 1), mode="replicate")
    x, y = (functional.conv2d(padded, kernel[None, None]) for kernel in (across, across.T))
    return (x.square() + y.square()).sqrt()[:, 0]


def top_of_each(maps: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Mask of exactly round(share * pixels) pixels of each map: the highest; of equal ones, those that are drawn.

    All methods take as many pixels, as the comparison needs. A map of zeros is a random one.

    Args:
        maps: float32 (n, height, width).
        share: fraction of the pixels.
        generator: of the draws.

    Returns:
        Boolean (n, height, width).

    >>> top_of_each(torch.tensor([[[3.0, 1.0], [2.0, 0.0]]]), 0.5, torch.Generator()).tolist()
    [[[True, False], [True, False]]]
    """
    flat = maps.flatten(1)
    drawn = torch.rand(flat.shape, generator=generator).argsort(dim=1)
    order = flat.gather(1, drawn).argsort(dim=1, descending=True, stable=True)
    chosen = drawn.gather(1, order[:, : round(share * flat.shape[1])])
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True).view_as(maps)


def taken_out(images: torch.Tensor, masks: torch.Tensor, mode: str) -> torch.Tensor:
    """Images without the pixels of a mask, or with nothing else.

    Args:
        images: uint8 (n, 1, h, w).
        masks: boolean (n, h, w).
        mode: REMOVE: the pixels of the mask become the image's mean; KEEP: all others do; MASK: the mask alone, white
            on black, which shows what its shape tells of the label.

    Returns:
        uint8 (n, 1, h, w).

    >>> image = torch.tensor([[[[1, 2, 6]]]], dtype=torch.uint8)
    >>> mask = torch.tensor([[[False, False, True]]])
    >>> [taken_out(image, mask, mode).flatten().tolist() for mode in (REMOVE, KEEP, MASK)]
    [[1, 2, 3], [3, 3, 6], [0, 0, 255]]
    """
    masks = masks[:, None]
    if mode == MASK:
        return masks.to(torch.uint8) * 255
    mean = images.float().mean((2, 3), keepdim=True).round().to(torch.uint8)
    return torch.where(masks if mode == REMOVE else ~masks, mean, images)
