"""Score-CAM (Wang et al. 2020): channels of a layer, weighted by the logit of the image that each lets through."""

import torch
from torch import nn
from torch.nn import functional

from cxrlib.explain.gradcam import LayerError, explained_activations, frozen
from cxrlib.explain.method import Method, Passes
from cxrlib.explain.perturbed import forward_passes, number_of_batches
from cxrlib.model.feature_maps import last_feature_map


def scorecam(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    max_channels: int | None = None,
    batch_size: int = 32,
) -> torch.Tensor:
    """Sum of a layer's channels, weighted by the logit of the image that each lets through; all classes at once.

        L^c = ReLU(sum_k alpha^c_k A_k),  alpha^c_k = exp(y^c(x * H_k)) / sum_l exp(y^c(x * H_l)),
        H_k = (U_k - min U_k) / (max U_k - min U_k),  U_k = A_k upscaled bilinearly to the size of the image

    This is the paper's algorithm 1: its increase of confidence y^c(x * H_k) - y^c(0) is brought to sum 1 over the
    channels by a softmax, in which y^c(0) cancels. The authors' code differs: it weighs by the probability of the
    class and has no softmax over channels. A constant channel shows no place: it has weight 0 and costs no pass.

    Args:
        network: logits (n, classes).
        images: x, float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        layer: name of a module; "auto" takes `cxrlib.model.feature_maps.last_feature_map`, for one more pass in all.
        max_channels: of an image only so many channels, those that vary most, as in Faster Score-CAM; all when None.
        batch_size: images that pass through the network at once.

    Returns:
        Raw maps, float32 (n, len(classes), rows, columns).

    Raises:
        LayerError: no such layer, or its output is no feature map.
        ValueError: max_channels is less than 1.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> scorecam(network, torch.rand(5, 3, 4, 4), [1]).shape
    torch.Size([5, 1, 4, 4])
    """
    if max_channels is not None and max_channels < 1:
        raise ValueError(f"scorecam: max_channels={max_channels} must be at least 1, or None for all")
    layer = last_feature_map(network, images) if layer == "auto" else layer
    parts = []
    for part in images.split(batch_size):
        activations, logits = activations_at(network, part, layer)
        chosen = [varying_channels(one, max_channels) for one in activations]
        batches = number_of_batches([len(channels) for channels in chosen], batch_size)
        with forward_passes(network, classes, batches, "Score-CAM") as forward:
            for image, one, channels in zip(part, activations, chosen, strict=True):
                scores = [
                    forward(image * channel_masks(one[some], image.shape[1:])[:, None])
                    for some in channels.split(batch_size)
                    if len(some)
                ]
                if not scores:
                    scores = [logits.new_zeros(0, logits.shape[1] if classes is None else len(classes))]
                weights = torch.cat(scores).softmax(0)
                parts.append(torch.einsum("kc,kij->cij", weights, one[channels]).relu())
    return torch.stack(parts)


def activations_at(network: nn.Module, images: torch.Tensor, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's activations, and the logits, of images: one forward pass without a gradient.

    Returns:
        float32 (n, channels, rows, columns) and (n, classes).

    Raises:
        LayerError: as `scorecam`.

    >>> activations_at(nn.Sequential(nn.ReLU(), nn.Flatten()), torch.tensor([[[[-1.0, 2.0]]]]), "0")[0].tolist()
    [[[[0.0, 2.0]]]]
    """
    with frozen(network), torch.no_grad(), explained_activations(network, layer) as recorded:
        logits = network(images.clone())
    activations = recorded[0].detach() if recorded else torch.empty(0)
    if activations.ndim != 4:
        shape = tuple(activations.shape)
        raise LayerError(f"{layer} has output of shape {shape}, no feature map; choose a layer before pooling")
    return activations.float(), logits


def varying_channels(activations: torch.Tensor, most: int | None = None) -> torch.Tensor:
    """Numbers of the channels that are not constant, in order; of more than `most` those with the largest variance.

    Args:
        activations: float32 (channels, rows, columns) of one image.
        most: how many at most; all when None.

    Returns:
        int64.

    >>> channels = torch.tensor([[[0.0, 1.0]], [[2.0, 2.0]], [[0.0, 9.0]]])
    >>> varying_channels(channels).tolist(), varying_channels(channels, 1).tolist()
    ([0, 2], [2])
    """
    flat = activations.flatten(1)
    varying = (flat.amax(1) > flat.amin(1)).nonzero()[:, 0]
    if most is None or len(varying) <= most:
        return varying
    return varying[flat[varying].var(1, correction=0).topk(most).indices.sort().values]


def channel_masks(channels: torch.Tensor, size: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Channels upscaled bilinearly to the size of the image, then brought to 0..1.

    Args:
        channels: float32 (k, rows, columns), none constant.
        size: height and width of the image.

    Returns:
        float32 (k, h, w).

    >>> channel_masks(torch.tensor([[[-1.0, 3.0]]]), (1, 4)).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    upscaled = functional.interpolate(channels[:, None], tuple(size), mode="bilinear")[:, 0]
    lowest, highest = (bound(upscaled, (1, 2), keepdim=True) for bound in (torch.amin, torch.amax))
    return (upscaled - lowest) / (highest - lowest).clamp(min=torch.finfo(upscaled.dtype).tiny)


def passes(
    classes: int, size: tuple[int, int], max_channels: int | None = None, channels: int = 512, **_: object
) -> Passes:
    """The image as it is, and one forward pass for each channel that is not constant.

    Args:
        classes, size: do not matter.
        max_channels: as in `scorecam`.
        channels: of the layer; 512, those of ResNet18's last, when not given.

    >>> passes(7, (224, 224), channels=2048), passes(7, (224, 224), max_channels=100)
    (Passes(forward=2049, backward=0), Passes(forward=101, backward=0))
    """
    return Passes(1 + (channels if max_channels is None else min(channels, max_channels)), 0)


METHODS = [
    Method(
        name="scorecam",
        title="Score-CAM",
        paper="Wang et al. 2020, arXiv:1910.01279",
        formula="ReLU(sum_k alpha_k A_k), alpha the softmax over channels of y(x * A_k upscaled and brought to 0..1)",
        maps=scorecam,
        resolution="layer",
        signed=False,
        passes=passes,
        needs="any network with a feature map; the cost is that of 512 channels where `channels` is not given",
    )
]
