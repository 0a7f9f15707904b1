import cv2
import numpy as np
import pytest
import torch

from cxrlib.explain.maps import lung_shares, normalise_maps, peaks, random_maps, upscale


def test_normalised_maps_reach_one_and_empty_ones_stay_empty():
    maps = torch.tensor([[[1.0, 2], [0, 4]], [[0, 0], [0, 0]]])
    assert normalise_maps(maps).tolist() == [[[0.25, 0.5], [0, 1]], [[0, 0], [0, 0]]]


def test_upscaling_is_bilinear_as_opencvs():
    maps = torch.rand(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    large = upscale(maps, 50)
    assert large.shape == (2, 3, 50, 50)
    for small, found in zip(maps.flatten(0, 1).numpy(), large.flatten(0, 1).numpy(), strict=True):
        np.testing.assert_allclose(found, cv2.resize(small, (50, 50), interpolation=cv2.INTER_LINEAR), atol=1e-5)
    torch.testing.assert_close(upscale(maps[0, 0], 50), large[0, 0])


def test_no_map_at_all_stays_none():
    assert upscale(torch.zeros(0, 7, 7), 224).shape == (0, 224, 224)
    assert lung_shares(torch.zeros(0, 7, 7), 224).shape == peaks(torch.zeros(0, 7, 7)).shape == (0, 2)


def test_random_maps_are_uniform_positive_and_seeded():
    maps = random_maps((200, 7, 7), seed=0)
    assert 0 < maps.min() < 0.01
    assert 0.99 < maps.max() < 1
    assert float(maps.mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(maps, random_maps((200, 7, 7), seed=0))
    assert not torch.equal(maps, random_maps((200, 7, 7), seed=1))


def test_lung_shares_of_even_one_sided_and_empty_maps():
    even, right = torch.ones(20, 20), torch.zeros(20, 20)
    right[3:15, 11:18] = 1
    shares = lung_shares(torch.stack([even, right, torch.zeros(20, 20)]), 20)
    assert shares.numpy() == pytest.approx(np.array([[0.21, 0.21], [0, 1], [0, 0]]))
    assert lung_shares(right.flip(1)[None], 20)[0].tolist() == pytest.approx([1, 0])


def test_peaks_are_cell_centres_as_fractions_of_the_image():
    maps = torch.zeros(2, 4, 4)
    maps[0, 1, 2] = maps[1, 3, 0] = 1
    assert peaks(maps).tolist() == [[2.5 / 4, 1.5 / 4], [0.5 / 4, 3.5 / 4]]
    assert peaks(torch.zeros(1, 4, 4)).isnan().all()
