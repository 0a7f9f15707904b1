"""Randomised networks: which layers, in which order, and that the network returns as it was."""

import pytest
import torch
from fixtures import SmallNet
from torch import nn

from cxrlib.evaluate.randomisation import exchanged, layers_in_order, random_weights, stops
from cxrlib.model.networks import build_network

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_layers_stand_in_the_order_of_execution():
    network = build_network("resnet18", 2).train()
    order = layers_in_order(network, torch.rand(1, 3, 32, 32))
    assert order[:4] == ["conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1"] and order[-1] == "fc"
    assert order.index("layer2.0.bn2") < order.index("layer2.0.downsample.0") < order.index("layer2.1.conv1")
    assert len(order) == 41 and all(module.training for module in network.modules())


def test_a_layer_that_runs_twice_counts_once_and_one_that_does_not_run_is_left_out():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.spare, self.shared, self.own = nn.Linear(3, 3), nn.Linear(3, 3), nn.Parameter(torch.ones(3))

        def forward(self, inputs):
            return self.shared(self.shared(inputs)) * self.own

    order = layers_in_order(Twice(), torch.zeros(1, 3))
    assert order == ["", "shared"]  # a module counts where it begins
    network = Twice()
    with exchanged(network, {name: torch.zeros_like(one) for name, one in network.named_parameters()}, [""]):
        assert network.own.tolist() == [0, 0, 0] and network.shared.weight.any()


def test_layers_whose_weights_the_module_around_them_takes_are_found():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.attention, self.last = nn.Linear(4, 4), nn.MultiheadAttention(4, 2), nn.Linear(4, 2)
            self.requires_grad_(False)

        def forward(self, inputs):
            hidden = self.first(inputs)
            return self.last(self.attention(hidden, hidden, hidden)[0])

    network = Attending()
    assert layers_in_order(network, torch.rand(2, 3, 4)) == ["first", "attention", "attention.out_proj", "last"]
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("how", ["permute", "redraw"])
def test_weights_are_random_by_a_generator_of_their_own(how):
    network = SmallNet()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (random_weights(network, seed, how) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.keys() == dict(network.named_parameters()).keys()
    for name, parameter in network.named_parameters():
        assert torch.equal(first[name], again[name])
        assert first[name].shape == parameter.shape and first[name].stride() == parameter.stride()
    weight, drawn = network.second.weight.detach(), first["second.weight"]
    assert not torch.equal(drawn, weight) and not torch.equal(drawn, other["second.weight"])
    same_values = torch.equal(drawn.flatten().sort().values, weight.flatten().sort().values)
    assert same_values == (how == "permute")
    assert drawn.std().item() == pytest.approx(weight.std().item(), rel=0.15)


def test_only_the_chosen_layers_change_and_all_returns_even_after_an_error():
    network = SmallNet().eval()
    network(IMAGES)
    before, weights = state_of(network), random_weights(network, 0)
    with pytest.raises(KeyError), exchanged(network, weights, ["second", "fc"]):
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        assert changed == {"second.weight", "second.bias", "fc.weight", "fc.bias"}
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_statistics_of_batch_norm_stay():
    network = SmallNet().train()
    network(IMAGES)
    mean = network.norm.running_mean.clone()
    with exchanged(network.eval(), random_weights(network, 0, "redraw"), layers_in_order(network, IMAGES)):
        network(IMAGES)
        assert torch.equal(network.norm.running_mean, mean) and mean.any()


def test_stops_begin_with_the_last_layer_and_end_with_all():
    layers = [str(number) for number in range(41)]
    assert stops(layers, 5) == [1, 11, 21, 31, 41] and stops(layers, 1) == [41]
    assert stops(layers[:3], 8) == [1, 2, 3] and stops(layers[:1], 5) == [1]
