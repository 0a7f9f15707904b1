"""Gradients of the logits of several classes from one forward pass."""

from collections.abc import Callable

import torch


class NoGradient(ValueError):
    """The network gives no logits that torch can differentiate."""


def class_gradients(
    logits: torch.Tensor,
    at: torch.Tensor,
    classes: list[int] | None = None,
    reduce: Callable[[torch.Tensor], torch.Tensor] = lambda gradients: gradients,
    rows: int | None = None,
) -> torch.Tensor:
    """dy^c / dA of each image and class: classes go backward together, or one by one where that fails.

    They go one by one where memory does not suffice for more, or where torch cannot batch an operation of the network.

    Args:
        logits: y, (n, all classes); those of image i depend on A_i alone.
        at: A, (n, ...), a tensor that requires a gradient and from which the logits are made.
        classes: columns of the logits; all when None.
        reduce: what is kept of the gradients (some classes, n, ...): its result has the classes as first dimension. It
            keeps memory small where the whole gradient is not needed.
        rows: images times classes that go backward at once, though at least one class; all classes when None.

    Returns:
        (n, classes, ...), of what `reduce` keeps.

    Raises:
        NoGradient: the logits are no matrix, or torch did not record how they depend on A.

    >>> images = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> class_gradients(torch.stack([images.sum(1), images.prod(1)], dim=1), images, classes=[1]).tolist()
    [[[2.0, 1.0]], [[4.0, 3.0]]]
    """
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise NoGradient(f"the network gives {shape}, no logits (images, classes); wrap it in a module that does")
    if not logits.requires_grad:
        raise NoGradient(
            "torch cannot differentiate the network's logits; choose another layer, or a method that only runs forward"
        )
    chosen = logits.sum(0) if classes is None else logits.sum(0)[classes]
    together = len(chosen) if rows is None else max(1, rows // max(1, len(at)))
    parts = [_reduced_gradients(some, at, reduce) for some in chosen.split(together)]
    return torch.cat(parts).transpose(0, 1)


def _reduced_gradients(
    chosen: torch.Tensor, at: torch.Tensor, reduce: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """`reduce` of the gradients (classes, n, ...) of some sums of logits, (classes,)."""
    if len(chosen) > 1:
        try:
            directions = torch.eye(len(chosen)).to(chosen)
            return reduce(torch.autograd.grad(chosen, at, directions, retain_graph=True, is_grads_batched=True)[0])
        except RuntimeError:  # too little memory for all of them, or an operation that cannot be batched
            pass
    return torch.cat([reduce(torch.autograd.grad(one, at, retain_graph=True)[0][None]) for one in chosen])
