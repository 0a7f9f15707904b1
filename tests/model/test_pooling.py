import pytest
import torch
from torch import nn

from cxrlib.model.pooling import split_at_pooling

CONVOLUTION, HEAD = nn.Conv2d(3, 8, 1), [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]


class Mean(nn.Module):
    """Mean over the given dimensions, with or without keeping them."""

    def __init__(self, dimensions, keepdim=False):
        super().__init__()
        self.dimensions, self.keepdim = dimensions, keepdim

    def forward(self, inputs):
        return inputs.mean(self.dimensions, keepdim=self.keepdim)


class InATuple(nn.Module):
    """A network whose output is a tuple."""

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(CONVOLUTION, *HEAD)

    def forward(self, inputs):
        return (self.network(inputs),)


@pytest.mark.parametrize(
    ("following", "rectified"),
    [
        (HEAD, False),
        ([nn.ReLU(), *HEAD], True),
        ([Mean((2, 3)), HEAD[-1]], False),
        ([nn.ReLU(), Mean([-1, -2]), nn.Dropout(), HEAD[-1]], True),
        ([*HEAD, nn.Dropout()], False),
    ],
)
def test_a_network_is_cut_where_only_pooling_and_a_linear_layer_follow(following, rectified):
    network = nn.Sequential(CONVOLUTION, *following).eval()
    pooled = split_at_pooling(network, "0")
    assert pooled.rectified == rectified and pooled.linear is HEAD[-1]
    inputs = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pooled.eval()(inputs), network(inputs))
    torch.testing.assert_close(pooled.features(inputs), CONVOLUTION(inputs))


@pytest.mark.parametrize(
    "following",
    [
        [nn.Sigmoid(), *HEAD],
        [nn.ReLU(), nn.ReLU(), *HEAD],
        [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2)],
        [Mean((1, 2)), nn.Linear(5, 2)],
        [Mean((2, 3), keepdim=True), nn.Flatten(), HEAD[-1]],
        [*HEAD, nn.ReLU()],
        [*HEAD, nn.Linear(2, 2)],
        [],
    ],
)
def test_a_network_with_anything_else_is_not_cut(following):
    assert split_at_pooling(nn.Sequential(CONVOLUTION, *following), "0") is None


def test_a_network_whose_output_is_no_tensor_is_not_cut():
    assert split_at_pooling(InATuple(), "network.0") is None
