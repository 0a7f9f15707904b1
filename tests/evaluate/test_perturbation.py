import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import CountedForwards, SmallNet

from cxrlib.evaluate.perturbation import (
    blurred_image,
    gaussian_sigma,
    mean_drops,
    mean_image,
    named_drops,
    perturb,
    perturb_studies,
    replace_pixels,
    replaced_versions,
    replacements,
)
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.model.networks import normalise

SHARES = [0.02, 0.05, 0.1, 0.2, 0.5]
KERNELS = [11, 21]


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kernel", "sigma"), [(11, 2.0), (21, 3.5)])
def test_blur_equals_opencvs(images, kernel, sigma):
    assert gaussian_sigma(kernel) == pytest.approx(sigma)
    own_rule, given = cv2.getGaussianKernel(kernel, 0), cv2.getGaussianKernel(kernel, gaussian_sigma(kernel))
    np.testing.assert_allclose(own_rule, given)
    for image in images:
        expected = cv2.GaussianBlur(image[0].numpy(), (kernel, kernel), 0, borderType=cv2.BORDER_REFLECT_101)
        found = blurred_image(image, kernel)
        assert found.dtype == torch.uint8
        assert found.shape == image.shape
        assert np.abs(found[0].numpy().astype(int) - expected).max() <= 1


def test_mean_is_the_images_own(images):
    for image in images:
        assert mean_image(image).dtype == torch.uint8
        assert (mean_image(image).numpy() == np.rint(image.numpy().mean())).all()


def test_only_masked_pixels_are_replaced():
    image, other = torch.arange(6, dtype=torch.uint8).view(1, 2, 3), torch.full((1, 2, 3), 99, dtype=torch.uint8)
    masks = torch.tensor([[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]).bool()
    found = replace_pixels(image, masks, other)
    assert found.tolist() == [[[[99, 1, 2], [3, 4, 99]]], [[[0, 1, 2], [3, 4, 5]]]]
    assert found.dtype == torch.uint8


@pytest.fixture(scope="module")
def study(images):
    """Network, raw maps, probabilities of the unchanged images, and a threshold that one image never reaches."""
    network = SmallNet().eval()
    maps = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        network.fc.weight *= 30
        probabilities = network(normalise(images)).sigmoid()
    highest = probabilities.amax(1).sort().values
    return network, maps, probabilities, float(highest[:2].mean())


def test_drops_equal_a_plain_loop(images, study):
    network, maps, probabilities, threshold = study
    found = perturb(network, images, maps, probabilities, threshold, SHARES, KERNELS, batch_size=8)
    expected = []
    for index, image in enumerate(images):
        for column in range(3):
            if probabilities[index, column] < threshold:
                continue
            heatmap = upscale(maps[index, column], 32).numpy().ravel()
            ranked = np.argsort(-heatmap, kind="stable")
            pixels = image.numpy().ravel()
            others = {"mean": np.full(1024, np.rint(pixels.mean()))}
            others |= {f"blur {k}": blurred_image(image, k).numpy().ravel() for k in KERNELS}
            for name, other in others.items():
                for share in SHARES:
                    changed = pixels.copy()
                    top = ranked[: round(share * 1024)]
                    changed[top] = other[top]
                    with torch.no_grad():
                        logits = network(normalise(torch.from_numpy(changed).view(1, 1, 32, 32)))[0]
                    drop = probabilities[index].numpy() - 1 / (1 + np.exp(-logits.numpy()))
                    expected.append((index, column, name, share, *drop))
    keys = ["image", "heatmap_class", "transform", "share"]
    assert found.columns.tolist() == [*keys, 0, 1, 2]
    assert found[keys].to_numpy().tolist() == [list(row[:4]) for row in expected]
    np.testing.assert_allclose(found[[0, 1, 2]], [row[4:] for row in expected], atol=1e-6)
    assert found["image"].nunique() == 3


def test_every_replacement_is_one_forward_pass(images, study):
    network, maps, probabilities, threshold = study
    with CountedForwards(network) as forwards:
        perturb(network, images, maps, probabilities, threshold, SHARES, KERNELS, batch_size=8)
    predicted = int((probabilities >= threshold).sum())
    assert len(forwards.images) == predicted * 3 * 5
    assert max(len(batch) for batch in forwards.batches) <= 8


def test_a_class_falls_when_its_evidence_is_replaced():
    """A network that reads brightness: replacing the only bright pixels lowers it, so p_original - p_replaced > 0."""

    class Brightness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(20.0))

        def forward(self, inputs):
            bright = inputs.amax(dim=(1, 2, 3))
            return torch.stack([bright, -bright], 1) * self.scale / 20

    image = torch.full((1, 1, 16, 16), 10, dtype=torch.uint8)
    image[..., 4:8, 4:8] = 250
    network = Brightness()
    before = network(normalise(image)).sigmoid().detach()
    heatmap = (image[:, [0, 0]] > 100).float()
    drops = perturb(network, image, heatmap, before, float(before[0, 0]), [0.0625], [3], 4)
    assert drops["transform"].tolist() == ["mean", "blur 3"]
    assert drops[0][0] > 0.2
    assert drops[1][0] == pytest.approx(-drops[0][0], abs=1e-6)


def test_nothing_predicted_gives_an_empty_table(images, study):
    network, maps, probabilities, _ = study
    found = perturb(network, images, maps, probabilities, 1.1, SHARES, KERNELS, 8)
    assert found.empty
    assert found.columns.tolist() == ["image", "heatmap_class", "transform", "share", 0, 1, 2]


def test_means_per_class_transform_and_share():
    keys = [(0, 0, "mean", 0.1), (1, 0, "mean", 0.1), (1, 0, "blur 11", 0.1), (1, 1, "mean", 0.1)]
    drops = pd.DataFrame(keys, columns=["image", "heatmap_class", "transform", "share"])
    drops[[0, 1]] = [[0.5, -0.1], [0.1, 0.3], [0.7, 0.7], [0.2, 0.4]]
    cases = named_drops(drops, ["x", "y"], ["A", "B"])
    assert cases.iloc[1].to_dict() == {
        "image_id": "y",
        "heatmap_class": "A",
        "transform": "mean",
        "share": 0.1,
        "A": 0.1,
        "B": 0.3,
    }
    means, counts = mean_drops(cases, ["A", "B"])
    assert counts.to_dict() == {"A": 2, "B": 1}
    assert means.loc[("A", "mean", 0.1)].to_dict() == pytest.approx({"A": 0.3, "B": 0.1})
    assert means.loc[("A", "blur 11", 0.1)].to_dict() == pytest.approx({"A": 0.7, "B": 0.7})
    assert means.loc[("B", "mean", 0.1)].to_dict() == pytest.approx({"A": 0.2, "B": 0.4})


def test_each_lender_is_named(images):
    assert list(replacements(images[0], KERNELS)) == ["mean", "blur 11", "blur 21"]


def test_each_version_lends_the_pixels_of_the_mask(images):
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[:8] = True
    versions = replaced_versions(images[0], mask, KERNELS)
    for name, lent in replacements(images[0], KERNELS).items():
        assert torch.equal(versions.pop(name), torch.where(mask, lent, images[0]))
    assert not versions


def test_explained_studies_are_perturbed_by_name(images, study):
    network, maps, probabilities, threshold = study
    frame = pd.DataFrame(probabilities.numpy(), pd.Index(list("wxyz"), name="image_id"), ["A", "B", "C"])
    explanations = Explanations(frame, maps, 32, "")
    found = perturb_studies(network, images, explanations, threshold, SHARES, KERNELS, batch_size=8)
    drops = perturb(network, images, maps, probabilities, threshold, SHARES, KERNELS, batch_size=8)
    pd.testing.assert_frame_equal(found, named_drops(drops, list("wxyz"), ["A", "B", "C"]))
