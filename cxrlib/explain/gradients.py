"""Gradients of a logit with respect to the image: plain (Simonyan et al. 2013) and smoothed (Smilkov et al. 2017)."""

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen
from cxrlib.explain.smoothgrad import noisy_copies
from cxrlib.runtime.memory import smaller_batches


def vanilla_gradient(network: nn.Module, inputs: torch.Tensor, column: int) -> torch.Tensor:
    """Absolute gradient of one logit with respect to the input, of the strongest colour channel (Simonyan et al. 2013).

    `M_ij = max_channel |d y^c / d x_channel,ij|`

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))  # one pixel of three channels
    >>> network[1].weight.data = torch.tensor([[1.0, -7.0, 2.0]])
    >>> vanilla_gradient(network, torch.zeros(1, 3, 1, 1), column=0)
    tensor([[[7.]]])

    Args:
        network: logits (n, classes); its modes are as before afterwards.
        inputs: float32 (n, 3, h, w), normalised.
        column: which logit.

    Returns:
        float32 (n, h, w).
    """
    with frozen(network), torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network(leaf)[:, column].sum(), leaf)
    return gradient.abs().amax(1)


@smaller_batches
def smooth_gradient(
    network: nn.Module, image: torch.Tensor, column: int, noise_level: float, samples: int, seed: int, batch_size: int
) -> torch.Tensor:
    """SmoothGrad as published (Smilkov et al. 2017): the mean `vanilla_gradient` over `noisy_copies` of one image.

    `(1 / samples) sum_i M(x + e_i)`, with noise e_i as in `noisy_copies`.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))  # its gradient is the same everywhere
    >>> network[1].weight.data = torch.tensor([[1.0, -7.0, 2.0]])
    >>> smooth_gradient(network, torch.rand(3, 1, 1), 0, noise_level=0.1, samples=4, seed=0, batch_size=2)
    tensor([[7.]])

    Args:
        network, column: as in `vanilla_gradient`.
        image: float32 (3, h, w), normalised.
        noise_level, samples, seed, batch_size: as in `noisy_copies`.

    Returns:
        float32 (h, w).
    """
    batches = noisy_copies(image, noise_level, samples, seed, batch_size)
    return sum(vanilla_gradient(network, noisy, column).sum(0) for noisy in batches) / samples
