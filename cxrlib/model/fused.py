"""Convolutions with the addition and the ReLU after them in one operator, for CPUs.

The operators are those that torch.compile generates for a frozen network on a CPU, called here without a compiler. A
convolution's result is then written to memory once instead of two or three times.
"""

import operator
from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn import functional


def is_supported() -> bool:
    """Whether this torch has the fused operators."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


class FusedConvolution(nn.Module):
    """A convolution, optionally plus a second tensor, optionally through a ReLU; inference on a CPU only."""

    def __init__(self, convolution: nn.Conv2d, rectified: bool) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.geometry = [convolution.padding, convolution.stride, convolution.dilation, convolution.groups]
        self.activation = "relu" if rectified else "none"

    def forward(self, inputs: torch.Tensor, addend: torch.Tensor | None = None) -> torch.Tensor:
        """Convolution of (n, c, h, w), plus `addend` of the output's shape where given."""
        if addend is None:
            return torch.ops.mkldnn._convolution_pointwise(
                inputs, self.weight, self.bias, *self.geometry, self.activation, [], ""
            )
        activation = None if self.activation == "none" else self.activation
        return torch.ops.mkldnn._convolution_pointwise.binary(
            inputs, addend, self.weight, self.bias, *self.geometry, "add", 1.0, activation, [], ""
        )


def fuse_convolutions(network: fx.GraphModule) -> fx.GraphModule:
    """Replace convolution -> ReLU, and convolution -> addition -> ReLU, by one operator each, in place.

    Args:
        network: traced down to torch's own modules, on a CPU, in evaluation mode, batch norms folded.

    Returns:
        The same network; unchanged where this torch lacks the operators.
    """
    if not is_supported():
        return network
    modules = dict(network.named_modules())
    for node in list(network.graph.nodes):
        if node.op != "call_module" or not _can_fuse(modules[node.target]):
            continue
        addition = _only_user(node, _is_addition)
        relu = _only_user(addition or node, lambda user: _is_relu(user, modules))
        addend = [other for other in addition.args if other is not node] if addition else []
        last = relu or addition or node
        name = f"fused.{node.name}"  # a module that is called twice needs two names, since different operations follow
        network.add_submodule(name, FusedConvolution(modules[node.target], relu is not None))
        with network.graph.inserting_before(last):
            fused = network.graph.call_module(name, (node.args[0], *addend))
        last.replace_all_uses_with(fused)
    network.graph.eliminate_dead_code()
    network.recompile()
    network.delete_all_unused_submodules()
    return network


def _can_fuse(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _only_user(node: fx.Node, wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and wanted(users[0]) else None


def _is_addition(node: fx.Node) -> bool:
    tensors = [argument for argument in node.args if isinstance(argument, fx.Node)]
    return node.target in (operator.add, operator.iadd, torch.add) and len(set(tensors)) == 2 and not node.kwargs


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return type(modules[node.target]) is nn.ReLU
    return node.target in (torch.relu, functional.relu)
