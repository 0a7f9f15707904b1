"""The loss term for maps outside of readers' boxes: by hand, and what it does to a tiny network."""

import pytest
import torch
from fixtures import SmallNet
from torch import nn

from cxrlib.model.networks import normalise
from cxrlib.model.outside_boxes import OutsideBoxes, outside_share
from cxrlib.model.training import Recipe, train
from cxrlib.runtime.errors import Refusal

NO_TRANSFORM = torch.tensor([False]), torch.tensor([0.0])


def test_the_mean_is_over_boxed_findings_with_a_half_covered_cell():
    maps = torch.tensor([[[[2.0, 2.0, -9.0]], [[1.0, 0.0, 0.0]]], [[[-1.0, -1.0, -1.0]], [[7.0, 7.0, 7.0]]]])
    covers = torch.tensor([[[[1.0, 0.5, 0.0]], [[0.0, 1.0, 0.0]]], [[[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]]])
    # (2 * 0.5) / 4, all of 1, nothing positive, no box
    assert outside_share(maps, covers).item() == pytest.approx((0.25 + 1 + 0) / 3)
    assert outside_share(maps, torch.zeros_like(covers)).item() == 0


def test_the_gradient_by_hand():
    """f = outside / total; df/dm = (1 - f) / total outside of the boxes, -f / total inside, 0 below zero."""
    maps = torch.tensor([[[[3.0, 1.0, -5.0]]]], requires_grad=True)
    outside_share(maps, torch.tensor([[[[1.0, 0.0, 0.0]]]])).backward()
    assert maps.grad.flatten().tolist() == pytest.approx([-0.25 / 4, 0.75 / 4, 0])


def test_the_map_is_the_head_on_the_features_and_boxes_turn_with_the_picture():
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    network[0].weight.data, network[3].weight.data = torch.ones(1, 3, 1, 1), torch.tensor([[2.0], [-1.0]])
    covers = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
    covers[0, :, :, :2] = 255  # the left half
    term = OutsideBoxes(network, "0", covers, weight=10.0)
    picture = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]]).expand(1, 3, 2, 2)
    network(picture)
    # class 0: a quarter on the left, three on the right; class 1: no positive cell
    assert term(torch.tensor([0]), *NO_TRANSFORM).item() == pytest.approx(10 * 0.75 / 2)
    assert term(torch.tensor([0]), torch.tensor([True]), torch.tensor([0.0])).item() == pytest.approx(10 * 0.25 / 2)


def test_a_network_without_a_closed_form_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(32, 2))
    with pytest.raises(Refusal, match="no map in closed form at 0"):
        OutsideBoxes(network, "0", torch.zeros(1, 2, 4, 4, dtype=torch.uint8), 1.0)


def toy():
    """Two bright spots tell the label; the box is around the upper left one alone."""
    random = torch.Generator().manual_seed(0)
    targets = (torch.arange(48) % 2).float()[:, None].repeat(1, 2)
    targets[:, 1] = 1 - targets[:, 0]
    images = torch.randint(0, 60, (48, 1, 16, 16), generator=random)
    for corner in (slice(1, 6), slice(10, 15)):
        images[:, :, corner, corner] += (120 * targets[:, 0]).long().view(-1, 1, 1, 1)
    covers = torch.zeros(48, 2, 16, 16, dtype=torch.uint8)
    covers[targets[:, 0] > 0, 0, :8, :8] = 255
    return images.to(torch.uint8), targets, covers


def trained(weight):
    images, targets, covers = toy()
    network = SmallNet(2)
    term = None if weight is None else OutsideBoxes(network, "second", covers, weight)
    recipe = Recipe(epochs=10, batch_size=12, learning_rate=0.1, flip_probability=0.0, rotation_degrees=5.0, seed=1)
    history = train(network, (images, targets), (images, targets), recipe, lambda *_: None, further_loss=term)
    network.eval()
    probe = OutsideBoxes(network, "second", covers, 1.0)
    with torch.no_grad():
        network(normalise(images))
        no_turn = torch.zeros(48, dtype=torch.bool), torch.zeros(48)
        return network, history, probe(torch.arange(48), *no_turn).item()


@pytest.fixture(scope="module")
def found():
    return {weight: trained(weight) for weight in (None, 0.0, 3.0)}


def test_the_mass_outside_of_the_boxes_falls_and_the_label_is_still_learned(found):
    outside = {weight: share for weight, (*_, share) in found.items()}
    assert outside[None] > 0.3 and outside[3.0] < outside[None] / 2
    assert found[3.0][1]["valid_loss"].iloc[-1] < 0.5 * found[3.0][1]["valid_loss"].iloc[0]


def test_a_weight_of_zero_gives_the_same_bytes_as_no_penalty(found):
    (plain, history, _), (zero, other, _) = found[None], found[0.0]
    assert history.equals(other)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, zero.state_dict()[name]), name
