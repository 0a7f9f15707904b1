"""c-Eval (Vu et al. 2019, arXiv:1906.02032): how hard it is to change a prediction without the pixels of its map."""

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen

ITERATIONS, HALVINGS, BEYOND = 12, 6, 0.02
"""Steps to cross the threshold, halvings of the way back, and how far a step goes beyond the threshold."""


def least_change(
    network: nn.Module,
    images: torch.Tensor,
    classes: torch.Tensor,
    allowed: torch.Tensor,
    threshold: float,
    batch_size: int = 32,
) -> torch.Tensor:
    """Size of a small change of the allowed pixels that takes the class's logit to the other side of a threshold.

        d <- d - (1 + BEYOND) (y(x + d) - t) g / ||g||^2,  g = dy / dx at x + d in the allowed pixels, else 0

    These are the steps of DeepFool (Moosavi-Dezfooli et al. 2016) where the paper takes Carlini and Wagner's attack,
    which costs hundreds of times as many passes. Then the way back to x is halved, as far as the prediction stays
    changed. It is an upper bound of the least change, found in the same way for every choice of pixels. The values may
    leave the range of grey values. ITERATIONS passes with their gradients and HALVINGS passes without.

    Args:
        network: logits (n, classes of the network); its mode and gradient flags return as they were.
        images: x, float32 (n, c, h, w) as the network takes them.
        classes: the column of each image's logit, int64 (n,).
        allowed: bool (n, h, w), the pixels that may change.
        threshold: t, of the logit.
        batch_size: images that pass through the network at once.

    Returns:
        ||d||, float32 (n,); NaN where the threshold was not crossed.

    The logit is 3 at 0 with the gradient (3, 4, 12); where the first two pixels may change, 3 / 5 is enough:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data, network[1].bias.data = torch.tensor([[3.0, 4.0, 12.0]]), torch.tensor([3.0])
    >>> allowed = torch.tensor([[[True, True, False]]])
    >>> round(least_change(network, torch.zeros(1, 1, 1, 3), torch.tensor([0]), allowed, threshold=0.0).item(), 1)
    0.6
    """
    with frozen(network):
        parts = zip(*(values.split(batch_size) for values in (images, classes, allowed)), strict=True)
        found = [_least_change(network, *part, threshold) for part in parts]
    return torch.cat(found) if found else images.new_zeros(0)


def _least_change(
    network: nn.Module, images: torch.Tensor, classes: torch.Tensor, allowed: torch.Tensor, threshold: float
) -> torch.Tensor:
    chosen, free = classes[:, None], allowed[:, None].to(images)
    change = torch.zeros_like(images)
    side = torch.zeros(0)
    for number in range(ITERATIONS + 1):
        with torch.enable_grad():
            moved = (images + change).requires_grad_()
            logits = network(moved.clone()).gather(1, chosen)[:, 0]
            gradient = torch.autograd.grad(logits.sum(), moved)[0] * free
        margin = logits.detach() - threshold
        side = margin.sign() if number == 0 else side
        crossed = margin.sign() != side
        if crossed.all() or number == ITERATIONS:
            break
        size = gradient.square().sum((1, 2, 3)).clamp(min=torch.finfo(gradient.dtype).tiny)
        step = (1 + BEYOND) * (margin / size)[:, None, None, None] * gradient
        change = torch.where(crossed[:, None, None, None], change, change - step)
    low, high = torch.zeros_like(margin), torch.ones_like(margin)
    with torch.no_grad():
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            logits = network(images + middle[:, None, None, None] * change).gather(1, chosen)[:, 0]
            changed = (logits - threshold).sign() != side
            low, high = torch.where(changed, low, middle), torch.where(changed, middle, high)
    size = high * change.flatten(1).norm(dim=1)
    return size.where(crossed & size.isfinite(), torch.nan)
