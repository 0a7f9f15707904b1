"""Pixel importance (thesis, section 3.4.2): how probabilities change when a heatmap's top pixels are replaced."""

import pandas as pd
import torch
from torch import nn
from torchvision.transforms.v2 import functional as transforms

from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels_of
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.networks import device_of, normalise
from cxrlib.runtime.memory import smaller_batches
from cxrlib.runtime.progress import progress


def mean_image(image: torch.Tensor) -> torch.Tensor:
    """An image of the same shape whose every pixel is the image's own mean, rounded: uint8 (1, h, w).

    >>> mean_image(torch.tensor([[[0, 100, 200, 100]]], dtype=torch.uint8))
    tensor([[[100, 100, 100, 100]]], dtype=torch.uint8)
    """
    mean = image.float().mean(dim=(-2, -1), keepdim=True).round().to(image.dtype)
    return mean.expand_as(image)


def blurred_image(image: torch.Tensor, kernel: int) -> torch.Tensor:
    """Gaussian blur of a uint8 (1, h, w) image with the standard deviation `gaussian_sigma(kernel)`.

    >>> dot = torch.zeros(1, 5, 5, dtype=torch.uint8)
    >>> dot[0, 2, 2] = 160
    >>> blurred_image(dot, 3)[0, 2]  # sigma 0.8, weights 0.24, 0.52 and 0.24: 160 * 0.52 * (0.24, 0.52, 0.24)
    tensor([ 0, 20, 44, 20,  0], dtype=torch.uint8)

    Args:
        image: uint8 (1, h, w).
        kernel: side of the kernel in pixels, odd.
    """
    return transforms.gaussian_blur(image, [kernel, kernel], [gaussian_sigma(kernel)])


def gaussian_sigma(kernel: int) -> float:
    """OpenCV's standard deviation in pixels for a kernel of side k: `0.3 * ((k - 1) / 2 - 1) + 0.8`.

    >>> round(gaussian_sigma(11), 1), round(gaussian_sigma(21), 1)
    (2.0, 3.5)
    """
    return 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8


def replacements(image: torch.Tensor, kernels: list[int]) -> dict[str, torch.Tensor]:
    """The images from which pixels are taken: "mean", and one "blur k" for each kernel k, uint8 (1, h, w).

    >>> list(replacements(torch.zeros(1, 64, 64, dtype=torch.uint8), [11, 21]))
    ['mean', 'blur 11', 'blur 21']
    """
    return {"mean": mean_image(image)} | {f"blur {kernel}": blurred_image(image, kernel) for kernel in kernels}


def replace_pixels(image: torch.Tensor, mask: torch.Tensor, replacement: torch.Tensor) -> torch.Tensor:
    """`replacement` where `mask` is set, `image` elsewhere: uint8 (..., 1, h, w).

    >>> image, mask = torch.tensor([[[10, 20, 30]]]), torch.tensor([[False, True, False]])
    >>> replace_pixels(image, mask, torch.zeros_like(image))
    tensor([[[10,  0, 30]]])

    Args:
        image, replacement: uint8 (1, h, w).
        mask: boolean (..., h, w).
    """
    return torch.where(mask[..., None, :, :], replacement, image)


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
    """Change of all labels' probabilities after replacing the top pixels of every predicted class's heatmap.

    The change is `p_original - p_replaced`: positive where the probability falls. An image costs
    `predicted classes * (1 + kernels) * shares` forward passes.

    >>> network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    >>> images = torch.tensor([0, 0, 0, 200], dtype=torch.uint8).view(1, 1, 2, 2)
    >>> maps = torch.tensor([0.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)  # says that the bright pixel matters
    >>> with torch.no_grad():
    ...     _ = network[2].weight.fill_(1.0), network[2].bias.fill_(0.0)
    ...     p = network(normalise(images)).sigmoid()
    >>> drops = perturb(network, images, maps, p, threshold=0.0, shares=[0.25], kernels=[], batch_size=1)
    >>> drops[["transform", "share"]].values.tolist(), bool(drops.at[0, 0] > 0)  # darker, less probable
    ([['mean', 0.25]], True)

    Args:
        network: in evaluation mode, logits (n, classes).
        images: uint8 (n, 1, h, w) in the network's frame; masks are made in it.
        maps: raw maps (n, classes, rows, columns).
        probabilities: (n, classes) of the unchanged images.
        threshold: a class is predicted where its probability reaches this.
        shares: fractions of the pixels to replace.
        kernels: Gaussian kernel sides in pixels of the input frame.

    Returns:
        One row per image, predicted class, transform and share, in this order: image and heatmap_class (positions),
        transform, share, and one column per class position with p_original - p_replaced.
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


def named_drops(drops: pd.DataFrame, image_ids: list[str], classes: list[str]) -> pd.DataFrame:
    """The result of `perturb` with names: image_id, heatmap_class, transform, share, one column per class.

    >>> drops = pd.DataFrame({"image": [0], "heatmap_class": [1], "transform": "mean", "share": 0.1, 0: 0.2, 1: 0.3})
    >>> named_drops(drops, ["a"], ["ILD", "Nodule"])
      image_id heatmap_class transform  share  ILD  Nodule
    0        a        Nodule      mean    0.1  0.2     0.3

    Args:
        drops: from `perturb`.
        image_ids: the images, by position.
        classes: the classes, by position.
    """
    named = drops.rename(columns=dict(enumerate(classes)) | {"image": "image_id"})
    named["image_id"] = named["image_id"].map(dict(enumerate(image_ids)))
    named["heatmap_class"] = named["heatmap_class"].map(dict(enumerate(classes)))
    return named


def mean_drops(cases: pd.DataFrame, classes: list[str]) -> tuple[pd.DataFrame, pd.Series]:
    """Mean change of the probabilities per heatmap class, transform and share (thesis, Figure 32).

    >>> cases = pd.DataFrame({"image_id": ["a", "b"], "heatmap_class": "ILD", "transform": "mean", "share": 0.1})
    >>> means, counts = mean_drops(cases.assign(ILD=[0.25, 0.75]), ["ILD"])
    >>> float(means.at[("ILD", "mean", 0.1), "ILD"]), int(counts["ILD"])
    (0.5, 2)

    Args:
        cases: from `named_drops`.
        classes: class names.

    Returns:
        Means indexed by heatmap_class, transform and share, one column per class; and how many images had each class
        predicted.
    """
    counts = cases.groupby("heatmap_class")["image_id"].nunique().reindex(classes, fill_value=0)
    means = cases.groupby(["heatmap_class", "transform", "share"], sort=False)[classes].mean()
    return means, counts
