"""The layer that is explained by default."""

import pytest
import torch
from torch import nn
from torchvision import models

from cxrlib.model.feature_maps import last_feature_map, layers_to_choose


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        ("resnet18", "layer4"),
        ("densenet121", "features"),
        ("efficientnet_b0", "features"),
        ("mobilenet_v3_large", "features"),
        ("convnext_tiny", "features"),
        ("vgg16", "features"),
    ],
)
def test_it_is_the_last_one_that_shows_a_place(architecture, layer):
    with torch.device("meta"):
        network, image = models.get_model(architecture, weights=None), torch.zeros(1, 3, 64, 64)
    assert last_feature_map(network, image) == layer and network.training


def test_a_network_without_a_feature_map_is_refused():
    with pytest.raises(ValueError, match="no layer whose output is a feature map"):
        last_feature_map(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize(
    ("architecture", "layers"),
    [
        ("resnet18", ["layer1", "layer2", "layer3", "layer4"]),
        (
            "densenet121",
            [f"features.{name}{n}" for n in (1, 2, 3) for name in ("denseblock", "transition")]
            + ["features.denseblock4"],
        ),
        ("efficientnet_b0", [*(f"features.{n}" for n in range(8)), "features"]),
        ("vgg16", ["features.3", "features.8", "features.15", "features.22", "features.29", "features"]),
    ],
)
def test_the_blocks_of_a_network_can_be_chosen(architecture, layers):
    with torch.device("meta"):
        network = models.get_model(architecture, weights=None)
    assert layers_to_choose(network, 64) == layers and network.training


class Listed(nn.Module):
    """Two blocks in a list, which does not run itself; the second one leaves a single cell of 4 x 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 3, 2, 2), nn.ReLU(inplace=True)) for _ in range(2))
        self.fc = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.blocks[1](self.blocks[0](images)).mean((2, 3)))


def test_blocks_in_a_list_count_and_one_cell_is_no_map():
    assert layers_to_choose(Listed(), 8) == ["blocks.0", "blocks.1"]
    assert layers_to_choose(Listed(), 4) == ["blocks.0"]
    assert layers_to_choose(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), 2) == []
