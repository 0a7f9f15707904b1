"""The layer that is explained by default."""

import pytest
import torch
from torch import nn
from torchvision import models

from cxrlib.model.feature_maps import last_feature_map


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
