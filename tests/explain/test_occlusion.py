import pytest
import torch
from captum.attr import Occlusion
from fixtures import SmallNet
from torch import nn

from cxrlib.explain.occlusion import occlusion, window_and_stride


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 20, 26, generator=torch.Generator().manual_seed(1)) + 1


@pytest.mark.parametrize(("window", "stride"), [(6, 3), (5, 2), (8, 8), (20, 1), (4, 3)])
def test_the_maps_of_captum(images, window, stride):
    network = SmallNet().eval()
    found = occlusion(network, images, [2, 0], window, stride, batch_size=7)
    oracle = Occlusion(network)
    for number, image in enumerate(images):
        fill = image.mean((1, 2), keepdim=True).expand_as(image)[None]
        for place, column in enumerate([2, 0]):
            expected = oracle.attribute(
                image[None], (3, window, window), strides=(3, stride, stride), baselines=fill, target=column
            )
            torch.testing.assert_close(found[number, place], expected[0, 0], atol=1e-5, rtol=1e-4)


def test_a_fill_value_for_each_channel(images):
    network, fill = SmallNet().eval(), [0.5, -1.0, 2.0]
    baseline = torch.tensor(fill).view(1, 3, 1, 1).expand(1, 3, 20, 26)
    expected = Occlusion(network).attribute(images[:1], (3, 6, 6), (3, 4, 4), baselines=baseline, target=1)
    torch.testing.assert_close(occlusion(network, images[:1], [1], 6, 4, fill)[0], expected[0, :1])


def test_a_linear_model_gives_the_sum_of_the_patch():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    image = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    products = network[1].weight.detach().view(2, 4, 4) * image[0]
    found = occlusion(network, image, window=2, stride=2, fill=0.0)[0]
    for rows in (slice(0, 2), slice(2, 4)):
        for columns in (slice(0, 2), slice(2, 4)):
            patch = products[:, rows, columns].sum((1, 2), keepdim=True)
            torch.testing.assert_close(found[:, rows, columns], patch.expand(2, 2, 2))


def test_by_default_a_window_is_a_seventh_of_the_shorter_side():
    assert window_and_stride((448, 512)) == (64, 32)
    assert window_and_stride((3, 5)) == (1, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window": 21}, "window=21 is not in 1..20"),
        ({"window": 0}, "window=0 is not in 1..20"),
        ({"window": 4, "stride": 5}, "stride=5 is not in 1..4"),
        ({"window": 4, "stride": 0}, "stride=0 is not in 1..4"),
        ({"fill": [1.0, 2.0]}, "2 values; give one, or one for each of the 3 channels"),
    ],
)
def test_what_gives_no_map_is_refused(images, values, message):
    with pytest.raises(ValueError, match=message):
        occlusion(SmallNet(), images, **values)
