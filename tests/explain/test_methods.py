"""Every method of the registry: the same signature, the same rules."""

import pytest
import torch
from torch import nn

from cxrlib.explain.methods import MODULES, explain, find, names
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network


class Foreign(nn.Module):
    """A network of somebody else: one channel, a functional ReLU that is used twice, a head of its own."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem, self.body = nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.Conv2d(6, 8, 3, padding=1)
            self.norm, self.score = nn.BatchNorm2d(6), nn.Linear(8, 4)

    def forward(self, images):
        features = nn.functional.relu(self.norm(self.stem(images)))
        return self.score(nn.functional.relu(self.body(features)).mean((2, 3)))


@pytest.fixture
def images():
    return torch.rand(3, 1, 24, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", names())
def test_a_method_explains_a_foreign_network_and_leaves_it_as_it_was(name, images):
    network = Foreign().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    maps = explain(network, images, method=name, classes=[0, 3])
    rows, columns = (24, 16) if find(name).resolution == "input" else maps.shape[2:]
    assert maps.shape == (3, 2, rows, columns) and maps.dtype == torch.float32 and not maps.requires_grad
    assert maps.isfinite().all() and maps.abs().amax((1, 2, 3)).gt(0).all()
    assert find(name).signed or (maps >= 0).all()
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", names())
def test_neither_other_images_nor_other_classes_nor_the_batch_change_a_map(name, images):
    network = Foreign().eval()
    maps = explain(network, images, method=name)
    # of the largest value, and of the logits, whose differences some methods take
    bound = 1e-5 * float(maps.abs().max()) + 2e-7 * float(network(images).abs().max())
    some = explain(network, images[1:], method=name, classes=[2])
    torch.testing.assert_close(some, maps[1:, [2]], atol=bound, rtol=1e-4)
    torch.testing.assert_close(explain(network, images, method=name, batch_size=2), maps, atol=bound, rtol=1e-4)


@pytest.mark.parametrize("name", ["scorecam", "occlusion", "rise", "lime", "kernelshap"])
def test_a_method_of_forward_passes_takes_the_inference_copy(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("resnet18", 3).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2)
                module.running_mean.normal_(0, 0.1)
        images = torch.randn(1, 3, 64, 64)
    few = {"max_channels": 4, "n_masks": 4, "cells": 2, "samples": 16, "window": 32, "stride": 16}
    few = {key: value for key, value in few.items() if key in find(name).parameters}
    maps = explain(network, images, method=name, **few)
    copied = explain(inference_copy(network, size=64), images, method=name, **few)
    assert maps.abs().max() > 0
    torch.testing.assert_close(copied, maps, atol=1e-4 * float(maps.abs().max()), rtol=0)


@pytest.mark.parametrize("name", names())
def test_a_method_says_what_it_is(name):
    method = find(name)
    assert method.name == name and method.paper and method.formula
    assert "forward" in method.info(classes=7) and method.parameters["batch_size"]


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(ValueError, match="no method 'grad-cam'; did you mean gradcam"):
        find("grad-cam")


def test_every_module_holds_its_methods_and_no_other():
    for module in set(MODULES.values()):
        listed = [name for name, where in MODULES.items() if where == module]
        assert [one.name for one in __import__(f"cxrlib.explain.{module}", fromlist=["METHODS"]).METHODS] == listed
