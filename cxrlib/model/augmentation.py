"""The thesis's random transforms (section 4.2), on a whole batch at once, on the device of the batch."""

import torch
from torch.nn import functional


def draw_transforms(
    count: int, flip_probability: float, rotation_degrees: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random flips and angles, distributed as in torchvision's RandomHorizontalFlip and RandomRotation.

    An image is flipped with the probability p; its angle is `(2 u - 1) * rotation_degrees`, u uniform in 0..1.

    >>> flips, degrees = draw_transforms(1000, 0.5, 45.0, torch.Generator().manual_seed(0))
    >>> bool(0.45 < flips.float().mean() < 0.55), bool(degrees.abs().max() <= 45)
    (True, True)

    Args:
        count: number of images.
        flip_probability: 0 to 1.
        rotation_degrees: angles are uniform between minus and plus this.
        generator: on the CPU; the draws do not depend on the device.

    Returns:
        Flips, boolean (count,), and angles in degrees, float32 (count,), on the CPU.
    """
    flips = torch.rand(count, generator=generator) < flip_probability
    degrees = (torch.rand(count, generator=generator) * 2 - 1) * rotation_degrees
    return flips, degrees


def transform(images: torch.Tensor, flips: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Flip some images left to right, then rotate each with `rotate`.

    >>> image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    >>> transform(image, torch.tensor([True]), torch.tensor([90.0]))  # flipped to [[2 1] [4 3]], then rotated
    tensor([[[[1, 3],
              [2, 4]]]], dtype=torch.uint8)

    Args:
        images: uint8 (n, 1, size, size).
        flips: boolean (n,).
        degrees: float32 (n,).
    """
    flipped = torch.where(flips.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)
    return rotate(flipped, degrees.to(images.device)) if degrees.any() else flipped


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotate each image about its centre, counter-clockwise, as torchvision's RandomRotation does.

    Every pixel takes the value of the nearest pixel at its place in the unrotated image, and 0 where that place is
    outside. With x and y from -1 to 1 the place is `(cos(a) x - sin(a) y, sin(a) x + cos(a) y)`.

    >>> rotate(torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8), torch.tensor([90.0]))
    tensor([[[[2, 4],
              [1, 3]]]], dtype=torch.uint8)

    Args:
        images: uint8 (n, 1, size, size).
        degrees: float32 (n,).
    """
    size = images.shape[-1]
    angles = torch.deg2rad(degrees)[:, None, None]
    cosine, sine = angles.cos(), angles.sin()
    steps = (torch.arange(size, device=images.device) * 2 + 1) / size - 1
    x, y = steps.view(1, 1, -1), steps.view(1, -1, 1)
    source = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)
    return functional.grid_sample(images.float(), source, mode="nearest", align_corners=False).to(images.dtype)
