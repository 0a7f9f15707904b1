"""Pixel importance: replace a heatmap's top pixels and predict again (thesis, section 3.4.2)."""

import pandas as pd
import torch
from torch import nn

from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels_of
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.networks import device_of, normalise
from cxrlib.runtime.memory import smaller_batches
from cxrlib.runtime.progress import progress


def mean_image(image: torch.Tensor) -> torch.Tensor:
    """Every pixel replaced by the image's own mean of its channel, rounded: uint8 (1, h, w).

    >>> mean_image(torch.tensor([[[1, 2, 6]]], dtype=torch.uint8)).tolist()
    [[[3, 3, 3]]]
    """
    mean = image.float().mean(dim=(-2, -1), keepdim=True).round().to(image.dtype)
    return mean.expand_as(image)


def blurred_image(image: torch.Tensor, kernel: int) -> torch.Tensor:
    """Gaussian blur of a uint8 (1, h, w) image with the standard deviation `gaussian_sigma(kernel)`.

    Args:
        image: each side longer than half of the kernel.
        kernel: side of the kernel in pixels, odd.

    >>> image = torch.tensor([[[0, 0, 100, 0, 0]] * 5], dtype=torch.uint8)
    >>> blurred_image(image, 3)[0, 0].tolist()
    [0, 24, 52, 24, 0]
    """
    from torchvision.transforms.v2 import functional  # takes seconds, for which stored maps need not wait

    return functional.gaussian_blur(image, [kernel, kernel], [gaussian_sigma(kernel)])


def gaussian_sigma(kernel: int) -> float:
    """OpenCV's standard deviation in pixels for a kernel of `kernel` pixels: 0.3 ((kernel - 1) / 2 - 1) + 0.8.

    >>> gaussian_sigma(11), gaussian_sigma(21)
    (2.0, 3.5)
    """
    return 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8


def replacements(image: torch.Tensor, kernels: list[int]) -> dict[str, torch.Tensor]:
    """The images that lend their pixels: "mean" and one "blur k" per kernel, each made once, uint8 (1, h, w).

    >>> list(replacements(torch.zeros(1, 32, 32, dtype=torch.uint8), [11, 21]))
    ['mean', 'blur 11', 'blur 21']
    """
    return {"mean": mean_image(image)} | {f"blur {kernel}": blurred_image(image, kernel) for kernel in kernels}


def replace_pixels(image: torch.Tensor, mask: torch.Tensor, replacement: torch.Tensor) -> torch.Tensor:
    """`replacement` where the mask is set, `image` elsewhere.

    Args:
        image: uint8 (1, h, w).
        mask: boolean (..., h, w).
        replacement: uint8 (1, h, w).

    Returns:
        uint8 (..., 1, h, w).

    >>> image = torch.tensor([[[1, 2, 6]]], dtype=torch.uint8)
    >>> replace_pixels(image, torch.tensor([[False, False, True]]), mean_image(image)).tolist()
    [[[1, 2, 3]]]
    """
    return torch.where(mask[..., None, :, :], replacement, image)


def replaced_versions(image: torch.Tensor, mask: torch.Tensor, kernels: list[int]) -> dict[str, torch.Tensor]:
    """One image with the pixels of one mask replaced by each of the `replacements`.

    Args:
        image: uint8 (1, h, w).
        mask: boolean (h, w).
        kernels: sides in pixels of the Gaussian kernels.

    Returns:
        Name of the replacement -> uint8 (1, h, w).

    >>> image = torch.tensor([[[1, 2, 6]]], dtype=torch.uint8)
    >>> replaced_versions(image, torch.tensor([[False, False, True]]), kernels=[])["mean"].tolist()
    [[[1, 2, 3]]]
    """
    return {name: replace_pixels(image, mask, lent) for name, lent in replacements(image, kernels).items()}


@smaller_batches
def perturb(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    maps: torch.Tensor,
    probabilities: torch.Tensor,
    threshold: float,
    shares: list[float],
    kernels: list[int],
    batch_size: int,
) -> pd.DataFrame:
    """Probabilities of all labels after replacing the top pixels of every predicted class's heatmap.

    The experiment is that of the thesis, section 3.4.2.
    It needs images x predicted classes x (1 + kernels) x shares forward passes; the unchanged images'
    probabilities are given.

    Args:
        network: in evaluation mode, logits (n, classes).
        images: uint8 (n, 1, h, w) in the network's frame; masks are made in it.
        maps: raw maps, float32 (n, classes, rows, columns).
        probabilities: float32 (n, classes) of the unchanged images.
        threshold: a class is predicted where its probability reaches this.
        shares: fractions of the pixels to replace.
        kernels: Gaussian kernel sides in pixels of the input frame.
        batch_size: images per forward pass; halved, with a warning, where memory does not suffice.

    Returns:
        One row per image, predicted class, transform and share, in this order: image and heatmap_class (positions),
        transform, share, and one column per class position with p_original - p_replaced.

    The logit of this network is 0, so that the probability is 1/2 whatever the pixels:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    >>> _ = [nn.init.zeros_(parameter) for parameter in network.parameters()]
    >>> image, heatmap = torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.ones(1, 1, 2, 2)
    >>> perturb(network, image, heatmap, torch.tensor([[0.75]]), 0.7, [0.5], [], batch_size=1).to_dict("records")
    [{'image': 0, 'heatmap_class': 0, 'transform': 'mean', 'share': 0.5, 0: 0.25}]
    """
    device = device_of(network)
    chosen = [(p >= threshold).nonzero().flatten().tolist() for p in probabilities]
    wanted = [index for index, predicted in enumerate(chosen) if predicted]
    loaded = load_batches(images, torch.tensor(wanted).split(1) if wanted else [], device)
    keys, drops = [], []
    with torch.inference_mode():
        for index, (image,) in zip(wanted, progress(loaded, "perturbing", "image", len(wanted)), strict=True):
            predicted = chosen[index]
            masks = top_pixels_of(upscale(maps[index, predicted].to(device), image.shape[-1]), shares)
            lent = replacements(image, kernels)
            # masks are shares x classes; the variants come class by class, transform by transform, share by share
            variants = torch.cat(
                [replace_pixels(image, mask, other) for mask in masks.unbind(1) for other in lent.values()]
            )
            after = torch.cat([network(normalise(part)).sigmoid() for part in variants.split(batch_size)])
            drops.append(probabilities[index].to(device) - after)
            keys += [(index, column, name, share) for column in predicted for name in lent for share in shares]
    columns = ["image", "heatmap_class", "transform", "share"]
    frame = pd.DataFrame(keys, columns=columns)
    values = torch.cat(drops).cpu().numpy() if drops else torch.empty(0, probabilities.shape[1]).numpy()
    return pd.concat([frame, pd.DataFrame(values, columns=range(probabilities.shape[1]))], axis=1)


def perturb_studies(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    explanations: Explanations,
    threshold: float,
    shares: list[float],
    kernels: list[int],
    batch_size: int,
) -> pd.DataFrame:
    """`perturb` of explained studies, with names.

    Args:
        network, threshold, shares, kernels, batch_size: as in `perturb`.
        images: uint8 (n, 1, h, w) of the studies of `explanations`, in their order.
        explanations: maps and probabilities of the unchanged images.

    Returns:
        As `named_drops`.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    >>> _ = [nn.init.zeros_(parameter) for parameter in network.parameters()]
    >>> maps, probabilities = torch.ones(1, 1, 2, 2), pd.DataFrame({"Mass": [0.75]}, ["a"])
    >>> explained = Explanations(probabilities, maps, input_size=2, identity="")
    >>> image = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    >>> perturb_studies(network, image, explained, 0.7, [0.5], [], batch_size=1).to_dict("records")
    [{'image_id': 'a', 'heatmap_class': 'Mass', 'transform': 'mean', 'share': 0.5, 'Mass': 0.25}]
    """
    probabilities = torch.tensor(explanations.probabilities.to_numpy())
    drops = perturb(network, images, explanations.maps, probabilities, threshold, shares, kernels, batch_size)
    return named_drops(drops, explanations.probabilities.index.tolist(), explanations.classes)


def named_drops(drops: pd.DataFrame, image_ids: list[str], classes: list[str]) -> pd.DataFrame:
    """The result of `perturb` with names in place of positions.

    Args:
        drops: from `perturb`.
        image_ids: of the images that `perturb` was given, in their order.
        classes: names of the network's labels, in their order.

    Returns:
        Columns image_id, heatmap_class, transform, share, and one per class with p_original - p_replaced.

    >>> drops = pd.DataFrame({"image": [0], "heatmap_class": [1], "transform": "mean", "share": 0.5, 0: 0.0, 1: 0.25})
    >>> named_drops(drops, ["a"], ["Mass", "Nodule"]).to_dict("records")
    [{'image_id': 'a', 'heatmap_class': 'Nodule', 'transform': 'mean', 'share': 0.5, 'Mass': 0.0, 'Nodule': 0.25}]
    """
    named = drops.rename(columns=dict(enumerate(classes)) | {"image": "image_id"})
    named["image_id"] = named["image_id"].map(dict(enumerate(image_ids)))
    named["heatmap_class"] = named["heatmap_class"].map(dict(enumerate(classes)))
    return named


def own_falls(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    explanations: Explanations,
    threshold: float,
    share: float,
    batch_size: int,
) -> pd.DataFrame:
    """How far a predicted class's own probability falls when the top pixels of its heatmap become the image's mean.

    Args:
        network, images, explanations, threshold, batch_size: as in `perturb_studies`.
        share: fraction of the pixels that are replaced.

    Returns:
        image_id, class_name and fall, one row per image and predicted class.

    The logit of this network is 0, so that the probability is 1/2 whatever the pixels:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    >>> _ = [nn.init.zeros_(parameter) for parameter in network.parameters()]
    >>> maps, probabilities = torch.ones(1, 1, 2, 2), pd.DataFrame({"Mass": [0.75]}, ["a"])
    >>> explained = Explanations(probabilities, maps, input_size=2, identity="")
    >>> image = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    >>> own_falls(network, image, explained, 0.7, 0.5, batch_size=1).to_dict("records")
    [{'image_id': 'a', 'class_name': 'Mass', 'fall': 0.25}]
    """
    drops = perturb_studies(network, images, explanations, threshold, [share], [], batch_size)
    falls = [row[row["heatmap_class"]] for row in drops.to_dict("records")]
    return drops[["image_id", "heatmap_class"]].rename(columns={"heatmap_class": "class_name"}).assign(fall=falls)


def mean_drops(cases: pd.DataFrame, classes: list[str]) -> tuple[pd.DataFrame, pd.Series]:
    """Mean change per heatmap class, transform and share.

    Args:
        cases: from `named_drops`.
        classes: class names.

    Returns:
        Means indexed by heatmap_class, transform and share, one column per class; and how many images had each class
        predicted.

    >>> about = {"heatmap_class": "Mass", "transform": "mean", "share": 0.5}
    >>> means, counts = mean_drops(pd.DataFrame({"image_id": ["a", "b"], **about, "Mass": [0.25, 0.75]}), ["Mass"])
    >>> means["Mass"].to_dict(), counts.to_dict()
    ({('Mass', 'mean', 0.5): 0.5}, {'Mass': 2})
    """
    counts = cases.groupby("heatmap_class")["image_id"].nunique().reindex(classes, fill_value=0)
    means = cases.groupby(["heatmap_class", "transform", "share"], sort=False)[classes].mean()
    return means, counts
