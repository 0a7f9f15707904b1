"""A network cut before its global average pooling, where Grad-CAM has a closed form."""

import re

import torch
from torch import fx, nn
from torch.nn import functional


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
    """`network` itself where it is already cut at `layer`, else what `split_at_pooling` finds."""
    if isinstance(network, PooledNetwork) and network.layer == layer:
        return network
    return split_at_pooling(network, layer)


def split_at_pooling(network: nn.Module, layer: str) -> PooledNetwork | None:
    """`network` in two parts that share its weights, if only global average pooling and a linear layer follow `layer`.

    A ReLU before the pooling and dropouts after it may be there too, since dropout does nothing in evaluation mode.

    Returns:
        None where something else follows, where `layer` does not exist, or where torch.fx cannot trace the network.
    """
    tracer = _LeafTracer(layer)
    try:
        graph = tracer.trace(network)
    except Exception:  # noqa: BLE001 - tracing runs the network's own code, which may raise anything
        return None
    modules = dict(network.named_modules())
    output = next(node for node in graph.nodes if node.op == "output")
    node, steps, linear = output.args[0], "", None
    while isinstance(node, fx.Node) and not (node.op == "call_module" and node.target == layer):
        if len(node.all_input_nodes) != 1:
            return None
        steps = _step(node, modules) + steps
        linear = linear or modules.get(node.target if isinstance(node.target, str) else None)
        node = node.all_input_nodes[0]
    if not isinstance(node, fx.Node) or not re.fullmatch("r?(pf|m)d*l", steps):
        return None
    output.replace_input_with(output.args[0], node)
    features = fx.GraphModule(network, graph)
    features.graph.eliminate_dead_code()
    features.recompile()
    features.delete_all_unused_submodules()
    return PooledNetwork(features, steps.startswith("r"), linear, layer)


class _LeafTracer(fx.Tracer):
    """Traces a network without looking into the module called `leaf`."""

    def __init__(self, leaf: str) -> None:
        super().__init__()
        self.leaf = leaf

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return name == self.leaf or super().is_leaf_module(module, name)


def _step(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """What a node does, in one letter: relu, pool to 1x1, mean over cells, flatten, dropout, linear; ? otherwise."""
    module = modules[node.target] if node.op == "call_module" else None
    argument = node.args[1] if len(node.args) > 1 else next(iter(node.kwargs.values()), None)
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    match module:
        case nn.ReLU():
            return "r"
        case nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)):
            return "p"
        case nn.Flatten(start_dim=1):
            return "f"
        case nn.Dropout() | nn.Identity():
            return "d"
        case nn.Linear():
            return "l"
        case nn.Module():
            return "?"
    if name == "relu":
        return "r"
    if node.target is functional.adaptive_avg_pool2d and argument in (1, (1, 1), [1, 1]):
        return "p"
    if name == "flatten" and argument == 1:
        return "f"
    if name == "mean" and not node.kwargs.get("keepdim") and sorted(d % 4 for d in _numbers(argument)) == [2, 3]:
        return "m"
    return "?"


def _numbers(argument: object) -> list[int]:
    return list(argument) if isinstance(argument, (list, tuple)) else []
