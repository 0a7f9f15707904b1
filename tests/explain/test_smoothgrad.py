import pytest
import torch
from captum.attr import LayerGradCam
from fixtures import CountedForwards, SmallNet, assert_same_maps
from torch import nn

from cxrlib.evaluate.stability import lit_pixels, map_agreement
from cxrlib.explain.batched import explain_smooth
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.gradients import smooth_gradcam
from cxrlib.explain.smoothgrad import smoothgrad
from cxrlib.model.networks import normalise

LAYER = "second"
SAMPLES = 7


@pytest.fixture(scope="module")
def network():
    return SmallNet().eval()


@pytest.fixture(scope="module")
def image():
    return torch.randn(3, 20, 20, generator=torch.Generator().manual_seed(1)) * 2 + 1


def noisy_copies(image, level, seed):
    """One copy after the other, from one generator."""
    generator = torch.Generator().manual_seed(seed)
    scale = level * (float(image.max()) - float(image.min()))
    return [image + scale * torch.randn(image.shape, generator=generator) for _ in range(SAMPLES)]


@pytest.mark.parametrize("average", ["raw", "normalised"])
@pytest.mark.parametrize("level", [0.1, 0.2])
def test_the_mean_of_captums_maps_over_the_same_noise(network, image, level, average):
    oracle = LayerGradCam(network, network.second)
    found = smoothgrad(network, image, level, SAMPLES, seed=5, layer=LAYER, average=average)
    for column in range(3):
        maps = [
            oracle.attribute(copy[None], target=column, relu_attributions=True)[0, 0].detach()
            for copy in noisy_copies(image, level, seed=5)
        ]
        if average == "normalised":
            maps = [one / one.max() if one.max() > 0 else one for one in maps]
        expected = sum(maps) / SAMPLES
        torch.testing.assert_close(found[column], expected, atol=1e-5 * float(expected.max() + 1), rtol=1e-4)


@pytest.mark.parametrize("level", [0.1, 0.2])
def test_the_noise_has_the_promised_spread(network, image, level):
    with CountedForwards(network.first) as forwards:
        smoothgrad(network, image, level, samples=50, seed=0, layer=LAYER, batch_size=32)
    assert [len(batch) for batch in forwards.batches] == [32, 18]
    noise = forwards.images - image
    assert float(noise.std()) == pytest.approx(level * float(image.max() - image.min()), rel=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert len({copy.sum().item() for copy in noise}) == 50  # no copy twice


def test_batches_do_not_matter_but_the_seed_does(network, image):
    first = smoothgrad(network, image, 0.2, SAMPLES, 0, LAYER)
    batched = smoothgrad(network, image, 0.2, SAMPLES, 0, LAYER, batch_size=3)
    other = smoothgrad(network, image, 0.2, SAMPLES, 1, LAYER)
    torch.testing.assert_close(first, batched, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(first, smoothgrad(network, image, 0.2, SAMPLES, 0, LAYER), atol=0, rtol=0)
    assert not torch.allclose(first, other, rtol=1e-2)


def test_without_noise_it_is_gradcam(network, image):
    maps, _ = gradcam(network, image[None], LAYER)
    torch.testing.assert_close(smoothgrad(network, image, 0.0, 3, 0, LAYER), maps[0])


def test_the_global_seed_is_neither_used_nor_moved(network, image):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    smoothgrad(network, image, 0.1, 2, 0, LAYER)
    assert torch.equal(torch.rand(1), expected)


def test_many_images_are_each_explained_with_their_own_noise(network):
    images = torch.randint(0, 256, (2, 1, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = explain_smooth(network, images, 0.2, samples=3, layer=LAYER, batch_size=2, average="normalised")
    for seed, one in enumerate(normalise(images)):
        torch.testing.assert_close(found[seed], smoothgrad(network, one, 0.2, 3, seed, LAYER, average="normalised"))


def test_agreement_of_maps_by_hand():
    rising, falling = torch.arange(1.0, 17).view(4, 4), torch.arange(16.0, 0, -1).view(4, 4)
    half = rising.clone()
    half[3, 2:] = torch.tensor([0.25, 0.5])  # the two strongest cells of `rising` become the weakest
    first = torch.stack([torch.stack([rising, rising]), torch.stack([rising, rising])])
    second = torch.stack([torch.stack([rising, rising]), torch.stack([falling, half])])
    chosen = torch.tensor([[True, False], [True, False]])
    found = map_agreement(first, second, chosen, size=4, share=0.25)
    # the same map (1, all kept, nothing lit elsewhere) and the reverse (-1, none kept); of the nine cells that it
    # lights, 16 to 8, the first map lights two
    assert found.to_numpy().tolist() == [[0, 0, pytest.approx(1), 1, 0], [1, 0, pytest.approx(-1), 0, 7 / 16]]
    # half: two of the four strongest cells stay; 14 ranks move up by 2, two fall by 14: 1 - 6 * 448 / (16 * 255)
    found = map_agreement(first, second, torch.tensor([[False, False], [False, True]]), 4, 0.25)
    # its maximum is 14, so it also lights the cell of 7, which the first map does not
    assert found.to_numpy().tolist() == [[1, 1, pytest.approx(1 - 6 * 448 / (16 * 255)), 0.5, 1 / 16]]


def test_an_empty_map_lights_nothing():
    assert not lit_pixels(torch.zeros(3, 3)).any()
    assert lit_pixels(torch.tensor([[1.0, 2.0], [0.0, 0.9]])).tolist() == [[True, True], [False, False]]


def test_the_method_explains_each_image_and_class_with_the_same_noise(network, image):
    images = torch.stack([image, image.flip(2) * 3])
    for average in ("raw", "normalised"):
        found = smooth_gradcam(network, images, [2, 0], LAYER, 0.2, SAMPLES, seed=5, average=average, batch_size=3)
        expected = [smoothgrad(network, one, 0.2, SAMPLES, 5, LAYER, average=average)[[2, 0]] for one in images]
        assert_same_maps(found, torch.stack(expected))


def test_the_method_smooths_a_network_in_training_mode_as_in_evaluation(image):
    class Dropping(SmallNet):
        def forward(self, inputs):
            return super().forward(nn.functional.dropout(inputs, 0.9, self.training))

    parameters = {"layer": LAYER, "noise_level": 0.0, "samples": 1}
    found = smooth_gradcam(Dropping().train(), image[None], **parameters)
    assert_same_maps(found, smooth_gradcam(SmallNet(), image[None], **parameters))
    alone = smoothgrad(Dropping().train(), image, seed=0, **parameters)
    assert_same_maps(alone, found[0])
