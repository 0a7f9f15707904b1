"""Gradients of the logits with respect to the image: plain, times the image, and smoothed over noisy copies."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from cxrlib.explain.class_gradients import class_gradients
from cxrlib.explain.gradcam import frozen
from cxrlib.explain.method import Method, Passes
from cxrlib.explain.smoothgrad import noisy_copies, smoothgrad
from cxrlib.model.feature_maps import last_feature_map
from cxrlib.model.pooling import pooled_at
from cxrlib.runtime.memory import smaller_batches

ONE_BY_ONE = ("cpu",)
"""Devices on which the classes go backward one after the other: together they take longer (measured with ResNet50)."""


def input_gradients(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    reduce: Callable[[torch.Tensor], torch.Tensor] = lambda gradients: gradients,
    rows: int | None = None,
    prepare: Callable[[torch.Tensor], None] = lambda logits: None,
) -> torch.Tensor:
    """dy^c / dx of one batch of images: one forward pass, and the classes backward from it.

    On a CPU they go one after the other, elsewhere together where memory allows.

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were.
        images: x, float32 (n, c, h, w) as the network takes them.
        classes, reduce, rows: as in `class_gradients`.
        prepare: gets the logits between the forward and the backward passes, e.g. to change the rule of the ReLUs.

    Returns:
        float32 (n, classes, c, h, w), or what `reduce` keeps.

    Raises:
        NoGradient: torch cannot differentiate the logits.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> input_gradients(network, torch.zeros(1, 3, 1, 1)).flatten().tolist()
    [1.0, -3.0, 2.0]
    """
    with frozen(network), torch.enable_grad():
        leaf = images.detach().requires_grad_()
        # a copy: an in-place operation may follow, which torch forbids on a leaf
        logits = network(leaf.clone())
        prepare(logits)
        at_once = len(images) if images.device.type in ONE_BY_ONE else rows
        return class_gradients(logits, leaf, classes, reduce, at_once)


@smaller_batches
def vanilla_gradient(
    network: nn.Module, images: torch.Tensor, classes: list[int] | None = None, batch_size: int = 32
) -> torch.Tensor:
    """Absolute gradient of a logit with respect to the image, strongest channel (Simonyan et al. 2013).

        M_ij = max_k |dy / dx_kij|

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were.
        images: float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        batch_size: images that pass through the network at once.

    Returns:
        float32 (n, len(classes), h, w).

    Raises:
        NoGradient: torch cannot differentiate the logits.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> vanilla_gradient(network, torch.zeros(1, 3, 1, 1)).tolist()
    [[[[3.0]]]]
    """
    batches = images.split(batch_size)
    return torch.cat([input_gradients(network, batch, classes, strongest_channel, batch_size) for batch in batches])


@smaller_batches
def input_x_gradient(
    network: nn.Module, images: torch.Tensor, classes: list[int] | None = None, batch_size: int = 32
) -> torch.Tensor:
    """The image times the gradient, summed over the channels (Shrikumar et al. 2016).

        M_ij = sum_k x_kij dy / dx_kij

    x is the image as the network takes it: a pixel that is zero there has no relevance.

    Args, returns, errors: as in `vanilla_gradient`; the maps hold negative values.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> input_x_gradient(network, torch.tensor([[[[1.0]], [[2.0]], [[0.0]]]])).tolist()
    [[[[-5.0]]]]
    """

    def explain_batch(batch: torch.Tensor) -> torch.Tensor:
        return input_gradients(network, batch, classes, lambda gradients: (gradients * batch).sum(-3), batch_size)

    return torch.cat([explain_batch(batch) for batch in images.split(batch_size)])


@smaller_batches
def smooth_gradient(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    noise_level: float = 0.1,
    samples: int = 50,
    seed: int = 0,
    average: Literal["absolute", "signed"] = "absolute",
    batch_size: int = 32,
) -> torch.Tensor:
    """SmoothGrad as published: the mean gradient over noisy copies of the image (Smilkov et al. 2017).

        M_ij = 1/N sum_n max_k |g_kij(x + e_n)|,  g = dy / dx,  e_n normal with sigma = noise_level * (max x - min x)

    The paper averages the gradient and leaves open where its absolute value is taken. With average="signed" it is taken
    of the mean, as in the authors' code: M_ij = max_k |1/N sum_n g_kij(x + e_n)|.

    Args:
        network, images, classes: as in `vanilla_gradient`.
        noise_level: standard deviation of the noise as a fraction of each image's maximum - minimum.
        samples: N, the number of noisy copies.
        seed: seeds the noise, which is the same for every image.
        average: see above.
        batch_size: copies that pass through the network at once; memory grows with it and not with `samples`.

    Returns, errors: as in `vanilla_gradient`.

    The gradient of a linear network is the same for every copy:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> smooth_gradient(network, torch.rand(1, 3, 1, 1), noise_level=0.1, samples=4, batch_size=2).tolist()
    [[[[3.0]]]]
    """
    signed = average == "signed"

    def summed(gradients: torch.Tensor) -> torch.Tensor:
        return (gradients if signed else strongest_channel(gradients)).sum(1, keepdim=True)

    def explain_one(image: torch.Tensor) -> torch.Tensor:
        copies = noisy_copies(image, noise_level, samples, seed, batch_size)
        mean = sum(input_gradients(network, some, classes, summed, batch_size) for some in copies) / samples
        return strongest_channel(mean) if signed else mean

    return torch.cat([explain_one(image) for image in images])


@smaller_batches
def smooth_gradcam(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    noise_level: float = 0.1,
    samples: int = 50,
    seed: int = 0,
    average: Literal["raw", "normalised"] = "raw",
    batch_size: int = 32,
) -> torch.Tensor:
    """SmoothGrad over Grad-CAM, `cxrlib.explain.smoothgrad.smoothgrad`, of several images (thesis, section 3.2).

        1/N sum_n L(x + e_n),  L the Grad-CAM map,  e_n normal with sigma = noise_level * (max x - min x)

    Args:
        network, images, classes, noise_level, samples, seed, batch_size: as in `smooth_gradient`.
        layer: as in `cxrlib.explain.cam.gradcam_maps`.
        average: "raw" averages the maps L, "normalised" divides each by its maximum first.

    Returns:
        Raw maps, float32 (n, len(classes), rows, columns).

    Raises:
        LayerError: no such layer, or its output is no feature map.
        NoGradient: torch cannot differentiate the logits.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> smooth_gradcam(network, torch.rand(2, 3, 4, 4), [1], samples=3).shape
    torch.Size([2, 1, 4, 4])
    """
    layer = last_feature_map(network, images) if layer == "auto" else layer
    settings = (noise_level, samples, seed, layer, batch_size, average, classes)
    with frozen(network):
        explained = pooled_at(network, layer) or network  # cut once for all images
        return torch.stack([smoothgrad(explained, image, *settings) for image in images])


def strongest_channel(gradients: torch.Tensor) -> torch.Tensor:
    """max_k |g_k| over the channels of an image, (..., c, h, w) to (..., h, w).

    >>> strongest_channel(torch.tensor([[[1.0]], [[-3.0]]])).tolist()
    [[3.0]]
    """
    return gradients.abs().amax(-3)


METHODS = [
    Method(
        name="gradient",
        title="Gradient",
        paper="Simonyan et al. 2013, arXiv:1312.6034",
        formula="max_k |dy / dx_k| over the channels k of the image",
        maps=vanilla_gradient,
        resolution="input",
        signed=False,
        passes=lambda classes, size, **_: Passes(1, classes),
    ),
    Method(
        name="input_x_gradient",
        title="Input x gradient",
        paper="Shrikumar et al. 2016, arXiv:1605.01713",
        formula="sum_k x_k dy / dx_k over the channels k of the image",
        maps=input_x_gradient,
        resolution="input",
        signed=True,
        passes=lambda classes, size, **_: Passes(1, classes),
    ),
    Method(
        name="smoothgrad",
        title="SmoothGrad",
        paper="Smilkov et al. 2017, arXiv:1706.03825",
        formula="mean over noisy copies of max_k |dy / dx_k|; noise relative to the range of the image",
        maps=smooth_gradient,
        resolution="input",
        signed=False,
        passes=lambda classes, size, samples, **_: Passes(samples, samples * classes),
    ),
    Method(
        name="smooth_gradcam",
        title="SmoothGrad over Grad-CAM",
        paper="Chrysoula 2023, section 3.2, after Smilkov et al. 2017, arXiv:1706.03825",
        formula="mean over noisy copies of the Grad-CAM map; noise relative to the range of the image",
        maps=smooth_gradcam,
        resolution="layer",
        signed=False,
        passes=lambda classes, size, samples, **_: Passes(samples, samples * classes),
        needs="any network with a feature map; behind average pooling and one linear layer no backward pass is needed",
        closed_form=True,
    ),
]
