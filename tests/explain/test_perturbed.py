"""What all methods of many passes keep to: their cost, bounded batches, the images and the network as they were."""

import pytest
import torch
from fixtures import CountedForwards, SmallNet
from torch import nn

from cxrlib.explain import perturbed
from cxrlib.explain.methods import explain, find

SMALL = {
    "scorecam": {"layer": "second"},
    "occlusion": {"window": 6, "stride": 4},
    "rise": {"n_masks": 13},
    "lime": {"samples": 15},
    "kernelshap": {"cells": 2, "samples": 16},
    "gradientshap": {"samples": 9},
}
each = pytest.mark.parametrize(("name", "values"), list(SMALL.items()))


@pytest.fixture
def images():
    return torch.randn(2, 3, 20, 26, generator=torch.Generator().manual_seed(1)) + 1


@each
@pytest.mark.parametrize("classes", [None, [1]])
def test_the_passes_are_those_that_the_method_names(name, values, classes, images):
    network = SmallNet()
    backwards = []
    network.fc.register_full_backward_hook(lambda _, __, gradients: backwards.append(len(gradients[0])))
    with CountedForwards(network) as forwards:
        explain(network, images, name, classes, batch_size=4, **values)
    channels = {"channels": 8} if name == "scorecam" else {}
    cost = find(name).passes(3 if classes is None else 1, (20, 26), **values, **channels)
    assert (len(forwards.images), sum(backwards)) == (2 * cost.forward, 2 * cost.backward)
    assert max(len(batch) for batch in forwards.batches) == 4


@each
def test_maps_may_be_worked_on_with_gradients(name, values, images):
    maps = explain(SmallNet(), images, name, **values)
    assert not maps.is_inference() and not maps.requires_grad


@pytest.mark.parametrize("name", sorted(SMALL.keys() - {"gradientshap"}))
def test_a_pass_without_a_gradient_is_one_of_inference_in_evaluation_mode(name, images):
    network, modes = SmallNet().train(), []
    network.register_forward_pre_hook(lambda *_: modes.append((torch.is_inference_mode_enabled(), network.training)))
    explain(network, images, name, **SMALL[name])
    activations = 1 if name == "scorecam" else 0  # taken without a gradient, by a hook that asks for one
    assert set(modes[activations:]) == {(True, False)}


@each
def test_a_network_that_begins_in_place_changes_no_image(name, values, images):
    before = images.clone()
    network, first = SmallNet(), nn.ReLU(inplace=True)
    maps = explain(SmallNetBehind(first, network), images, name, **values)
    assert torch.equal(images, before)
    torch.testing.assert_close(maps, explain(SmallNetBehind(nn.ReLU(), network), images, name, **values))


class SmallNetBehind(nn.Module):
    """A module, then a SmallNet whose layer `second` keeps its name."""

    def __init__(self, first, network):
        super().__init__()
        self.in_front, self.network, self.second = first, network, network.second

    def forward(self, inputs):
        return self.network(self.in_front(inputs))


@each
def test_after_an_error_the_network_is_as_it_was(name, values, images):
    network = SmallNet().train()
    with pytest.raises(IndexError):
        explain(network, images, name, [7], **values)
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@each
def test_more_than_a_few_batches_have_a_bar_of_their_number(name, values, images, monkeypatch):
    bars = []
    monkeypatch.setattr(perturbed, "progress", lambda items, *_: bars.append(len(items)) or items)
    explain(SmallNet(), images[:1], name, batch_size=8, **values)
    assert bars == []
    monkeypatch.setattr(perturbed, "FEW_BATCHES", 3)
    with CountedForwards(network := SmallNet()) as forwards:
        explain(network, images, name, batch_size=3, **values)
    activations = 1 if name == "scorecam" else 0  # of both images, before it is known how many channels vary
    assert bars == [len(forwards.batches) - activations]
