"""Raw maps at the resolution of a layer: brought to a common scale and to pixels."""

import torch
from torch.nn import functional


def normalise_maps(maps: torch.Tensor) -> torch.Tensor:
    """Divide each map (..., rows, columns) by its maximum; a map of zeros stays zero."""
    highest = maps.amax(dim=(-2, -1), keepdim=True)
    return maps / highest.where(highest > 0, torch.ones_like(highest))


def upscale(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear upscaling of maps (..., rows, columns) to (..., size, size) pixels."""
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    return functional.interpolate(flat, (size, size), mode="bilinear").reshape(*maps.shape[:-2], size, size)


def random_maps(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Maps of uniform noise in (0, 1) at the resolution of a layer: what an explanation that knows nothing looks like.

    Args:
        shape: (..., rows, columns).
        seed: same seed, same maps.
    """
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).clamp_min(1e-6)
