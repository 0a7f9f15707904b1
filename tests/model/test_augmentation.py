"""Batched transforms against torchvision's, image by image."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms import v2

from cxrlib.model.augmentation import draw_transforms, rotate, transform


@pytest.fixture(scope="module")
def images():
    """Smooth pictures, as radiographs are: one pixel further, the value hardly changes."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (6, 1, 8, 8), generator=generator).float()
    return torch.nn.functional.interpolate(coarse, (224, 224), mode="bilinear").to(torch.uint8)


def test_rotations_are_torchvisions(images):
    degrees = torch.tensor([-45.0, -10.5, -0.1, 0.0, 7.25, 45.0])
    found = rotate(images, degrees)
    assert found.dtype == torch.uint8
    expected = torch.stack([v2.functional.rotate(image, float(d)) for image, d in zip(images, degrees, strict=True)])
    # a source point that lies on the border of two pixels may fall to either
    assert (found != expected).float().mean() < 5e-4
    assert torch.equal(found[3], images[3])


def test_flips_come_before_rotations(images):
    flips, degrees = torch.tensor([True, False] * 3), torch.full((6,), 30.0)
    flipped = torch.stack([image.flip(-1) if flip else image for image, flip in zip(images, flips, strict=True)])
    assert torch.equal(transform(images, flips, degrees), rotate(flipped, degrees))
    assert torch.equal(transform(images, flips, torch.zeros(6)), flipped)


def test_draws_are_distributed_like_torchvisions():
    count = 20_000
    flips, degrees = draw_transforms(count, 0.3, 45.0, torch.Generator().manual_seed(0))
    assert flips.float().mean() == pytest.approx(0.3, abs=0.012)
    torch.manual_seed(0)
    theirs = v2.RandomRotation(45.0)
    angles = [theirs.make_params([])["angle"] for _ in range(2_000)]
    assert kstest(degrees.numpy(), angles).pvalue > 0.01
    assert np.corrcoef(flips, degrees)[0, 1] == pytest.approx(0, abs=0.03)
    assert not draw_transforms(9, 0.0, 0.0, torch.Generator().manual_seed(0))[0].any()


def test_whole_images_are_distributed_like_torchvisions(images):
    """Mean and spread of every pixel over many draws, against torchvision's own random transforms."""
    theirs = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomRotation(45)])
    torch.manual_seed(0)
    small = torch.nn.functional.interpolate(images[:1].float(), (24, 24)).to(torch.uint8)
    many = small.expand(3_000, -1, -1, -1)
    expected = torch.stack([theirs(image) for image in many]).float()
    found = transform(many, *draw_transforms(len(many), 0.5, 45.0, torch.Generator().manual_seed(1))).float()
    error = (expected.var(0) / 1_500).sqrt().clamp(min=0.5)
    assert ((found.mean(0) - expected.mean(0)).abs() / error).max() < 5
    assert (found.std(0) - expected.std(0)).abs().max() < 6
