import warnings

import pytest
import torch
from captum.attr import IntegratedGradients
from fixtures import SmallNet, assert_same_maps
from torch import nn

from cxrlib.explain.integrated import COMPLETE, baseline_images, completeness_gaps, integrated_gradients
from cxrlib.model.networks import build_network


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(1)) * 2 + 1


@pytest.mark.parametrize("baseline", [0.0, -0.5, "black", "tensor"])
def test_of_a_linear_network_it_is_the_weight_times_the_difference(images, baseline):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 16, 2))
    baseline = torch.rand(3, 20, 16) if baseline == "tensor" else baseline
    start = images.amin((1, 2, 3), keepdim=True) if isinstance(baseline, str) else baseline
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = integrated_gradients(network, images, steps=3, baseline=baseline)
    expected = (network[1].weight.detach().view(1, 2, 3, 20, 16) * (images - start)[:, None]).sum(2)
    assert_same_maps(found, expected)


@pytest.mark.filterwarnings("ignore:integrated gradients")
@pytest.mark.parametrize(("name", "size"), [("small", 20), ("resnet18", 64)])
@pytest.mark.parametrize("batch_size", [3, 32])
def test_maps_equal_captums(name, size, batch_size):
    torch.manual_seed(0)
    network = (SmallNet() if name == "small" else build_network(name, 3)).eval()
    images, baseline = torch.randn(2, 3, size, size), torch.randn(3, size, size)
    found = integrated_gradients(network, images, [2, 0], 5, baseline, batch_size)
    for position, column in enumerate([2, 0]):
        expected = IntegratedGradients(network).attribute(
            images, baseline[None].expand_as(images), column, n_steps=5, method="riemann_middle"
        )
        assert_same_maps(found[:, position], expected.sum(1).detach().float())


def test_a_map_adds_up_to_the_change_of_the_logit(images):
    network = SmallNet().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = integrated_gradients(network, images, steps=200, baseline="black")
    change = (network(images) - network(images.amin((1, 2, 3), keepdim=True).expand_as(images))).detach()
    assert ((maps.sum((2, 3)) - change).abs() <= COMPLETE * change.abs()).all()


class Square(nn.Module):
    """y = sum of x^3: the middle of one step gives 3/4 of it."""

    def forward(self, images):
        return torch.stack([images.sum((1, 2, 3)), (images**3).sum((1, 2, 3))], dim=1)


def test_the_largest_gap_is_said():
    with pytest.warns(UserWarning, match=r"image 1, class 1: .* by 25%; raise steps \(now 1\)"):
        integrated_gradients(Square(), torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)]), steps=1)
    with pytest.warns(UserWarning, match="image 0, class 1"):
        integrated_gradients(Square(), torch.ones(1, 1, 2, 2), [0, 1], steps=1)


def test_an_image_that_is_its_baseline_has_an_empty_complete_map():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = integrated_gradients(SmallNet(), torch.full((1, 3, 8, 8), 0.3), baseline="black")
    assert torch.equal(maps, torch.zeros(1, 3, 8, 8))


def test_gaps_on_paper():
    maps = torch.tensor([[[[1.0, 2.0]], [[0.5, 0.0]], [[0.0, 0.0]]]])
    ends, starts = torch.tensor([[5.0, 10.0, 0.0]]), torch.tensor([[1.0, 10.0, 0.0]])
    # 3 of a change of 4; 0.5 of none, against a thousandth of 10; 0 of none
    assert completeness_gaps(maps, ends, starts)[0].tolist() == pytest.approx([0.25, 50, 0])


def test_baselines_that_fit_no_image_are_refused(images):
    with pytest.raises(ValueError, match="no baseline 'white'; choose a number, 'black'"):
        baseline_images(images, "white")
    with pytest.raises(ValueError, match=r"shape \(5,\), the images \(2, 3, 20, 16\)"):
        baseline_images(images, torch.zeros(5))
    assert baseline_images(images, torch.ones(3, 1, 1)).shape == images.shape
