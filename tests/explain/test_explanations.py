"""Stored maps and the maps of other methods beside them."""

import pandas as pd
import pytest
import torch

from cxrlib.explain.explanations import Explanations

IMAGES, CLASSES = ["x", "y", "z"], ["A", "B"]


@pytest.fixture
def explanations():
    probabilities = pd.DataFrame(torch.rand(3, 2).numpy(), pd.Index(IMAGES, name="image_id"), CLASSES)
    return Explanations(probabilities, torch.rand(3, 2, 4, 4), 32, "identity", "layer3")


def test_the_first_studies_keep_their_maps(explanations):
    two = explanations.first(2)
    assert two.probabilities.index.tolist() == ["x", "y"]
    assert torch.equal(two.map("y", "B"), explanations.map("y", "B"))
    assert len(explanations.first(99).maps) == 3


def test_another_methods_maps_stand_beside_the_same_probabilities(explanations):
    maps = torch.rand(2, 2, 4, 4)
    other = explanations.with_maps(maps, ["z", "x"])
    assert torch.equal(other.map("z", "A"), maps[0, 0]) and torch.equal(other.map("x", "B"), maps[1, 1])
    assert other.probabilities.loc["x"].equals(explanations.probabilities.loc["x"])
    assert (other.input_size, other.identity, other.layer) == (32, "identity", "layer3")
    assert explanations.with_maps(explanations.maps * 2).probabilities is explanations.probabilities


def test_random_maps_have_the_shape_of_the_others_and_a_seed(explanations):
    random = explanations.with_random_maps(seed=5)
    assert random.maps.shape == explanations.maps.shape and not torch.equal(random.maps, explanations.maps)
    assert torch.equal(random.maps, explanations.with_random_maps(5).maps)
    assert not torch.equal(random.maps, explanations.with_random_maps(6).maps)
