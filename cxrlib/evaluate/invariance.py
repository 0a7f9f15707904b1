"""Input invariance (Kindermans et al. 2017, arXiv:1711.00867): a shift that is taken back changes no reason."""

import torch
from torch import nn

from cxrlib.model.architectures import IMAGENET

LIMIT = 0.99
"""The least rank correlation at which two maps agree."""


class Shifted(nn.Module):
    """The compensated network: f(x - m), which says of x + m what f says of x.

    Kindermans et al. change the bias of the first layer instead, which many networks do not have.

    Args:
        network: f.
        shift: m, of a shape that fits the images.

    >>> twice = nn.Linear(1, 1, bias=False)
    >>> twice.weight.data = torch.tensor([[2.0]])
    >>> Shifted(twice, torch.tensor([10.0]))(torch.tensor([[13.0]])).tolist()
    [[6.0]]
    """

    def __init__(self, network: nn.Module, shift: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", shift)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits of the inputs without the shift."""
        return self.network(inputs - self.shift)


def whole_range() -> torch.Tensor:
    """The shift m of the paper, the whole range of grey values, in the units of the network's input: 1 / std.

    Returns:
        float32 (1, 3, 1, 1).

    >>> whole_range().flatten().numpy().round(2)
    array([4.37, 4.46, 4.44], dtype=float32)
    """
    return 1 / torch.tensor(IMAGENET.std).view(1, 3, 1, 1)
