"""Class activation maps: methods that weigh the channels of a feature map."""

import torch
from torch import nn

from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.method import Method, Passes
from cxrlib.model.feature_maps import last_feature_map


def gradcam_maps(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    batch_size: int = 32,
) -> torch.Tensor:
    """`gradcam` as a `cxrlib.explain.method.Method`: maps alone, batch by batch, at any layer.

    Args:
        network: logits (n, classes).
        images: float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        layer: name of a module; "auto" takes `cxrlib.model.feature_maps.last_feature_map`.
        batch_size: images that pass through the network at once.

    Returns:
        Raw maps, float32 (n, len(classes), rows, columns).

    Raises:
        LayerError: no such layer, or its output is no feature map.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> gradcam_maps(network, torch.zeros(5, 3, 4, 4), [1]).shape
    torch.Size([5, 1, 4, 4])
    """
    layer = last_feature_map(network, images) if layer == "auto" else layer
    return torch.cat([gradcam(network, batch, layer, classes)[0] for batch in images.split(batch_size)])


METHODS = [
    Method(
        name="gradcam",
        title="Grad-CAM",
        paper="Selvaraju et al. 2017, arXiv:1610.02391",
        formula="ReLU(sum_k alpha_k A_k), alpha_k the mean over all cells of dy / dA_k",
        maps=gradcam_maps,
        resolution="layer",
        signed=False,
        passes=lambda classes, size, **_: Passes(1, classes),
        needs="any network with a feature map",
    )
]
