"""Infidelity and max-sensitivity beside captum, c-Eval by hand, and both as cases."""

import pandas as pd
import pytest
import torch
from fixtures import CountedForwards, SmallNet
from torch import nn

from cxrlib.evaluate.ceval import least_change
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.fidelity import fidelity_cases
from cxrlib.evaluate.infidelity import falls_by_removal, infidelity, removed_squares
from cxrlib.evaluate.sensitivity import noisy, relative_change
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.gradients import input_x_gradient
from cxrlib.model.networks import normalise

SIZE = 12
GREY = torch.randint(0, 256, (3, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture
def network():
    return SmallNet().eval().requires_grad_(False)


def test_infidelity_is_captum_s(network):
    metrics = pytest.importorskip("captum.metrics")
    squares = removed_squares(16, SIZE, seed=1)
    falls = falls_by_removal(network, GREY, squares, batch_size=5)
    for row, grey in enumerate(GREY):
        mean = grey.float().mean().round().to(grey.dtype)
        versions = normalise(torch.where(squares[:, None], mean, grey))
        masks = squares[:, None].expand(-1, 3, -1, -1).float()
        spread = torch.rand(1, 1, SIZE, SIZE).expand(-1, 3, -1, -1) / 3  # a map, shared by three channels
        expected = metrics.infidelity(
            network,
            lambda *_, found=(masks, versions): found,
            normalise(grey[None]),
            spread,
            target=1,
            n_perturb_samples=16,
            normalize=True,
        )
        assert infidelity(spread.sum(1), squares, falls[[row], 1]).item() == pytest.approx(expected.item(), rel=1e-4)


def test_all_classes_and_methods_share_the_passes(network):
    with CountedForwards(network) as counted:
        falls = falls_by_removal(network, GREY, removed_squares(10, SIZE, 0), batch_size=4)
    assert falls.shape == (3, 3, 10) and len(counted.images) == 3 * 11


def test_squares_lie_in_the_image_and_reach_its_edges():
    squares = removed_squares(300, 20, seed=0)
    sides = squares.any(2).sum(1)
    assert torch.equal(squares.sum((1, 2)), sides**2) and sides.min() == 2 and sides.max() == 8
    assert squares[:, 0].any() and squares[:, -1].any() and squares[:, :, -1].any()
    assert torch.equal(squares, removed_squares(300, 20, seed=0))


def test_a_constant_map_has_no_infidelity_and_the_opposite_of_the_right_one_says_nothing():
    squares, falls = removed_squares(5, 8, 0), torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    right = torch.arange(64.0).view(8, 8)
    falls[2:] = squares.flatten(1).float() @ right.flatten()
    found = infidelity(torch.stack([torch.zeros(8, 8), torch.ones(8, 8), right, -right]), squares, falls)
    assert found.isnan().tolist() == [True, True, False, False]
    assert found[2] == pytest.approx(0, abs=1e-3) and found[3] == pytest.approx(falls[3].square().mean().item())


def test_max_sensitivity_is_captum_s(network):
    metrics = pytest.importorskip("captum.metrics")
    images = normalise(GREY)
    copies = noisy(images, radius=0.05, samples=4, seed=3)
    before = input_x_gradient(network, images, [1])[:, 0]
    found = torch.stack([relative_change(before, input_x_gradient(network, copy, [1])[:, 0]) for copy in copies])
    for row, image in enumerate(images):
        expected = metrics.sensitivity_max(
            lambda inputs: (input_x_gradient(network, inputs if torch.is_tensor(inputs) else inputs[0], [1]),),
            image[None],
            perturb_func=lambda *_, found=copies[:, row]: found,
            n_perturb_samples=4,
        )
        assert found[:, row].max().item() == pytest.approx(expected.item(), rel=1e-4)


def test_noise_is_relative_to_the_range_of_each_image():
    images = torch.tensor([[[[0.0, 1.0]]], [[[0.0, 100.0]]]])
    noise = noisy(images, radius=0.1, samples=200, seed=0) - images
    assert noise[:, 0].abs().max().item() == pytest.approx(0.1, abs=0.005)
    assert noise[:, 1].abs().max().item() == pytest.approx(10, abs=0.5)
    assert relative_change(torch.zeros(1, 2, 2), torch.ones(1, 2, 2)).isnan().all()


def test_the_least_change_of_a_linear_network_is_its_distance():
    """|y - t| / ||g|| of the allowed pixels: (5 - 1) / 5 and (5 - 1) / 13; where nothing is allowed there is none."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    linear[1].weight.data, linear[1].bias.data = torch.tensor([[3.0, 4.0, 12.0]]), torch.tensor([5.0])
    allowed = torch.tensor([[[True, True, False]], [[True, True, True]], [[False, False, False]]])
    found = least_change(linear, torch.zeros(3, 1, 1, 3), torch.zeros(3, dtype=torch.long), allowed, 1.0)
    for value, exact in zip(found[:2].tolist(), (4 / 5, 4 / 13), strict=True):
        assert exact < value < 1.04 * exact
    assert found[2].isnan()


class Parabola(nn.Module):
    """1 - x^2 of the only pixel; its weight is there to say where the network lies."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        return 1 - self.weight * inputs.flatten(1) ** 2


def test_the_way_back_is_halved_where_a_step_goes_too_far():
    """From 0.1 the first step goes beyond 5; the threshold is crossed at 1."""
    allowed = torch.ones(1, 1, 1, dtype=torch.bool)
    found = least_change(Parabola(), torch.full((1, 1, 1, 1), 0.1), torch.tensor([0]), allowed, 0.0)
    assert 0.9 < found.item() < 1.0


def test_only_the_allowed_pixels_change_and_the_prediction_does(network):
    images, allowed = normalise(GREY), torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(5)) > 0.3
    logits = network(images)[:, 2]
    threshold = logits.min().item() - 0.05
    with CountedForwards(network) as counted:
        found = least_change(network, images, torch.tensor([2, 2, 2]), allowed, threshold)
    changes = torch.stack(counted.batches) - images
    assert changes.abs().amax((0, 2))[~allowed].max() == 0 and changes[-1].any()
    norms = changes.flatten(2).norm(dim=2)
    flipped = torch.stack([network(images + change)[:, 2] for change in changes]) < threshold
    assert torch.allclose(norms.where(flipped, torch.inf).amin(0), found, rtol=0.05)
    alone = least_change(network, images[1:2], torch.tensor([2]), allowed[1:2], threshold)
    assert alone.item() == pytest.approx(found[1].item(), rel=1e-4)


def explained(maps, probability=0.9):
    index = pd.Index(["a", "b", "c"], name="image_id")
    return Explanations(pd.DataFrame(probability, index, ["A", "B", "C"]), maps, SIZE, "")


def test_cases_of_both_measures_stand_in_the_common_form(network):
    cases = pd.DataFrame({"image_id": ["a", "c", "a"], "class_name": ["B", "A", "B"]})
    maps = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    methods = {"CAM": explained(maps), "nothing": explained(torch.zeros(3, 3, SIZE, SIZE))}
    found = fidelity_cases(network, GREY, methods, cases, 0.5, 8, 0, 16)
    assert found.columns.tolist() == CASE_COLUMNS and len(found) == 2 * 2 * 2  # a case that stands twice counts once
    cam, nothing = (found[found["method"] == name] for name in methods)
    assert (cam.loc[cam["measure"] == "infidelity", "score"] <= 0).all()
    assert nothing["score"].isna().all() and cam["control_score"].notna().any()
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_what_is_not_predicted_cannot_be_undone_and_no_case_gives_no_row(network):
    maps = torch.rand(3, 3, 2, 2)
    cases = pd.DataFrame({"image_id": ["a"], "class_name": ["B"]})
    found = fidelity_cases(network, GREY, {"CAM": explained(maps, 0.1)}, cases, 0.5, 8, 0, 16)
    assert found["measure"].tolist() == ["infidelity"]
    assert fidelity_cases(network, GREY, {"CAM": explained(maps)}, cases[:0], 0.5, 8, 0, 16).empty
    assert fidelity_cases(network, GREY, {}, cases, 0.5, 8, 0, 16).columns.tolist() == CASE_COLUMNS
