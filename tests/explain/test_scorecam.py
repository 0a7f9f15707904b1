import pytest
import torch
from fixtures import CountedForwards, SmallNet
from torchvision import models

from cxrlib.explain.gradcam import LayerError
from cxrlib.explain.scorecam import scorecam


@pytest.fixture
def network():
    return SmallNet().eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 20, 26, generator=torch.Generator().manual_seed(1)) + 1


def activations_of(network, image):
    kept = []
    handle = network.second.register_forward_hook(lambda _module, _inputs, output: kept.append(output.clone()))
    with torch.no_grad():
        network(image[None])
    handle.remove()
    return kept[0][0]


def algorithm_1(network, image, channels):
    """The paper's algorithm 1 for channels one by one: the increase of confidence over a black image, its softmax."""
    activations, increases = activations_of(network, image), []
    with torch.no_grad():
        black = network(torch.zeros_like(image)[None])[0]
        for channel in channels:
            large = torch.nn.functional.interpolate(activations[channel][None, None], image.shape[1:], mode="bilinear")
            mask = (large - large.min()) / (large.max() - large.min())
            increases.append(network(mask[0] * image[None])[0] - black)
    alpha = torch.stack(increases).exp()
    alpha = alpha / alpha.sum(0)
    return sum(alpha[i, :, None, None] * activations[channel] for i, channel in enumerate(channels)).clamp(min=0)


def test_the_papers_algorithm_channel_by_channel(network, images):
    found = scorecam(network, images, [2, 0], layer="second", batch_size=3)
    for image, one in zip(images, found, strict=True):
        torch.testing.assert_close(one, algorithm_1(network, image, range(8))[[2, 0]], atol=1e-5, rtol=1e-4)


def test_a_constant_channel_has_no_weight_and_costs_no_pass(network, images):
    network.second.weight.data[[1, 5]] = 0
    network.second.bias.data[5] = 100.0
    with CountedForwards(network) as forwards:
        found = scorecam(network, images[:1], layer="second")
    assert len(forwards.images) == 1 + 6
    expected = algorithm_1(network, images[0], [0, 2, 3, 4, 6, 7])
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-4)


def test_where_all_channels_are_constant_the_map_is_zero(network, images):
    network.second.weight.data.zero_()
    for classes, count in ((None, 3), ([1], 1)):
        found = scorecam(network, images, classes, layer="second")
        assert found.shape == (2, count, 10, 13) and not found.any()


def test_only_the_channels_that_vary_most(network, images):
    with CountedForwards(network) as forwards:
        found = scorecam(network, images, layer="second", max_channels=3)
    assert len(forwards.images) == 2 * (1 + 3)
    for image, one in zip(images, found, strict=True):
        chosen = activations_of(network, image).var((1, 2)).argsort(descending=True)[:3].tolist()
        torch.testing.assert_close(one, algorithm_1(network, image, sorted(chosen)), atol=1e-5, rtol=1e-4)


def test_by_default_the_last_feature_map_is_explained(images):
    network = models.resnet18(weights=None, num_classes=2)
    found = scorecam(network, torch.rand(1, 3, 64, 64), max_channels=4)
    assert found.shape == (1, 2, 2, 2)


def test_a_layer_without_a_feature_map_is_refused(network, images):
    with pytest.raises(LayerError, match=r"fc has output of shape \(2, 3\), no feature map"):
        scorecam(network, images, layer="fc")
    with pytest.raises(LayerError, match="no module 'third'"):
        scorecam(network, images, layer="third")
    with pytest.raises(ValueError, match="max_channels=0"):
        scorecam(network, images, layer="second", max_channels=0)
