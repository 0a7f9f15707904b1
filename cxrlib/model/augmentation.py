"""The thesis's random transforms (section 4.2), on a whole batch at once and on whatever device holds it."""

import torch
from torch.nn import functional


def draw_transforms(
    count: int, flip_probability: float, rotation_degrees: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random flips and angles, distributed as in torchvision's RandomHorizontalFlip and RandomRotation.

    Args:
        count: images.
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
    """Flip some images left to right, then rotate each: uint8 (n, 1, size, size) of `draw_transforms`'s n."""
    flipped = torch.where(flips.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)
    return rotate(flipped, degrees.to(images.device)) if degrees.any() else flipped


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotate each image about its centre, counter-clockwise; nearest pixel, black outside, as RandomRotation does.

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
