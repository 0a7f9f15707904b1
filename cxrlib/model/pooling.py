"""A network cut before its global average pooling, where Grad-CAM has a closed form."""

import threading
from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn import functional

ONE_AT_A_TIME = threading.RLock()
"""Held while torch.fx traces: two traces at once would leave torch's modules patched for ever."""


class PooledNetwork(nn.Module):
    """A network whose logits are a linear function of globally averaged features; Grad-CAM of those is closed-form.

    Args:
        features: images (n, 3, h, w) to a feature map (n, k, rows, columns).
        rectified: whether a ReLU stands between the features and the pooling, as in DenseNet.
        linear: k pooled features to logits.
        layer: name of the module, in the network it comes from, whose output the features are.
    """

    def __init__(self, features: nn.Module, rectified: bool, linear: nn.Linear, layer: str) -> None:
        super().__init__()
        self.features, self.rectified, self.linear, self.layer = features, rectified, linear, layer

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of inputs (n, 3, h, w)."""
        return self.classify(self.features(inputs))

    def classify(self, activations: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of a feature map (n, k, rows, columns)."""
        return self.linear((activations.relu() if self.rectified else activations).mean((2, 3)))


def pooled_at(network: nn.Module, layer: str) -> PooledNetwork | None:
    """`network` itself where it is already cut at `layer`, else what `split_at_pooling` finds.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> pooled = pooled_at(network, "0")
    >>> pooled_at(pooled, "0") is pooled
    True
    """
    if isinstance(network, PooledNetwork) and network.layer == layer:
        return network
    return split_at_pooling(network, layer)


def split_at_pooling(network: nn.Module, layer: str) -> PooledNetwork | None:
    """`network` in two parts that share its weights, if only global average pooling and a linear layer follow `layer`.

    The parts that may follow are, in this order: a ReLU, which may be missing; pooling to 1x1 and flattening, or a mean
    over the cells; a linear layer. Dropouts may stand anywhere, since they do nothing in evaluation mode.

    Args:
        network: float32 (n, 3, h, w) to logits (n, classes).
        layer: name of one of its modules.

    Returns:
        None where something else follows, where `layer` does not exist, or where torch.fx cannot trace the network.

    >>> head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, 2)]
    >>> pooled = split_at_pooling(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), *head), "0")
    >>> pooled.rectified, pooled.linear is head[-1]
    (True, True)
    >>> split_at_pooling(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sigmoid(), *head), "0") is None
    True
    """
    try:
        graph = ConvolutionTracer(layer).trace(network)
    except Exception:  # noqa: BLE001 - tracing runs the network's own code, which may raise anything
        return None
    modules = dict(network.named_modules())
    following = [node for node in _following(graph, layer) if _kind(node, modules) != "dropout"]
    kinds = [_kind(node, modules) for node in following]
    rectified = kinds[:1] == ["relu"]
    if kinds[rectified:] not in (["pool", "flatten", "linear"], ["mean", "linear"]):
        return None
    linear = modules[following[-1].target]
    output = next(node for node in graph.nodes if node.op == "output")
    output.replace_input_with(output.args[0], following[0].all_input_nodes[0])
    features = fx.GraphModule(network, graph)
    features.graph.eliminate_dead_code()
    features.recompile()
    features.delete_all_unused_submodules()
    return PooledNetwork(features, rectified, linear, layer)


class ThreadTracer(fx.Tracer):
    """A tracer that records the calls of its own thread alone.

    While torch.fx traces, it catches the calls of all modules in all threads. Here a module that another thread calls
    runs as if nobody traced: the heatmap browser computes beside the cells of a notebook.

    >>> network = nn.Sequential(nn.Flatten(), nn.ReLU())
    >>> [node.name for node in ThreadTracer().trace(network).nodes]
    ['input_1', '_0', '_1', 'output']
    """

    def trace(self, root: nn.Module, concrete_args: dict | None = None) -> fx.Graph:
        """The operations of a network; waits where another thread traces."""
        with ONE_AT_A_TIME:
            self.thread = threading.get_ident()
            return super().trace(root, concrete_args)

    @property
    def elsewhere(self) -> bool:
        """Whether the present thread is another one than that which traces."""
        return threading.get_ident() != self.thread

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> object:
        """Record the call of a module, or let it run where another thread calls it."""
        if self.elsewhere:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: object, parameter_proxy_cache: dict) -> object:
        """A module's attribute, as a step of the graph where this thread asks for it."""
        if self.elsewhere:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


class ConvolutionTracer(ThreadTracer):
    """Traces a network without looking into any convolution or batch norm, nor into the module called `leaf`.

    timm's convolutions look at the shape of their input, which a traced input has not.
    """

    def __init__(self, leaf: str | None = None) -> None:
        super().__init__()
        self.leaf = leaf

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether the module becomes one step of the graph."""
        own = isinstance(module, nn.Conv2d | nn.BatchNorm2d)
        return own or name == self.leaf or super().is_leaf_module(module, name)


def _following(graph: fx.Graph, layer: str) -> list[fx.Node]:
    """The operations between `layer` and the output, in order; none where they are no single chain."""
    chain: list[fx.Node] = []
    node = next(node for node in graph.nodes if node.op == "output").args[0]
    while isinstance(node, fx.Node):
        if node.op == "call_module" and node.target == layer:
            return chain
        if len(node.all_input_nodes) != 1:
            return []
        chain.insert(0, node)
        node = node.all_input_nodes[0]
    return []


def _kind(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """What an operation does: relu, pool (to 1x1), mean (over the cells), flatten, dropout, linear or other."""
    if node.op == "call_module":
        return _kind_of_module(modules[node.target])
    argument = node.args[1] if len(node.args) > 1 else next(iter(node.kwargs.values()), None)
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    if name == "relu":
        return "relu"
    if node.target is functional.adaptive_avg_pool2d and argument in (1, (1, 1), [1, 1]):
        return "pool"
    if node.target is functional.dropout:
        return "dropout"
    if name == "flatten" and argument == 1:
        return "flatten"
    if name == "mean" and not node.kwargs.get("keepdim") and _are_rows_and_columns(argument):
        return "mean"
    return "other"


def _kind_of_module(module: nn.Module) -> str:
    match module:
        case nn.ReLU():
            return "relu"
        case nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)):
            return "pool"
        case nn.Flatten(start_dim=1):
            return "flatten"
        case nn.Dropout() | nn.Identity():
            return "dropout"
        case nn.Linear():
            return "linear"
    return "other"


def _are_rows_and_columns(dimensions: object) -> bool:
    """Whether these are the last two of four dimensions, e.g. (2, 3) or [-1, -2]."""
    return isinstance(dimensions, (list, tuple)) and sorted(d % 4 for d in dimensions) == [2, 3]
