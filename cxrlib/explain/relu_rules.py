"""Other rules for the backward pass through ReLUs, in the recorded operations of one forward pass."""

import re
from typing import Literal

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen

Rule = Literal["guided", "deconvnet"]
"""With g the gradient that comes to a ReLU of z, this goes on: "guided" max(g, 0) [z > 0], "deconvnet" max(g, 0)."""


LINEAR = """
Add Sub Rsub Neg Sum Mean Cat Stack Chunk Split SplitWithSizes Unbind Clone Alias ToCopy View UnsafeView ReshapeAlias
AsStrided Expand Repeat T Transpose Permute Squeeze Unsqueeze Slice Select Index IndexSelect Flip Roll ConstantPadNd
ReflectionPad2D ReplicationPad2D PixelShuffle PixelUnshuffle Im2Col AvgPool2D AdaptiveAvgPool2D MkldnnAdaptiveAvgPool2D
UpsampleNearest2D UpsampleBilinear2D UpsampleBicubic2D NativeBatchNorm CudnnBatchNorm MiopenBatchNorm BatchNorm
NativeGroupNorm NativeLayerNorm MaxPool2DWithIndices AdaptiveMaxPool2D Max Amax
""".strip()
"""Operations of torch that keep the gradient of automatic differentiation, as in the papers.

They are linear, or normalise, or choose the largest of some cells.
"""


PRODUCTS = "Mul Div Mm Bmm Mv Addmm Addmv Baddbmm Linear Convolution MkldnnConvolution CudnnConvolution"
"""Operations that are linear where only one factor depends on the image, and the divisor does not.

A factor that is made from the image without a gradient, such as `features > 0`, cannot be told from a constant.
"""


class UnruledActivation(ValueError):
    """The network has an activation, or another operation that is not linear, for which a rule is not defined."""


def rule_relus(logits: torch.Tensor, rule: Rule) -> None:
    """Change the backward pass from `logits`: every ReLU on the way to the image follows the rule.

    It changes the recorded operations, not the modules. So it does not matter whether a ReLU is a module or a function,
    works in place, or is used several times, and the network stays as it is.

    Args:
        logits: of a network whose weights require no gradient.
        rule: see `Rule`.

    Raises:
        UnruledActivation: there is an operation that is neither a ReLU nor in LINEAR or PRODUCTS.

    >>> image = torch.tensor([1.0, -1.0], requires_grad=True)
    >>> logits = image.relu() @ torch.tensor([[2.0, -2.0], [2.0, -2.0]])
    >>> rule_relus(logits, "deconvnet")
    >>> torch.autograd.grad(logits[0], image)[0].tolist()
    [2.0, 2.0]
    """
    if unruled := unruled_operations(logits):
        raise UnruledActivation(f"there is a rule for ReLU alone, and the network has {', '.join(unruled)}")
    for operation in _operations(logits):
        if _name(operation) == "Relu":
            operation.register_hook(_guided if rule == "guided" else _deconvnet)


def unruled_operations(logits: torch.Tensor) -> list[str]:
    """Names of the operations on the way to the image that are no ReLU and not known to be linear, sorted.

    >>> image = torch.ones(2, requires_grad=True)
    >>> unruled_operations(2 * image.relu() + nn.functional.silu(image))
    ['Silu']
    """
    return sorted({_name(operation) for operation in _operations(logits) if not _is_ruled(operation)})


def modules_with(network: nn.Module, images: torch.Tensor, operations: list[str]) -> dict[str, list[str]]:
    """The innermost modules of a network whose last operation is one of those named; for the line of a refusal.

    Args:
        network: runs once.
        images: (n, c, h, w) as the network takes them.
        operations: names as `unruled_operations` gives them.

    Returns:
        Operation -> classes and names of modules; empty where the operation is a function in no module of its own.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.GELU(), nn.Flatten(), nn.Linear(8, 1))
    >>> modules_with(network, torch.ones(1, 1, 2, 2), ["Gelu"])
    {'Gelu': ['GELU 1']}
    """
    found: dict[str, list[str]] = {operation: [] for operation in operations}

    def noting(name: str):
        def note(module: nn.Module, _inputs: tuple, output: object) -> None:
            where = _name(output.grad_fn) if isinstance(output, torch.Tensor) else None
            described = f"{type(module).__name__} {name}"
            if where in found and described not in found[where]:
                found[where].append(described)

        return note

    innermost = [(name, module) for name, module in network.named_modules() if name and not [*module.children()]]
    hooks = [module.register_forward_hook(noting(name)) for name, module in innermost]
    try:
        with frozen(network), torch.enable_grad():
            network(images.detach().requires_grad_().clone())
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _operations(logits: torch.Tensor) -> list:
    """The recorded operations between the logits and the image, each once."""
    found, ahead = {}, [logits.grad_fn]
    while ahead:
        operation = ahead.pop()
        if operation is not None and operation not in found:
            found[operation] = None
            ahead.extend(before for before, _ in operation.next_functions)
    return [operation for operation in found if type(operation).__name__ != "AccumulateGrad"]


def _name(operation: object) -> str:
    """Of torch's ReluBackward0: Relu. The name of any other, such as a user's own function, as it is."""
    own = re.fullmatch(r"(\w+)Backward\d+", type(operation).__name__)
    return own.group(1) if own else type(operation).__name__


def _is_ruled(operation) -> bool:
    name = _name(operation)
    if name in PRODUCTS.split():
        factors = [index for index, (before, _) in enumerate(operation.next_functions) if before is not None]
        return len(factors) == 1 and not (name == "Div" and factors == [1])
    return name == "Relu" or name in LINEAR.split()


def _guided(gradients: tuple, _incoming: tuple) -> tuple:
    """The plain gradient of a ReLU is zero where z <= 0 already; nobody else holds that gradient."""
    return (gradients[0].clamp_(min=0),)


def _deconvnet(_gradients: tuple, incoming: tuple) -> tuple:
    return (incoming[0].clamp(min=0),)
