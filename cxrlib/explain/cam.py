"""Class activation maps: methods that weigh a layer's feature map A by the gradient g = dy / dA.

Behind global average pooling and one linear layer the gradient of a class is the same at every cell: g = w / Z, with Z
the number of cells. There CAM, Grad-CAM, HiResCAM and XGrad-CAM are one map up to its scale. Where a ReLU stands before
the pooling, only CAM and HiResCAM are. With any other head there is no CAM, and the others differ.
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from cxrlib.explain.class_gradients import class_gradients
from cxrlib.explain.gradcam import explained_activations, feature_map, frozen, gradcam
from cxrlib.explain.method import Method, Passes
from cxrlib.model.feature_maps import last_feature_map
from cxrlib.model.pooling import PooledNetwork, pooled_at
from cxrlib.runtime.memory import smaller_batches

Weighing = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Activations (n, k, rows, columns) and gradients (classes, n, k, rows, columns) to (classes, n, rows, columns)."""


class NoClosedForm(ValueError):
    """More than average pooling and one linear layer stands behind the layer, so that CAM is not defined."""


@smaller_batches
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
        NoGradient: torch cannot differentiate the logits.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> gradcam_maps(network, torch.zeros(5, 3, 4, 4), [1]).shape
    torch.Size([5, 1, 4, 4])
    """
    layer = last_feature_map(network, images) if layer == "auto" else layer
    return torch.cat([gradcam(network, batch, layer, classes)[0] for batch in images.split(batch_size)])


@smaller_batches
def gradcam_plus_plus(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    batch_size: int = 32,
) -> torch.Tensor:
    """Grad-CAM++ (Chattopadhay et al. 2018): positive gradients, weighed so that each of several findings counts alike.

        L = ReLU(sum_k w_k A_k),  w_k = sum_ij a_kij ReLU(g_kij),  a_kij = g^2 / (2 g^2 + g^3 sum_ab A_kab)

    The paper takes the gradients of exp(y). Its derivatives are exp(y) times powers of g, so that exp(y) is a factor of
    the whole map and is left out. Where g is zero a is zero.

    Args, returns, errors: as in `gradcam_maps`.

    The gradient is 0.5 at every cell: w = 4 cells * 1 / (2 + 0.5 * 4) * 0.5 = 0.5

    >>> network = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(4, 1))
    >>> network[2].weight.data = torch.full((1, 4), 0.5)
    >>> gradcam_plus_plus(network, torch.ones(1, 1, 2, 2), layer="0").tolist()
    [[[[0.5, 0.5], [0.5, 0.5]]]]
    """

    def weigh(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        denominators = 2 + gradients * activations.sum((2, 3), keepdim=True)
        shares = torch.where(denominators != 0, 1 / denominators, 0)
        weights = (shares * gradients.relu()).sum((3, 4), keepdim=True)
        return (weights * activations).sum(2).relu()

    return _maps(network, images, classes, layer, batch_size, weigh)


@smaller_batches
def layercam(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    batch_size: int = 32,
) -> torch.Tensor:
    """LayerCAM (Jiang et al. 2021): each cell has its own weight, its positive gradient.

        L_ij = ReLU(sum_k ReLU(g_kij) A_kij)

    It can be used at early layers, whose maps are finer.

    Args, returns, errors: as in `gradcam_maps`.

    >>> network = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(4, 1))
    >>> network[2].weight.data = torch.tensor([[1.0, -1.0, 2.0, 0.0]])
    >>> layercam(network, torch.full((1, 1, 2, 2), 3.0), layer="0").tolist()
    [[[[3.0, 0.0], [6.0, 0.0]]]]
    """

    def weigh(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return (gradients.relu() * activations).sum(2).relu()

    return _maps(network, images, classes, layer, batch_size, weigh)


@smaller_batches
def hirescam(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    batch_size: int = 32,
) -> torch.Tensor:
    """HiResCAM (Draelos and Carin 2020): the gradient of each cell times its activation.

        L_ij = ReLU(sum_k g_kij A_kij)

    Before the ReLU, the cells of a map behind one linear layer add up to the logit without its bias. The ReLU is this
    project's, as in Grad-CAM. Behind average pooling and one linear layer it is Grad-CAM.

    Args, returns, errors: as in `gradcam_maps`.

    >>> network = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(8, 1))
    >>> network[2].weight.data = torch.tensor([[1.0, 1.0, 2.0, 0.0, 1.0, -2.0, 0.0, 0.0]])
    >>> hirescam(network, torch.full((1, 2, 2, 2), 3.0), layer="0").tolist()
    [[[[6.0, 0.0], [6.0, 0.0]]]]
    """

    def weigh(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        return (gradients * activations).sum(2).relu()

    return _maps(network, images, classes, layer, batch_size, weigh)


@smaller_batches
def xgradcam(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    batch_size: int = 32,
) -> torch.Tensor:
    """XGrad-CAM (Fu et al. 2020): gradients averaged over the cells by their share of the channel's activation.

        L = ReLU(sum_k w_k A_k),  w_k = sum_ij g_kij A_kij / sum_ab A_kab

    A channel whose activations add up to zero has weight zero. Behind average pooling and one linear layer it is
    Grad-CAM.

    Args, returns, errors: as in `gradcam_maps`.

    >>> network = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(2, 1))
    >>> network[2].weight.data = torch.tensor([[1.0, 5.0]])
    >>> xgradcam(network, torch.tensor([[[[1.0, 3.0]]]]), layer="0").tolist()  # w = 1 * 1/4 + 5 * 3/4 = 4
    [[[[4.0, 12.0]]]]
    """

    def weigh(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        sums = activations.sum((2, 3), keepdim=True)
        shares = torch.where(sums != 0, activations / sums, 0)
        weights = (shares * gradients).sum((3, 4), keepdim=True)
        return (weights * activations).sum(2).relu()

    return _maps(network, images, classes, layer, batch_size, weigh)


@smaller_batches
def cam(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    batch_size: int = 32,
) -> torch.Tensor:
    """CAM (Zhou et al. 2016): the pooled feature map, weighed by the linear layer; no gradient.

        L_ij = ReLU(sum_k w_k A_kij)

    A is what is averaged: where a ReLU stands between the layer and the pooling, A is behind it. The ReLU around the
    sum is this project's, as in Grad-CAM. CAM is Z times HiResCAM, Z the number of cells; where no ReLU stands between
    the layer and the pooling it is Z times Grad-CAM and XGrad-CAM.

    Args, returns: as in `gradcam_maps`.

    Raises:
        LayerError: no such layer, or its output is no feature map.
        NoClosedForm: something else than average pooling and one linear layer follows the layer.

    >>> network = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    >>> network[3].weight.data = torch.tensor([[4.0, -4.0, 0.0]])
    >>> cam(network, torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]], [[9.0, 9.0]]]]), layer="0").tolist()
    [[[[4.0, 0.0]]]]
    """
    layer = last_feature_map(network, images) if layer == "auto" else layer
    with frozen(network), torch.no_grad():
        pooled = pooled_at(network, layer)
        if pooled is None:
            with explained_activations(network, layer):
                raise NoClosedForm(
                    f"CAM needs average pooling and one linear layer behind {layer}; this network has another head. "
                    "Explain it with gradcam, which equals CAM up to scale where CAM exists"
                )
        chosen = pooled.linear.weight if classes is None else pooled.linear.weight[classes]
        parts = []
        for batch in images.split(batch_size):
            activations = feature_map([pooled.features(batch)], layer)
            averaged = activations.relu() if pooled.rectified else activations
            parts.append((chosen @ averaged.flatten(2)).relu().unflatten(2, averaged.shape[2:]))
        return torch.cat(parts)


def _maps(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None,
    layer: str,
    batch_size: int,
    weigh: Weighing,
) -> torch.Tensor:
    """Maps (n, classes, rows, columns) of a method that weighs activations by gradients: one forward pass an image."""
    layer = last_feature_map(network, images) if layer == "auto" else layer
    with frozen(network):
        pooled = pooled_at(network, layer)
        if pooled is not None:
            return torch.cat(
                [_closed_form(pooled, batch, classes, batch_size, weigh) for batch in images.split(batch_size)]
            )
        return torch.cat(
            [_autograd(network, batch, classes, layer, batch_size, weigh) for batch in images.split(batch_size)]
        )


@torch.no_grad()
def _closed_form(
    network: PooledNetwork, images: torch.Tensor, classes: list[int] | None, rows: int, weigh: Weighing
) -> torch.Tensor:
    """Maps from g = w / Z at every cell, zero behind a ReLU where the activation is not positive; no backward pass."""
    activations = feature_map([network.features(images)], network.layer)
    weights = network.linear.weight if classes is None else network.linear.weight[classes]
    at_cell = weights[:, None, :, None, None] / activations[0, 0].numel()
    passing = (activations > 0).float() if network.rectified else torch.ones_like(activations[:1, :1])

    def gradients() -> Iterator[torch.Tensor]:
        for some in at_cell.split(max(1, rows // max(1, len(images)))):
            yield (some * passing).expand(len(some), *activations.shape)

    return torch.cat([weigh(activations, one) for one in gradients()]).transpose(0, 1)


def _autograd(
    network: nn.Module, images: torch.Tensor, classes: list[int] | None, layer: str, rows: int, weigh: Weighing
) -> torch.Tensor:
    """Maps of any network: backward to the layer and no further."""
    with explained_activations(network, layer) as recorded, torch.enable_grad():
        logits = network(images)
        at = feature_map(recorded, layer)
        return class_gradients(logits, at, classes, lambda gradients: weigh(at.detach(), gradients), rows)


def _method(name: str, title: str, paper: str, formula: str, maps: Callable[..., torch.Tensor]) -> Method:
    return Method(
        name=name,
        title=title,
        paper=paper,
        formula=formula,
        maps=maps,
        resolution="layer",
        signed=False,
        passes=lambda classes, size, **_: Passes(1, classes),
        needs="any network with a feature map; behind average pooling and one linear layer no backward pass is needed",
        closed_form=True,
    )


METHODS = [
    _method(
        "gradcam",
        "Grad-CAM",
        "Selvaraju et al. 2017, arXiv:1610.02391",
        "ReLU(sum_k alpha_k A_k), alpha_k the mean over all cells of dy / dA_k",
        gradcam_maps,
    ),
    _method(
        "gradcam_plus_plus",
        "Grad-CAM++",
        "Chattopadhay et al. 2018, arXiv:1710.11063",
        "ReLU(sum_k w_k A_k), w_k = sum_ij ReLU(g_kij) / (2 + g_kij sum_ab A_kab), g = dy / dA",
        gradcam_plus_plus,
    ),
    _method(
        "layercam",
        "LayerCAM",
        "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
        "ReLU(sum_k ReLU(g_kij) A_kij), g = dy / dA",
        layercam,
    ),
    _method(
        "hirescam",
        "HiResCAM",
        "Draelos and Carin 2020, arXiv:2011.08891",
        "ReLU(sum_k g_kij A_kij), g = dy / dA; equals Grad-CAM behind average pooling and one linear layer",
        hirescam,
    ),
    _method(
        "xgradcam",
        "XGrad-CAM",
        "Fu et al. 2020, arXiv:2008.02312",
        "ReLU(sum_k w_k A_k), w_k = sum_ij g_kij A_kij / sum_ab A_kab, g = dy / dA; equals Grad-CAM behind average "
        "pooling and one linear layer",
        xgradcam,
    ),
    Method(
        name="cam",
        title="CAM",
        paper="Zhou et al. 2016, arXiv:1512.04150",
        formula="ReLU(sum_k w_k A_k), w_k the weights of the linear layer; equals Grad-CAM up to scale",
        maps=cam,
        resolution="layer",
        signed=False,
        passes=lambda classes, size, **_: Passes(1, 0),
        needs="average pooling and one linear layer behind the layer: ResNet, DenseNet, EfficientNet",
    ),
]
