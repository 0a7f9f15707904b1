"""Which networks can be cut before their pooling, and that the two parts give the same logits."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cxrlib.model.pooling import split_at_pooling


class Ending(nn.Module):
    """A convolution called `features`, and what a test lets follow it."""

    def __init__(self, follow) -> None:
        super().__init__()
        self.features, self.dropout, self.fc = nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Linear(4, 2)
        self.follow = follow

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.follow(self, self.features(inputs))


def pooled(features):
    return functional.adaptive_avg_pool2d(features, 1).flatten(1)


SPLIT = {
    "mean": lambda net, x: net.fc(x.mean((2, 3))),
    "mean, counted from the end": lambda net, x: net.fc(x.mean(dim=[-1, -2])),
    "ReLU and pooling": lambda net, x: net.fc(pooled(functional.relu(x))),
    "dropout before the linear layer": lambda net, x: net.fc(net.dropout(pooled(x))),
    "dropout before the flattening": lambda net, x: net.fc(
        torch.flatten(net.dropout(functional.adaptive_avg_pool2d(x, (1, 1))), 1)
    ),
}
WHOLE = {
    "ReLU after the pooling": lambda net, x: net.fc(functional.relu(pooled(x))),
    "two ReLUs": lambda net, x: net.fc(pooled(functional.relu(functional.relu(x)))),
    "maximum": lambda net, x: net.fc(x.amax((2, 3))),
    "mean of channels": lambda net, x: net.fc(x[..., :4, :4].mean((1, 3))),
    "mean that keeps its dimensions": lambda net, x: net.fc(x.mean((2, 3), keepdim=True).flatten(1)),
    "four cells": lambda net, x: net.fc(functional.adaptive_avg_pool2d(x, 2).mean((2, 3))),
    "no linear layer": lambda net, x: pooled(x),
    "two inputs": lambda net, x: net.fc(pooled(x) + pooled(x.relu())),
    "a dictionary": lambda net, x: {"out": net.fc(pooled(x))},
    "a tuple": lambda net, x: (net.fc(pooled(x)),),
}


@pytest.mark.parametrize("follow", SPLIT.values(), ids=SPLIT)
def test_pooling_and_a_linear_layer_are_split_off(follow):
    torch.manual_seed(0)
    network, inputs = Ending(follow).eval(), torch.randn(2, 3, 8, 8)
    parts = split_at_pooling(network, "features")
    torch.testing.assert_close(parts(inputs), network(inputs))
    assert parts.linear is network.fc
    torch.testing.assert_close(parts.features(inputs), network.features(inputs))


@pytest.mark.parametrize("follow", WHOLE.values(), ids=WHOLE)
def test_anything_else_is_not_split(follow):
    assert split_at_pooling(Ending(follow), "features") is None


def test_a_layer_that_does_not_exist_is_not_split():
    assert split_at_pooling(Ending(SPLIT["mean"]), "layer4") is None
