"""Every method on a device, beside the processor in double precision."""

import pytest
import torch
from fixtures import SmallNet

from cxrlib.explain.batched import explain as explain_batches
from cxrlib.explain.batched import explain_smooth
from cxrlib.explain.maps import normalise_maps, upscale
from cxrlib.explain.masks import top_pixels
from cxrlib.explain.methods import explain, find, names
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network, normalise

IMAGES = torch.randint(0, 256, (3, 1, 24, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
NOISE = "drawn on the device: a GPU and a processor draw different noise from the same seed"


def assert_within(found: torch.Tensor, expected: torch.Tensor, bound: float) -> None:
    """Largest difference as a fraction of the largest expected value, which is not zero."""
    found, expected = found.double().cpu(), expected.double().cpu()
    assert expected.abs().max() > 0
    assert float((found - expected).abs().max() / expected.abs().max()) <= bound


@pytest.mark.parametrize("name", names())
def test_a_method_gives_the_same_maps_on_a_device(name, device):
    settings = {"noise_level": 1e-9, "samples": 2} if "noise_level" in find(name).parameters else {}  # see NOISE
    if "max_channels" in find(name).parameters:
        settings["max_channels"] = 4
    images = normalise(IMAGES)
    expected = explain(SmallNet().double().eval(), images.double(), method=name, **settings)
    found = explain(SmallNet().to(device).eval(), images.to(device), method=name, **settings)
    assert found.device.type == device.type
    assert_within(found, expected, 1e-4)


def test_a_method_repeats_its_bytes_on_a_device(device):
    for name in names():
        network = SmallNet().to(device).eval()
        first, second = (explain(network, normalise(IMAGES).to(device), method=name) for _ in range(2))
        assert torch.equal(first, second), name


def test_the_store_s_maps_and_probabilities_are_those_of_the_processor(device):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network("resnet18", 3).eval()
    expected = explain_batches(inference_copy(network), IMAGES, "layer4", batch_size=3)
    found = explain_batches(inference_copy(network.to(device)), IMAGES, "layer4", batch_size=2)
    for here, there in zip(found, expected, strict=True):
        assert here.device.type == "cpu"
        assert_within(here, there, 1e-4)


def test_smoothgrad_does_not_depend_on_the_batch_on_a_device(device):
    network = SmallNet().to(device).eval()
    small, large = (explain_smooth(network, IMAGES, 0.2, 6, "second", batch_size=size) for size in (2, 6))
    assert_within(small, large, 1e-4)


def test_heatmaps_and_masks_are_those_of_the_processor(device):
    maps = torch.rand(5, 7, 7, generator=torch.Generator().manual_seed(2))
    assert_within(upscale(maps.to(device), 224), upscale(maps, 224), 1e-5)
    assert_within(normalise_maps(maps.to(device)), normalise_maps(maps), 1e-6)
    chosen = [top_pixels(one, 0.2).cpu() for one in upscale(maps, 32).to(device)]
    assert torch.equal(torch.stack(chosen), torch.stack([top_pixels(one, 0.2) for one in upscale(maps, 32)]))
