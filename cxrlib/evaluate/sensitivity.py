"""Max-sensitivity (Yeh et al. 2019, arXiv:1901.09392): how far a map changes with noise that nobody sees."""

import torch


def noisy(images: torch.Tensor, radius: float, samples: int, seed: int) -> torch.Tensor:
    """Copies of images with uniform noise in -r..r, r = radius * (max x - min x) of each image.

    Args:
        images: x, float32 (n, c, h, w).
        radius: fraction of an image's range.
        samples: copies of each image.
        seed: same seed, same noise.

    Returns:
        float32 (samples, n, c, h, w).

    >>> copies = noisy(torch.tensor([[[[0.0, 10.0]]]]), radius=0.1, samples=50, seed=0)
    >>> bool(((copies[..., 0].abs() <= 1) & ((copies[..., 1] - 10).abs() <= 1)).all())
    True
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = 2 * torch.rand(samples, *images.shape, generator=generator).to(images.device) - 1
    reach = images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True)
    return images + radius * reach * drawn


def relative_change(maps: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How far maps are from others, in units of their own size.

        ||M' - M|| / ||M||,  ||M|| = sqrt(sum_ij M_ij^2)

    Max-sensitivity is its maximum over noisy copies of the image.

    Args:
        maps: M, float32 (n, rows, columns).
        others: M', of that shape.

    Returns:
        float64 (n,); NaN for a map of zeros.

    >>> relative_change(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[3.0, 9.0]]])).tolist()
    [1.0]
    """
    size = maps.double().flatten(1).norm(dim=1)
    return (others.double() - maps.double()).flatten(1).norm(dim=1) / size.where(size > 0, torch.nan)
