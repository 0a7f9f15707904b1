"""Textbook figures say what the network does."""

import torch
from torchvision.models import resnet18, resnet50

from cxrlib.model.networks import build_network, normalise
from cxrlib.show.figures.smoothgrad_figures import taxonomy
from cxrlib.show.figures.training_figures import block_layers, dot_product, first_dot_product, residual_block


def texts(figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_the_dot_product_is_one_value_of_the_convolution():
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(1, 1, 7, bias=False)
    patch = torch.randn(7, 7)
    value = convolution(patch[None, None]).item()
    assert f"{value:.3f}" in texts(dot_product(patch.numpy(), convolution.weight[0, 0].detach().numpy()))


def test_a_residual_block_is_described_by_its_own_layers():
    assert block_layers(resnet50().layer1[1]) == [
        "1 × 1 convolution, 256 → 64\nbatch norm, ReLU",
        "3 × 3 convolution, 64 → 64\nbatch norm, ReLU",
        "1 × 1 convolution, 64 → 256\nbatch norm",
    ]
    assert "x, unchanged" in texts(residual_block(resnet18().layer1[1]))
    assert "x, resized by a\n1 × 1 convolution" in texts(residual_block(resnet18().layer2[0]))


def test_the_taxonomy_places_the_projects_methods():
    assert any("Grad-CAM" in text and "Pixel replacement" in text for text in texts(taxonomy()))


def test_the_first_dot_product_is_a_value_of_the_networks_first_convolution():
    """The filter and the patch are of the first channel: with zeros in the others, the convolution gives their sum."""
    network = resnet18(weights=None)
    image = torch.randint(0, 256, (1, 1, 31, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network.conv1.weight.data[:, 1:] = 0
    network.conv1.stride, network.conv1.padding = 1, 0  # then place 12 of 25 is the middle of 31 pixels
    value = network.conv1(normalise(image))[0, 0, 12, 12].item()
    assert f"{value:.3f}" in texts(first_dot_product(network, image))


def test_the_first_dot_product_is_of_what_the_first_convolution_of_any_network_reads():
    network = build_network("timm/tf_efficientnet_lite0", 2).eval()
    white = torch.full((1, 1, 33, 33), 255, dtype=torch.uint8)
    value = network.conv_stem.weight[0, 0].sum().item()  # white is 1 in the normalisation of its weights
    assert f"{value:.3f}" in texts(first_dot_product(network, white))
