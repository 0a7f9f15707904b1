"""Gradients of a logit with respect to the image (Simonyan et al. 2013), plain and smoothed (Smilkov et al. 2017)."""

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen
from cxrlib.explain.smoothgrad import noisy_copies
from cxrlib.runtime.memory import smaller_batches


def vanilla_gradient(network: nn.Module, inputs: torch.Tensor, column: int) -> torch.Tensor:
    """Absolute gradient of one logit with respect to the input, strongest channel (Simonyan et al. 2013).

        M_ij = max_k |dy / dx_kij|

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were.
        inputs: float32 (n, 3, h, w), normalised.
        column: which logit.

    Returns:
        float32 (n, h, w).

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> vanilla_gradient(network, torch.zeros(1, 3, 1, 1), 0).tolist()
    [[[3.0]]]
    """
    with frozen(network), torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network(leaf)[:, column].sum(), leaf)
    return gradient.abs().amax(1)


@smaller_batches
def smooth_gradient(
    network: nn.Module, image: torch.Tensor, column: int, noise_level: float, samples: int, seed: int, batch_size: int
) -> torch.Tensor:
    """SmoothGrad as published: the mean `vanilla_gradient` over noisy copies of one image (Smilkov et al. 2017).

        1/N sum_n M(x + e_n),  e_n from a normal distribution with sigma = noise_level * (max x - min x)

    Args:
        network, column: as in `vanilla_gradient`.
        image: float32 (3, h, w), normalised.
        noise_level, samples, seed, batch_size: as in `smoothgrad`.

    Returns:
        float32 (h, w).

    The gradient of a linear network is the same for every copy:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> smooth_gradient(network, torch.rand(3, 1, 1), 0, noise_level=0.1, samples=4, seed=0, batch_size=2).tolist()
    [[3.0]]
    """
    batches = noisy_copies(image, noise_level, samples, seed, batch_size)
    return sum(vanilla_gradient(network, noisy, column).sum(0) for noisy in batches) / samples
