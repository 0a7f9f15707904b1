"""Networks cut before their global average pooling: of their last feature map, Grad-CAM has a closed form."""

import torch
from torch import fx, nn
from torch.nn import functional


class PooledNetwork(nn.Module):
    """A network whose logits are a linear function of globally averaged features.

    `y = W mean(A) + b`, or `y = W mean(ReLU(A)) + b` where `rectified`; A are the features, the mean is over the cells.

    >>> linear = nn.Linear(1, 1)
    >>> _ = linear.weight.data.fill_(2.0), linear.bias.data.fill_(0.5)
    >>> network = PooledNetwork(nn.Identity(), False, linear, "features")
    >>> network(torch.tensor([[[[1.0, 5.0]]]]))  # 2 * (1 + 5) / 2 + 0.5
    tensor([[6.5000]], grad_fn=<AddmmBackward0>)

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
    """`network` itself if it is already cut at `layer`, else the result of `split_at_pooling`."""
    if isinstance(network, PooledNetwork) and network.layer == layer:
        return network
    return split_at_pooling(network, layer)


def split_at_pooling(network: nn.Module, layer: str) -> PooledNetwork | None:
    """`network` in two parts that share its weights, if only global average pooling and a linear layer follow `layer`.

    A ReLU may stand before the pooling. Dropouts may stand anywhere, since they do nothing in evaluation mode. All
    ResNets, DenseNets, EfficientNets and MobileNetV2 of torchvision can be split.

    >>> network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    >>> pooled = split_at_pooling(network, "0")
    >>> pooled.rectified, pooled.linear is network[4]
    (True, True)
    >>> split_at_pooling(network, "2") is None  # nothing is pooled after the pooling
    True

    Args:
        network: images to logits.
        layer: name of a module, as in `nn.Module.named_modules`.

    Returns:
        None if anything else follows `layer`, if `network` has no such module, or if torch.fx cannot trace `network`.
    """
    try:
        graph = _LeafTracer(layer).trace(network)
    except Exception:  # noqa: BLE001 - tracing runs the network's own code, which may raise anything
        return None
    output = next(node for node in graph.nodes if node.op == "output")
    last = output.args[0]
    nodes = _chain_from(layer, last) if isinstance(last, fx.Node) else None
    if nodes is None:
        return None
    modules = dict(network.named_modules())
    steps = [(node, step) for node in nodes[1:] if (step := _step(node, modules)) != NOTHING]
    names = [name for _, name in steps]
    rectified = names[:1] == [RELU]
    if names[rectified:] not in ([POOLING, FLATTENING, LINEAR], [MEAN, LINEAR]):
        return None
    output.replace_input_with(last, nodes[0])
    features = fx.GraphModule(network, graph)
    features.graph.eliminate_dead_code()
    features.recompile()
    features.delete_all_unused_submodules()
    return PooledNetwork(features, rectified, modules[steps[-1][0].target], layer)


class _LeafTracer(fx.Tracer):
    """Traces a network without looking into the module called `leaf`."""

    def __init__(self, leaf: str) -> None:
        super().__init__()
        self.leaf = leaf

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return name == self.leaf or super().is_leaf_module(module, name)


def _chain_from(layer: str, last: fx.Node) -> list[fx.Node] | None:
    """The nodes from `layer` to `last`, if each is the only input of the next one; else None."""
    nodes = [last]
    while not (nodes[0].op == "call_module" and nodes[0].target == layer):
        inputs = nodes[0].all_input_nodes
        if len(inputs) != 1:
            return None
        nodes.insert(0, inputs[0])
    return nodes


RELU, POOLING, FLATTENING, MEAN, LINEAR = "ReLU", "average pooling to one cell", "flattening", "mean of cells", "linear"
NOTHING, OTHER = "nothing", "something else"


def _step(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """What a node does to its input, in evaluation mode."""
    if node.op == "call_module":
        return _step_of_module(modules[node.target])
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    argument = node.args[1] if len(node.args) > 1 else next(iter(node.kwargs.values()), None)
    if name == "relu":
        return RELU
    if node.target is functional.adaptive_avg_pool2d and argument in (1, (1, 1), [1, 1]):
        return POOLING
    if name == "flatten" and argument == 1:
        return FLATTENING
    if name == "mean" and _is_rows_and_columns(argument) and not node.kwargs.get("keepdim"):
        return MEAN
    return OTHER


def _step_of_module(module: nn.Module) -> str:
    match module:
        case nn.ReLU():
            return RELU
        case nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)):
            return POOLING
        case nn.Flatten(start_dim=1):
            return FLATTENING
        case nn.Linear():
            return LINEAR
        case nn.Dropout() | nn.Identity():
            return NOTHING
    return OTHER


def _is_rows_and_columns(dimensions: object) -> bool:
    """Whether numbers of dimensions of a feature map (n, k, rows, columns) are those of its rows and its columns."""
    return isinstance(dimensions, (list, tuple)) and sorted(number % 4 for number in dimensions) == [2, 3]
