"""Gradients of a logit with respect to the image (Simonyan et al. 2013), plain and smoothed (Smilkov et al. 2017)."""

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen
from cxrlib.explain.smoothgrad import noisy_copies
from cxrlib.runtime.memory import smaller_batches


def vanilla_gradient(network: nn.Module, inputs: torch.Tensor, column: int) -> torch.Tensor:
    """Absolute gradient of one logit with respect to the input (Simonyan et al. 2013), strongest channel.

    Args:
        network: logits (n, classes); borrowed.
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
    """SmoothGrad as published: the mean `vanilla_gradient` over noisy copies of one image (3, h, w) -> (h, w)."""
    batches = noisy_copies(image, noise_level, samples, seed, batch_size)
    return sum(vanilla_gradient(network, noisy, column).sum(0) for noisy in batches) / samples
