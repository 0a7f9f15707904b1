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

    >>> flips, degrees = draw_transforms(4, 1.0, 45.0, torch.Generator().manual_seed(0))
    >>> flips.tolist(), bool((degrees.abs() <= 45).all())
    ([True, True, True, True], True)
    """
    flips = torch.rand(count, generator=generator) < flip_probability
    degrees = (torch.rand(count, generator=generator) * 2 - 1) * rotation_degrees
    return flips, degrees


def transform(images: torch.Tensor, flips: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Flip some images left to right, then rotate each.

    Args:
        images: uint8 (n, 1, size, size).
        flips, degrees: from `draw_transforms`, for n images.

    Returns:
        uint8 (n, 1, size, size) on the device of `images`.

    >>> image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    >>> transform(image, torch.tensor([True]), torch.tensor([90.0])).tolist()  # [[2, 1], [4, 3]], turned to the left
    [[[[1, 3], [2, 4]]]]
    """
    flipped = torch.where(flips.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)
    return rotate(flipped, degrees.to(images.device)) if degrees.any() else flipped


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotate each image about its centre, counter-clockwise: nearest pixel, black outside, as RandomRotation does.

        (x, y) takes the pixel at (x cos a - y sin a, x sin a + y cos a), measured from the centre, y downwards

    Args:
        images: uint8 (n, 1, size, size).
        degrees: a, float32 (n,), on the same device.

    Returns:
        uint8 (n, 1, size, size).

    >>> rotate(torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8), torch.tensor([90.0])).tolist()
    [[[[2, 4], [1, 3]]]]
    """
    size = images.shape[-1]
    angles = torch.deg2rad(degrees)[:, None, None]
    cosine, sine = angles.cos(), angles.sin()
    steps = (torch.arange(size, device=images.device) * 2 + 1) / size - 1
    x, y = steps.view(1, 1, -1), steps.view(1, -1, 1)
    source = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)
    return functional.grid_sample(images.float(), source, mode="nearest", align_corners=False).to(images.dtype)
