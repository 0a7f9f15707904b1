"""The operations of a network, one by one, as layer-wise relevance propagation needs them."""

import operator
from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cxrlib.explain.lrp_rules import Step
from cxrlib.model.pooling import ThreadTracer

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Types of convolutions that have rules; their subclasses may compute something else."""


NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Types of batch norm."""


PURE = {
    **dict.fromkeys([nn.ReLU, functional.relu, functional.relu_, torch.relu_, "relu_"], functional.relu),
    **dict.fromkeys([nn.ReLU6, functional.relu6], functional.relu6),
    **{operator.iadd: operator.add, operator.isub: operator.sub},
    **{operator.imul: operator.mul, operator.itruediv: operator.truediv},
    **{"add_": torch.add, "sub_": torch.sub, "mul_": torch.mul, "div_": torch.div},
}
"""Operation that may overwrite its input -> the same one that does not."""


class RuleError(ValueError):
    """A network, or an operation in it, for which layer-wise relevance propagation has no rule."""


def operations(network: nn.Module) -> fx.GraphModule:
    """The operations of a network: batch norm folded, no operation overwrites its input.

    A batch norm is folded into the convolution before it if nothing else takes that convolution's output.

    Args:
        network: in evaluation mode; it is left as it is, and its other weights are shared.

    Raises:
        RuleError: torch.fx cannot trace the network, a batch norm has no running statistics, or an operation without a
            rule overwrites its input.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True)).eval()
    >>> [node.name for node in operations(network).graph.nodes]
    ['input_1', '_0', '_2', 'output']
    """
    tracer = _NamingTracer()
    try:
        graph = fx.GraphModule(network, tracer.trace(network))
    except Exception as error:  # noqa: BLE001 - tracing runs the network's own code, which may raise anything
        reason = " ".join(str(error).split())
        raise RuleError(
            f"LRP cannot read the operations of {tracer.failed or type(network).__name__}: torch.fx says {reason!r}; "
            "explain the network with another method"
        ) from None
    _overwrite_nothing(graph)
    _fold_batch_norms(graph)
    return graph


def target_of(graph: fx.GraphModule, node: fx.Node) -> object:
    """What an operation is: a type of module, a function, or the name of a method of tensors.

    >>> graph = operations(nn.Sequential(nn.Flatten()))
    >>> [target_of(graph, node) for node in graph.graph.nodes][1]
    <class 'torch.nn.modules.flatten.Flatten'>
    """
    return type(graph.get_submodule(node.target)) if node.op == "call_module" else node.target


def place_of(graph: fx.GraphModule, node: fx.Node) -> str:
    """An operation in words.

    >>> graph = operations(nn.Sequential(nn.Flatten()))
    >>> [place_of(graph, node) for node in graph.graph.nodes][1]
    "Flatten (module '0')"
    """
    target = target_of(graph, node)
    inside = node.target if node.op == "call_module" else ""
    for name, _ in (node.meta.get("nn_module_stack") or {}).values():
        inside = name
    return getattr(target, "__name__", str(target)) + (f" (module {inside!r})" if inside else "")


def no_rule(graph: fx.GraphModule, node: fx.Node, reason: str = "") -> RuleError:
    """The error that names an operation without a rule.

    >>> graph = operations(nn.Sequential(nn.SiLU()))
    >>> no_rule(graph, list(graph.graph.nodes)[1])
    RuleError("LRP has no rule for SiLU (module '0'); explain the network with another method")
    """
    words = f"{place_of(graph, node)} {reason}".strip()
    return RuleError(f"LRP has no rule for {words}; explain the network with another method")


class Recording(fx.Interpreter):
    """Runs operations and keeps each as a `Step`.

    Attributes:
        steps: of each operation whose output depends on the images; the images themselves are a step without inputs.
        sources: of each of these, the operations that its inputs came from.

    >>> recording = Recording(operations(nn.Sequential(nn.Flatten(), nn.ReLU())))
    >>> recording.run(torch.tensor([[[-1.0, 2.0]]]))
    tensor([[0., 2.]])
    >>> [node.name for node in recording.steps]
    ['input_1', '_0', '_1']
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.steps: dict[fx.Node, Step] = {}
        self.sources: dict[fx.Node, list[fx.Node]] = {}

    def run_node(self, node: fx.Node) -> object:
        """The value of one operation, detached.

        Raises:
            RuleError: it gives several tensors.
        """
        if node.op == "output":
            return super().run_node(node)
        sources = [source for source in node.all_input_nodes if source in self.steps]
        leaves = {source: self.env[source].detach().requires_grad_() for source in sources}
        arguments = fx.map_arg((node.args, node.kwargs), lambda source: leaves.get(source, self.env[source]))
        with torch.enable_grad():
            value = getattr(self, node.op)(node.target, *arguments)
        if isinstance(value, (tuple, list)) and any(getattr(part, "requires_grad", False) for part in value):
            raise no_rule(self.module, node)
        if not isinstance(value, torch.Tensor):
            return value
        if node.op == "placeholder" or value.requires_grad:
            layer = self.module.get_submodule(node.target) if node.op == "call_module" else None
            self.steps[node], self.sources[node] = Step(tuple(leaves.values()), value, layer), sources
        return value.detach()


class _NamingTracer(ThreadTracer):
    """Traces a network; after an error `failed` is the innermost module in which it arose."""

    failed = ""

    def call_module(self, module: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> object:
        try:
            return super().call_module(module, forward, args, kwargs)
        except Exception:
            if not self.elsewhere:
                self.failed = self.failed or f"{type(module).__name__} (module {self.path_of_module(module)!r})"
            raise


def _overwrite_nothing(graph: fx.GraphModule) -> None:
    """Replace operations that overwrite their input: what used the input after them uses their output."""
    order = {node: number for number, node in enumerate(graph.graph.nodes)}
    for node in order:
        if node.op not in ("call_module", "call_function", "call_method"):
            continue
        target, overwrites = target_of(graph, node), _overwrites(graph, node)
        if target in PURE:
            node.args = node.args or (node.kwargs["input"],)
            if PURE[target] in (functional.relu, functional.relu6):
                node.args, node.kwargs = node.args[:1], {}
            node.op, node.target = "call_function", PURE[target]
        elif overwrites:
            raise no_rule(graph, node)
        if overwrites:
            for user in [user for user in node.args[0].users if order[user] > order[node]]:
                user.replace_input_with(node.args[0], node)
    graph.recompile()


def _overwrites(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether an operation overwrites its input; a dropout in evaluation mode does not."""
    target = target_of(graph, node)
    if target in (nn.Dropout, nn.Dropout2d, functional.dropout, functional.dropout2d):
        return False
    if node.op == "call_module":
        return getattr(graph.get_submodule(node.target), "inplace", False)
    if target in (functional.relu, functional.relu6):
        return node.kwargs.get("inplace", node.args[1:2] == (True,))
    # names of torch that end in _ overwrite; operator.and_ does not
    name = getattr(target, "__name__", str(target))
    named = name.endswith("_") and not name.endswith("__") and getattr(target, "__module__", "") != "_operator"
    return target in PURE or named or node.kwargs.get("inplace", False)


def _fold_batch_norms(graph: fx.GraphModule) -> None:
    for number, node in enumerate(graph.graph.nodes):
        if node.op != "call_module" or target_of(graph, node) not in NORMS:
            continue
        norm, before = graph.get_submodule(node.target), node.args[0]
        if norm.running_mean is None:
            raise no_rule(graph, node, "without running statistics")
        follows = before.op == "call_module" and target_of(graph, before) in CONVOLUTIONS
        if follows and len(before.users) == 1:
            folded = fuse_conv_bn_eval(graph.get_submodule(before.target), norm).requires_grad_(False)
            before.target = f"folded_{number}"
            graph.add_submodule(before.target, folded)
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.recompile()
