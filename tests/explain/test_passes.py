"""What a method says that an image costs is what the network gets."""

import pytest
import torch
from fixtures import CountedForwards, SmallNet

from cxrlib.explain.methods import MODULES, find

FEW = {"samples": 3, "steps": 4, "batch_size": 2}
BY_GRADIENT = [name for name, module in MODULES.items() if module in ("cam", "gradients", "integrated", "guided")]
AT_A_LAYER = [name for name in BY_GRADIENT if "layer" in find(name).parameters]


@pytest.fixture
def backwards(monkeypatch):
    """Images times classes of every gradient that torch is asked for."""
    take, found = torch.autograd.grad, []

    def count(outputs, inputs, grad_outputs=None, *, is_grads_batched=False, **options):
        found.append((len(grad_outputs) if is_grads_batched else 1) * len(inputs))
        return take(outputs, inputs, grad_outputs, is_grads_batched=is_grads_batched, **options)

    monkeypatch.setattr(torch.autograd, "grad", count)
    return found


def cost(name, network, **given):
    """Images in forward passes of a method, and what it says, for two images and three classes."""
    method = find(name)
    parameters = {key: value for key, value in {**FEW, **given}.items() if key in method.parameters}
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with CountedForwards(network.first) as forwards:
        method(network, images, [0, 2, 3], **parameters)
    return len(forwards.images), method.passes(3, (16, 16), **{**method.parameters, **parameters})


@pytest.mark.filterwarnings("ignore:integrated gradients")
@pytest.mark.parametrize("name", [name for name in BY_GRADIENT if name != "cam"])
def test_passes_are_counted_right(name, backwards):
    forwards, passes = cost(name, SmallNet(5), layer="norm")
    assert (forwards, sum(backwards)) == (2 * passes.forward, 2 * passes.backward)


@pytest.mark.parametrize("name", [name for name in AT_A_LAYER if name != "guided_gradcam"])
def test_behind_pooling_and_one_linear_layer_nothing_goes_backward(name, backwards):
    forwards, passes = cost(name, SmallNet(5), layer="second")
    assert (forwards, backwards) == (2 * passes.forward, [])
    assert name != "cam" or passes.backward == 0


@pytest.mark.parametrize("name", AT_A_LAYER)
def test_finding_the_layer_takes_one_image_more_a_call(name):
    forwards, passes = cost(name, SmallNet(5), layer="auto")
    assert forwards == 2 * passes.forward + 1
