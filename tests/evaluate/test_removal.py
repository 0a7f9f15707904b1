"""Pixels taken out by a map, by hand; and networks that learn again without the pixels that one reads."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from torch import nn

from cxrlib.evaluate.removal import (
    BLURRED,
    EDGES,
    KEEP,
    MASK,
    RANDOM,
    REMOVE,
    control_map,
    joint_map,
    taken_out,
    top_of_each,
)
from cxrlib.evaluate.retrained import metric_samples
from cxrlib.model.inference import predict
from cxrlib.model.training import Recipe, train


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_map_of_several_labels_is_the_mean_of_their_normalised_positive_parts():
    maps = torch.tensor([[[[4.0, -2.0, 1.0]], [[0.0, 0.0, 0.0]], [[1.0, 5.0, float("nan")]]]]).expand(3, -1, -1, -1)
    labels = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    assert joint_map(maps, labels)[:, 0].tolist() == [[0.6000000238418579, 0.5, 0.125], [0, 0, 0], [0, 0, 0]]


def test_exactly_as_many_pixels_whatever_the_map_and_the_highest_of_them():
    random = torch.rand(4, 10, 10, generator=seeded())
    sparse = torch.zeros(4, 10, 10)
    sparse[:, 2, 3] = 1
    for maps in (random, sparse, torch.zeros(4, 10, 10), torch.ones(4, 10, 10)):
        assert top_of_each(maps, 0.3, seeded()).sum((1, 2)).tolist() == [30] * 4
    expected = random >= random.flatten(1).sort(descending=True).values[:, 29].view(-1, 1, 1)
    assert torch.equal(top_of_each(random, 0.3, seeded()), expected)
    assert top_of_each(sparse, 0.3, seeded())[:, 2, 3].all()


def test_among_equal_pixels_every_one_is_drawn_as_often():
    chosen = top_of_each(torch.zeros(2000, 4, 4), 0.25, seeded()).float().mean(0)
    assert chosen.min() > 0.2 and chosen.max() < 0.3
    one, same, other = (top_of_each(torch.zeros(9, 8, 8), 0.5, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_known_set_of_pixels_is_removed_kept_or_shown():
    image = torch.tensor([[[[0, 8], [16, 40]]]], dtype=torch.uint8)  # mean 16
    mask = torch.tensor([[[True, False], [False, True]]])
    assert taken_out(image, mask, REMOVE).flatten().tolist() == [16, 8, 16, 16]
    assert taken_out(image, mask, KEEP).flatten().tolist() == [0, 16, 16, 40]
    assert taken_out(image, mask, MASK).flatten().tolist() == [255, 0, 0, 255]


def test_edges_are_those_of_scipy():
    image = torch.randint(0, 256, (1, 1, 9, 9), dtype=torch.uint8, generator=seeded())
    one = image[0, 0].numpy().astype(float)
    expected = np.hypot(ndimage.sobel(one, 0, mode="nearest"), ndimage.sobel(one, 1, mode="nearest"))
    np.testing.assert_allclose(control_map(EDGES, image, seeded())[0], expected, rtol=1e-5)


def test_random_cells_are_as_blurry_as_a_map_of_few_cells_and_pixels_are_not():
    images = torch.zeros(20, 1, 40, 40, dtype=torch.uint8)
    steps = {name: control_map(name, images, seeded()).diff(dim=2).abs().mean() for name in (RANDOM, BLURRED)}
    assert steps[BLURRED] < steps[RANDOM] / 4
    assert not torch.equal(control_map(BLURRED, images, seeded(1)), control_map(BLURRED, images, seeded(2)))


SIDE, REGION, SHARE = 8, (slice(2, 4), slice(3, 7)), 8 / 64
SIGNS = torch.tensor([[1, -1, 1, -1], [-1, 1, -1, 1]]).numpy()
"""A pattern that leaves the picture's mean alone: removed pixels become the mean, which must not tell the label."""


def pictures(n, seed):
    """Noise; where the label is given, four pixels are brighter and four darker."""
    random = np.random.default_rng(seed)
    targets = (np.arange(n) % 2).astype(np.float32)
    images = random.integers(60, 140, (n, 1, SIDE, SIDE))
    images[:, :, *REGION] += (50 * targets.astype(int))[:, None, None, None] * SIGNS
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(targets)[:, None]


def linear(train_set, valid_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 1))
    recipe = Recipe(epochs=6, learning_rate=0.01, flip_probability=0.0, rotation_degrees=0.0)
    train(network, train_set, valid_set, recipe, lambda *_: None)
    return network.eval()


def auroc(network, images, targets):
    probabilities = pd.DataFrame(predict(network, images, 64).numpy(), columns=["A"])
    return metric_samples(pd.DataFrame(targets.numpy(), columns=["A"]), probabilities, np.ones((1, len(images))))[0, 1]


@pytest.fixture(scope="module")
def aurocs():
    """AUROC of linear networks that learned from whole pictures, and without eight pixels by gradient or by chance."""
    sets = {name: pictures(n, seed) for seed, (name, n) in enumerate({"train": 160, "valid": 40, "test": 80}.items())}
    whole = linear(sets["train"], sets["valid"])
    gradient = whole[1].weight.detach().view(3, SIDE, SIDE).abs().sum(0)
    found = {"whole": auroc(whole, *sets["test"])}
    for name, mode in (("gradient", REMOVE), (RANDOM, REMOVE), ("gradient", KEEP), (RANDOM, KEEP)):
        without = {}
        for split, (images, targets) in sets.items():
            generator = seeded(len(split))
            own = gradient.expand(len(images), -1, -1)
            maps = control_map(RANDOM, images, generator) if name == RANDOM else own
            without[split] = taken_out(images, top_of_each(maps, SHARE, generator), mode), targets
        found[name, mode] = auroc(linear(without["train"], without["valid"]), *without["test"])
    return found


def test_without_the_pixels_that_a_linear_network_reads_another_learns_nothing_and_without_others_it_does(aurocs):
    assert aurocs["whole"] > 0.97
    assert aurocs["gradient", REMOVE] < 0.65
    assert aurocs[RANDOM, REMOVE] > 0.95


def test_the_pixels_that_it_reads_suffice_and_others_do_not(aurocs):
    assert aurocs["gradient", KEEP] > 0.95
    assert aurocs[RANDOM, KEEP] < 0.85
