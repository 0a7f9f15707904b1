import cv2
import pytest
import torch
from fixtures import CountedForwards, SmallNet

from cxrlib.explain.rise import random_grids, rise, smooth_masks

SIZE = (20, 26)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)) + 0.5


def loop_masks(n_masks, cells, p, seed):
    """The masks one by one, upscaled by OpenCV to cells of ceil(side / cells) pixels."""
    grids, shifts = random_grids(n_masks, cells, p, SIZE, seed)
    high, wide = -(-SIZE[0] // cells), -(-SIZE[1] // cells)
    for grid, (down, right) in zip(grids, shifts.tolist(), strict=True):
        large = cv2.resize(grid.numpy(), ((cells + 1) * wide, (cells + 1) * high), interpolation=cv2.INTER_LINEAR)
        yield torch.from_numpy(large[down : down + SIZE[0], right : right + SIZE[1]].copy())


@pytest.mark.parametrize(("cells", "p"), [(7, 0.5), (3, 0.2)])
def test_the_papers_sum_mask_by_mask(images, cells, p):
    network = SmallNet().eval()
    found = rise(network, images, [0, 2], n_masks=23, cells=cells, p=p, seed=5, batch_size=4)
    for number, image in enumerate(images):
        total = torch.zeros(2, *SIZE)
        for mask in loop_masks(23, cells, p, seed=5):
            with torch.no_grad():
                probabilities = network((image * mask)[None])[0].sigmoid()
            total += probabilities[[0, 2], None, None] * mask
        torch.testing.assert_close(found[number], total / (23 * p), atol=1e-5, rtol=1e-4)


def test_masks_come_from_the_seed_and_not_from_the_batch(images):
    def masked(**values):
        with CountedForwards(network) as forwards:
            rise(network, torch.ones_like(images[:1]), n_masks=11, **values)
        return forwards.images

    network = SmallNet()
    assert torch.equal(masked(batch_size=4), masked(batch_size=11))
    assert not torch.equal(masked(seed=1), masked(seed=2))
    assert len({mask.sum().item() for mask in masked()}) == 11


def test_masks_keep_the_share_p_and_are_shifted_by_less_than_a_cell():
    grids, shifts = random_grids(4000, 7, 0.3, (224, 112), seed=0)
    assert float(grids.mean()) == pytest.approx(0.3, abs=0.01)
    assert shifts.amin(0).tolist() == [0, 0] and shifts.amax(0).tolist() == [31, 15]
    masks = smooth_masks(grids[:50], shifts[:50], (224, 112))
    assert masks.shape == (50, 224, 112) and float(masks.mean()) == pytest.approx(0.3, abs=0.03)


def test_a_spot_that_the_class_needs_stands_out():
    class Spot(torch.nn.Module):
        def forward(self, images):
            return 8 * images[:, :, 10:14, 16:20].mean((2, 3)) - 4

    found = rise(Spot(), torch.ones(1, 1, *SIZE), n_masks=500)[0, 0]
    row, column = divmod(int(found.argmax()), SIZE[1])
    assert 9 <= row <= 14 and 15 <= column <= 20


@pytest.mark.parametrize("values", [{"n_masks": 0}, {"cells": 0}, {"p": 0.0}, {"p": 1.5}])
def test_what_gives_no_mask_is_refused(images, values):
    with pytest.raises(ValueError, match="rise: n_masks=.* and cells=.* must be at least 1"):
        rise(SmallNet(), images, **values)
