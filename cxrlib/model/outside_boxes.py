"""A loss term for maps that leave readers' boxes: class activation maps in the same forward pass.

Behind global average pooling and one linear layer the class activation map is a linear function of the last feature
map, so that its place can be learned like any output (Ross et al. 2017 penalise gradients outside of annotations).
"""

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from cxrlib.model.augmentation import transform
from cxrlib.model.pooling import split_at_pooling
from cxrlib.runtime.errors import Refusal


def outside_share(maps: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """The mean over the boxed findings of the share of each map's positive mass that lies outside of the boxes.

        1/|B| sum_(b in B) (sum_ij max(M_bij, 0) (1 - cover_bij)) / (sum_ij max(M_bij, 0))

    Args:
        maps: M, class activation maps, float32 (n, classes, rows, columns).
        covers: fraction of each cell that the boxes cover, float32 of the same shape; zeros where there is no box.

    Returns:
        A scalar in 0..1. A map without a positive cell counts as 0; without a boxed finding the result is 0.

    A quarter of the first map's mass lies outside of its box, the second has no box:

    >>> maps = torch.tensor([[[[3.0, 1.0, -5.0]], [[1.0, 1.0, 1.0]]]])
    >>> outside_share(maps, torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]]])).item()
    0.25
    """
    boxed = covers.flatten(2).any(2)
    positive = maps.relu()
    outside, total = (positive * (1 - covers)).sum((2, 3)), positive.sum((2, 3))
    shares = outside / total.clamp(min=torch.finfo(total.dtype).tiny)
    return (shares * boxed).sum() / boxed.sum().clamp(min=1)


class OutsideBoxes:
    """`FurtherLoss` of a network: weight times the `outside_share` of its class activation maps.

    Args:
        network: on its device; its `layer` is followed by global average pooling and one linear layer.
        layer: name of the module whose output is the last feature map.
        covers: of the training images' boxes, uint8 0..255 (n, classes, side, side), finer than the map's cells, since
            they are flipped and rotated with the images.
        weight: 0 changes nothing.

    Raises:
        Refusal: more than average pooling and one linear layer stands behind the layer.
    """

    def __init__(self, network: nn.Module, layer: str, covers: torch.Tensor, weight: float) -> None:
        pooled = split_at_pooling(network, layer)
        if pooled is None:
            raise Refusal(f"no map in closed form at {layer}: more than average pooling and a linear layer follows it")
        self.linear, self.rectified, self.covers, self.weight = pooled.linear, pooled.rectified, covers, weight
        network.get_submodule(layer).register_forward_hook(self._note)

    def _note(self, _module: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        self.features = output

    def __call__(self, positions: torch.Tensor, flips: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
        """The term for the images of these positions, whose feature map the last forward pass has left."""
        features = self.features.relu() if self.rectified else self.features
        maps = torch.einsum("ck,nkij->ncij", self.linear.weight.float(), features.float())
        covers = transform(self.covers[positions].to(maps.device), flips, degrees).float() / 255
        return self.weight * outside_share(maps, adaptive_avg_pool2d(covers, maps.shape[2:]))
