"""Infidelity (Yeh et al. 2019, arXiv:1901.09392): do the removed values add up to the fall of the logit?"""

import torch
from torch import nn

from cxrlib.explain.maps import upscale
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.networks import device_of, normalise
from cxrlib.runtime.progress import progress

LEAST, MOST = 0.1, 0.4
"""Sides of the removed squares as fractions of the image's."""


def removed_squares(count: int, size: int, seed: int) -> torch.Tensor:
    """Random squares, of sides and places that are uniformly drawn; they lie within the image.

    Args:
        count: of the squares.
        size: side of the image in pixels.
        seed: same seed, same squares.

    Returns:
        bool (count, size, size), True inside.

    >>> squares = removed_squares(20, 50, seed=0)
    >>> sides = squares.sum((1, 2)).sqrt()
    >>> squares.shape, bool((sides >= 5).all() and (sides <= 20).all())
    (torch.Size([20, 50, 50]), True)
    """
    generator = torch.Generator().manual_seed(seed)
    least, most = max(1, round(LEAST * size)), max(1, round(MOST * size))
    sides = torch.randint(least, most + 1, (count,), generator=generator)
    corners = (torch.rand(count, 2, generator=generator) * (size - sides + 1)[:, None]).long()
    place = torch.arange(size)
    inside = [(place >= corner[:, None]) & (place < (corner + sides)[:, None]) for corner in corners.unbind(1)]
    return inside[0][:, :, None] & inside[1][:, None, :]


def falls_by_removal(
    network: nn.Module, images: torch.Tensor | StoredInputs, squares: torch.Tensor, batch_size: int
) -> torch.Tensor:
    """How far every logit falls where a square becomes the image's mean: len(squares) + 1 passes an image.

    All classes and all methods share these passes.

    Args:
        network: in evaluation mode, logits (n, classes).
        images: uint8 (n, 1, h, w) in the network's frame.
        squares: from `removed_squares`.
        batch_size: images per forward pass.

    Returns:
        float32 (n, classes, squares) on the CPU.

    The network adds up the pixels of the first channel; the mean of 0 and 255 is 128 (rounded):

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(6, 1, bias=False))
    >>> network[1].weight.data = torch.tensor([[0.229, 0.229, 0, 0, 0, 0]])
    >>> images = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    >>> falls_by_removal(network, images, torch.tensor([[[True, False]], [[False, True]]]), 8).numpy().round(2).tolist()
    [[[-0.5, 0.5]]]
    """
    device, falls = device_of(network), []
    loaded = load_batches(images, torch.arange(len(images)).split(1), device)
    squares = squares.to(device)
    with torch.inference_mode():
        for (image,) in progress(loaded, "removing squares", "image", len(images)):
            mean = image.float().mean().round().to(image.dtype)
            versions = torch.cat([image[None], torch.where(squares[:, None], mean, image)])
            logits = torch.cat([network(normalise(part)) for part in versions.split(batch_size)])
            falls.append((logits[0] - logits[1:]).T.cpu())
    return torch.stack(falls) if falls else torch.zeros(0, 0, len(squares))


def infidelity(maps: torch.Tensor, squares: torch.Tensor, falls: torch.Tensor) -> torch.Tensor:
    """Mean squared difference between what a map says of each square and how far the logit falls without it.

        mean_s (b sum_(ij in s) M_ij - fall_s)^2,  b = max(0, sum_s m_s fall_s / sum_s m_s^2),  m_s = sum_(ij in s) M_ij

    The factor b is the best one that keeps the map's sign, since the units of most maps are arbitrary; a map that
    explains nothing, or says the opposite, has the mean of fall^2. A square counts as removed whatever stood there, so
    that a map should hold contributions; a gradient is none, and is scored all the same.

    Args:
        maps: M, raw, float32 (n, rows, columns).
        squares: from `removed_squares`; maps are upscaled to their frame.
        falls: of the logit that each map explains, (n, squares).

    Returns:
        float64 (n,), in squared units of the logit; NaN where a map is constant or holds a value that is no number.

    The left half says 1 and the right half 3; the falls are 2 and 6:

    >>> halves = torch.tensor([[[True, False]] * 2, [[False, True]] * 2])
    >>> infidelity(torch.tensor([[[1.0, 3.0]] * 2]), halves, torch.tensor([[2.0, 6.0]])).tolist()
    [0.0]
    """
    large = upscale(maps.float(), squares.shape[-1]).double()
    said = large.flatten(1) @ squares.flatten(1).double().T
    falls = falls.double()
    size = said.square().sum(1, keepdim=True)
    factor = ((said * falls).sum(1, keepdim=True) / size.where(size > 0, torch.nan)).clamp(min=0)
    return (factor * said - falls).square().mean(1).where(says_something(maps), torch.nan)


def says_something(maps: torch.Tensor) -> torch.Tensor:
    """Which maps (n, rows, columns) are not constant, bool (n,).

    >>> says_something(torch.tensor([[[1.0, 1.0]], [[1.0, 2.0]]])).tolist()
    [False, True]
    """
    return maps.flatten(1).amax(1) > maps.flatten(1).amin(1) if len(maps) else torch.zeros(0, dtype=torch.bool)
