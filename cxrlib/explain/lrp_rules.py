"""Rules of layer-wise relevance propagation: how the relevance of an operation's output goes to its inputs.

All take a `Step` and the relevance of its output, one for each class (classes, *output), and give the relevance of each
input (classes, *input). z is the output, c_j = w_j x_j the contribution of input j to it, R the relevance of the
output, x+ the positive and x- the negative part of a number, stab(z) = z + epsilon with the sign of z. A bias
contributes to z and receives no relevance: its share is absorbed.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn


class Step(NamedTuple):
    """One operation of a forward pass.

    Attributes:
        inputs: the tensors that depend on the images, as leaves of the operation's own gradient graph.
        output: what it gave, with that graph.
        layer: the module where the operation has weights.
    """

    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor
    layer: nn.Module | None = None


Rule = Callable[[Step, torch.Tensor], list[torch.Tensor]]


def step_of(operation: Callable, *inputs: torch.Tensor) -> Step:
    """Apply an operation to tensors.

    >>> step_of(torch.add, torch.tensor([1.0]), torch.tensor([2.0])).output.tolist()
    [3.0]
    """
    leaves = tuple(tensor.detach().requires_grad_() for tensor in inputs)
    with torch.enable_grad():
        return Step(leaves, operation(*leaves), operation if isinstance(operation, nn.Module) else None)


def passed(_step: Step, relevance: torch.Tensor) -> list[torch.Tensor]:
    """The input has the relevance of the output: for a ReLU, and for a change of units.

    >>> passed(step_of(torch.relu, torch.tensor([2.0])), torch.tensor([[5.0]]))
    [tensor([[5.]])]
    """
    return [relevance]


def moved(step: Step, relevance: torch.Tensor) -> list[torch.Tensor]:
    """Relevance goes where the value came from: for flattening, concatenation and maximum pooling (to the winner).

    >>> pooled = step_of(nn.MaxPool1d(2), torch.tensor([[1.0, 3.0]]))
    >>> moved(pooled, torch.tensor([[[6.0]]]))
    [tensor([[[0., 6.]]])]
    """
    return _gradients(step.output, step.inputs, relevance)


def shared(step: Step, relevance: torch.Tensor, epsilon: float = 1e-6) -> list[torch.Tensor]:
    """LRP-epsilon (Bach et al. 2015): every input receives its share of the output, R_j = c_j R / stab(z).

    It holds for every linear operation: a layer with weights, an addition, average pooling, a mean, batch norm.

    >>> summed = step_of(torch.add, torch.tensor([1.0]), torch.tensor([3.0]))
    >>> shared(summed, torch.tensor([[8.0]]), epsilon=0)
    [tensor([[2.]]), tensor([[6.]])]
    """
    gradients = _gradients(step.output, step.inputs, _divided(relevance, step.output, epsilon))
    return [value.detach() * gradient for value, gradient in zip(step.inputs, gradients, strict=True)]


def alpha1beta0(step: Step, relevance: torch.Tensor, epsilon: float = 1e-6) -> list[torch.Tensor]:
    """LRP-alpha1beta0 (Bach et al. 2015): only positive contributions count, R_j = c_j+ R / stab(sum_k c_k+).

    A negative input with a negative weight contributes positively. Where nothing does, the relevance is lost.

    >>> layer = nn.Linear(3, 1, bias=False)
    >>> layer.weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> alpha1beta0(step_of(layer, torch.tensor([[1.0, -1.0, -5.0]])), torch.tensor([[[8.0]]]), epsilon=0)
    [tensor([[[2., 6., 0.]]])]
    """
    return [_reweighted(step, relevance, epsilon, lambda one: one.clamp(min=0), lambda one: one.clamp(max=0))]


def gamma(step: Step, relevance: torch.Tensor, epsilon: float = 1e-6, gamma: float = 0.25) -> list[torch.Tensor]:
    """LRP-gamma (Montavon et al. 2019): contributions with the sign of the output count 1 + gamma times.

        R_j = (c_j + gamma c_j+) R / stab(sum_k c_k + gamma c_k+)  where z > 0, with c- in place of c+ where z < 0

    Montavon et al. give the first case with inputs that are not negative: the only one behind a ReLU. The second is the
    generalisation of Andeol et al. 2021. A residual branch needs it: its output is not rectified before the addition.

    >>> layer = nn.Linear(2, 2, bias=False)
    >>> layer.weight.data = torch.tensor([[3.0, -1.0], [-3.0, 1.0]])
    >>> step = step_of(layer, torch.tensor([[1.0, 1.0]]))
    >>> gamma(step, torch.tensor([[[5.0, 0.0]], [[0.0, 5.0]]]), epsilon=0, gamma=1)
    [tensor([[[ 6., -1.]],
    <BLANKLINE>
            [[ 6., -1.]]])]
    """

    def raised(one: torch.Tensor) -> torch.Tensor:
        return one + gamma * one.clamp(min=0)

    def lowered(one: torch.Tensor) -> torch.Tensor:
        return one + gamma * one.clamp(max=0)

    above = _reweighted(step, relevance * (step.output > 0), epsilon, raised, lowered)
    below = _reweighted(step, relevance * (step.output < 0), epsilon, lowered, raised)
    return [above + below]


def flat(step: Step, relevance: torch.Tensor) -> list[torch.Tensor]:
    """LRP-flat (Lapuschkin et al. 2019): every input in the field of an output receives the same share.

    >>> layer = nn.Conv1d(1, 1, 3, padding=1, bias=False)
    >>> flat(step_of(layer, torch.tensor([[[7.0, 0.0, -2.0]]])), torch.tensor([[[[2.0, 3.0, 0.0]]]]))
    [tensor([[[[2., 2., 1.]]]])]
    """
    (values,) = step.inputs
    counted = step_of(lambda ones: _with(step.layer, torch.ones_like, ones, bias=False), torch.ones_like(values))
    return _gradients(counted.output, counted.inputs, _divided(relevance, counted.output, 0.0))


def _reweighted(
    step: Step, relevance: torch.Tensor, epsilon: float, of_positive: Callable, of_negative: Callable
) -> torch.Tensor:
    """`shared` by the layer with other parameters.

    They are `of_positive` of its own for its positive inputs and its bias, `of_negative` for its negative inputs.
    """
    (values,) = step.inputs
    if not relevance.any():
        return torch.zeros_like(values).expand(len(relevance), *values.shape)

    def positive_part(inputs: torch.Tensor) -> torch.Tensor:
        return _with(step.layer, of_positive, inputs, bias=True)

    def both_parts(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        return positive_part(positive) + _with(step.layer, of_negative, negative, bias=False)

    if (values >= 0).all():  # as behind a ReLU
        return shared(step_of(positive_part, values), relevance, epsilon)[0]
    return sum(shared(step_of(both_parts, values.clamp(min=0), values.clamp(max=0)), relevance, epsilon))


def _with(layer: nn.Module, change: Callable, values: torch.Tensor, bias: bool) -> torch.Tensor:
    """What a layer gives with changed parameters, its bias left out where it is not wanted."""
    changed = {"weight": change(layer.weight)}
    if layer.bias is not None:
        changed["bias"] = change(layer.bias) if bias else torch.zeros_like(layer.bias)
    return torch.func.functional_call(layer, changed, (values,))


def _gradients(output: torch.Tensor, inputs: tuple[torch.Tensor, ...], signals: torch.Tensor) -> list[torch.Tensor]:
    """Gradient of <signal, output> by each input, for the signal of each class."""
    each = [torch.autograd.grad(output, inputs, signal, retain_graph=True) for signal in signals]
    return [torch.stack(gradients) for gradients in zip(*each, strict=True)]


def _divided(relevance: torch.Tensor, z: torch.Tensor, epsilon: float) -> torch.Tensor:
    """R / stab(z), and 0 where z is 0: nothing contributed."""
    z = z.detach()
    return torch.where(z == 0, 0, relevance / (z + torch.where(z < 0, -epsilon, epsilon)))
