"""Layer-wise relevance propagation (Bach et al. 2015): the logit of a class, handed back from output to pixels.

Relevance starts as the logit of a class and goes backwards, one operation after the other, until the pixels have it:

    R_j = sum_k share_jk R_k,  sum_j share_jk = 1 without a bias

Relevance is conserved then: at every cut through the network its sum is the logit. What it loses or gains has three
causes. A bias (also that of a folded batch norm) receives its share and keeps it. `epsilon` takes a little where an
output is close to zero. In alpha1beta0 an output without any positive contribution hands nothing on.

Layers with weights follow the chosen rule of `cxrlib.explain.lrp_rules`; these are the other operations:

- Additions, also `out += identity`, average pooling and means share relevance in proportion to the contributions.
- Batch norm is folded into the convolution before it. Elsewhere, as in DenseNet, it is a linear layer with epsilon.
- Maximum pooling hands relevance to the winner; ReLU and ReLU6 pass it on.
- Concatenation, flattening and the like hand it to the place that the value came from.
- Before the first layer with weights, shifting and scaling only change the unit of the pixels: relevance passes.
"""

import functools
import math
import operator

import torch
from torch import fx, nn
from torch.nn import functional

from cxrlib.explain import lrp_rules
from cxrlib.explain.gradcam import frozen
from cxrlib.explain.lrp_graph import CONVOLUTIONS, NORMS, Recording, RuleError, no_rule, operations, target_of
from cxrlib.explain.lrp_rules import Rule
from cxrlib.explain.method import Method, Passes
from cxrlib.runtime.device import full_float32

RULES = ["composite", "epsilon", "gamma", "alpha1beta0"]
"""What the parameter `rule` can be: for layers with weights."""


WEIGHTED = {*CONVOLUTIONS, nn.Linear}
"""Types of layers with weights."""


PASSING = {nn.ReLU, nn.ReLU6, functional.relu, functional.relu6, torch.relu, "relu"}
"""Operations that pass relevance on."""


MOVING = {
    *[nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d],
    *[functional.max_pool1d, functional.max_pool2d, functional.adaptive_max_pool2d, torch.max_pool2d],
    *[functional.dropout, functional.dropout2d, torch.cat, torch.flatten, torch.reshape, torch.squeeze],
    *[torch.unsqueeze, torch.permute, torch.transpose, operator.getitem],
    *["flatten", "reshape", "view", "squeeze", "unsqueeze", "permute", "transpose", "contiguous", "expand", "repeat"],
}
"""Operations that choose or move values."""


AFFINE = {
    *NORMS,
    *[operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.sub, torch.mul, torch.div],
    *["add", "sub", "mul", "div"],
}
"""Operations on values in their place: sums, and products with a constant."""


POOLING = {
    *[nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, functional.avg_pool1d],
    *[functional.avg_pool2d, functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d],
    *[torch.mean, torch.sum, "mean", "sum"],
}
"""Sums and means over cells."""


PRODUCTS = {operator.mul, torch.mul, "mul"}
QUOTIENTS = {operator.truediv, torch.div, "div"}


@full_float32()
def lrp_maps(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    rule: str = "composite",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    batch_size: int = 8,
) -> torch.Tensor:
    """Relevance of every pixel for the logit of a class, summed over the channels of the image.

    The composite follows Montavon et al. 2019: epsilon for linear layers and the later half of the convolutions, gamma
    for the earlier half (in VGG16 the same seven). Their rule for pixels, z^B, needs the range of the pixels, which a
    network does not tell; the first convolutions follow flat, as Kohlbrenner et al. 2020 recommend. With a large first
    kernel flat blurs the map to its size. The other rules hold for all layers with weights, the first included.
    Without ReLU6, epsilon alone comes close to input x gradient as epsilon goes to 0 (Ancona et al. 2018,
    arXiv:1711.06104); the others do not.

    All classes share the forward pass, also those with changed weights. A GPU computes in float32 here, also where the
    precision is tf32.

    Args:
        network: logits (n, classes) from operations that have a rule, see the module's docstring.
        images: float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        rule: one of `RULES`.
        epsilon: added to the size of each denominator; at least 0.
        gamma: by how much gamma prefers the contributions with the output's sign; at least 0.
        batch_size: images that pass through the network at once; their activations and their relevance for all classes
            are in memory.

    Returns:
        Raw maps, float32 (n, len(classes), h, w).

    Raises:
        RuleError: an operation has no rule, or torch.fx cannot trace the network.
        ValueError: no such rule, or a negative epsilon or gamma.

    >>> network = nn.Linear(3, 2, bias=False)
    >>> network.weight.data = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    >>> network = nn.Sequential(nn.Flatten(), network)
    >>> lrp_maps(network, torch.tensor([[[[1.0, 5.0, -1.0]]]]), rule="epsilon", epsilon=0)
    tensor([[[[ 1., 10., -3.]],
             [[ 0.,  5.,  0.]]]])
    >>> lrp_maps(nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.SiLU()), torch.ones(1, 1, 1, 3))
    Traceback (most recent call last):
    cxrlib.explain.lrp_graph.RuleError: LRP has no rule for SiLU (module '2'); explain the network with another method
    """
    if rule not in RULES:
        raise ValueError(f"LRP has no rule {rule!r}; choose one of {', '.join(RULES)}")
    if not (epsilon >= 0 and gamma >= 0):
        raise ValueError(f"LRP needs an epsilon and a gamma of at least 0, not {epsilon} and {gamma}")
    with frozen(network):
        graph = operations(network)
        rules = rules_of(graph, _first_run(network, graph, images[:1]), rule, epsilon, gamma)
        maps = [propagated(graph, rules, batch, classes).sum(2).transpose(0, 1) for batch in images.split(batch_size)]
    return torch.cat(maps)


def rules_of(
    graph: fx.GraphModule, recording: Recording, rule: str = "composite", epsilon: float = 1e-6, gamma: float = 0.25
) -> dict[fx.Node, Rule]:
    """The rule of every operation between the images and the logits.

    Args:
        graph: from `operations`.
        recording: of a run.
        rule, epsilon, gamma: as in `lrp_maps`.

    Raises:
        RuleError: an operation has none.

    >>> graph = operations(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Flatten()))
    >>> recording = Recording(graph)
    >>> _ = recording.run(torch.ones(1, 1, 2, 2))
    >>> [rule.__name__ for rule in rules_of(graph, recording).values()]
    ['flat', 'passed', 'moved']
    """
    share = functools.partial(lrp_rules.shared, epsilon=epsilon)
    named = {
        "epsilon": share,
        "gamma": functools.partial(lrp_rules.gamma, epsilon=epsilon, gamma=gamma),
        "alpha1beta0": functools.partial(lrp_rules.alpha1beta0, epsilon=epsilon),
        "flat": lrp_rules.flat,
    }
    nodes = _between(graph, recording)
    convolutions = [node for node in nodes if target_of(graph, node) in CONVOLUTIONS]
    early = convolutions[: (len(convolutions) + 1) // 2]
    rules: dict[fx.Node, Rule] = {}
    behind_weights: set[fx.Node] = set()
    for node in nodes:
        target = target_of(graph, node)
        first = behind_weights.isdisjoint(recording.sources[node])
        if target in WEIGHTED or not first:
            behind_weights.add(node)
        if target in WEIGHTED:
            if "weight" not in recording.steps[node].layer._parameters:
                raise no_rule(graph, node, "whose weights are computed anew in every pass")
            composite = "epsilon" if node not in early else "flat" if first else "gamma"
            rules[node] = named[composite if rule == "composite" else rule]
        elif target in PASSING:
            rules[node] = lrp_rules.passed
        elif target in MOVING:
            rules[node] = lrp_rules.moved
        elif target in AFFINE and _is_linear(node, target, recording):
            step = recording.steps[node]
            unit_changes = first and [one.shape for one in step.inputs] == [step.output.shape]
            rules[node] = lrp_rules.passed if unit_changes else share
        elif target in POOLING:
            rules[node] = share
        else:
            raise no_rule(graph, node)
    return rules


def propagated(
    graph: fx.GraphModule, rules: dict[fx.Node, Rule], images: torch.Tensor, classes: list[int] | None = None
) -> torch.Tensor:
    """Relevance of every value of the images.

    Args:
        graph: from `operations`.
        rules: from `rules_of`.
        images, classes: as in `lrp_maps`.

    Returns:
        float32 (len(classes), n, c, h, w).

    >>> graph = operations(nn.Sequential(nn.AvgPool2d(2), nn.Flatten()))
    >>> recording = Recording(graph)
    >>> _ = recording.run(torch.ones(1, 1, 2, 2))
    >>> propagated(graph, rules_of(graph, recording, epsilon=0), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    tensor([[[[[0.2500, 0.5000],
               [0.7500, 1.0000]]]]])
    """
    with torch.no_grad():
        recording = Recording(graph)
        logits = recording.run(images.detach())
        chosen = list(range(logits.shape[1])) if classes is None else classes
        start = logits.new_zeros(len(chosen), *logits.shape)
        for number, one in enumerate(chosen):
            start[number, :, one] = logits[:, one]
        relevance = {_logits_of(graph): start}
        while recording.steps:
            node, step = recording.steps.popitem()
            if node.op == "placeholder":
                return relevance[node]
            if node in rules:
                parts = rules[node](step, relevance.pop(node))
                for source, part in zip(recording.sources[node], parts, strict=True):
                    relevance[source] = relevance[source] + part if source in relevance else part
    raise AssertionError("a graph without images")


def _first_run(network: nn.Module, graph: fx.GraphModule, images: torch.Tensor) -> Recording:
    """A run of the operations; they must give the logits that the network itself gives."""
    with torch.no_grad():
        logits, recording = network(images.clone()), Recording(graph)
        again = recording.run(images.detach())
    if not (isinstance(again, torch.Tensor) and again.ndim == 2):
        raise RuleError("LRP starts at logits of shape (n, classes), and the network gives something else")
    if not torch.allclose(again, logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()), equal_nan=True):
        raise RuleError(
            f"LRP cannot follow {type(network).__name__}: its operations, one by one, give other logits than the "
            "network; explain it with another method"
        )
    return recording


def _logits_of(graph: fx.GraphModule) -> fx.Node:
    return next(node for node in graph.graph.nodes if node.op == "output").args[0]


def _between(graph: fx.GraphModule, recording: Recording) -> list[fx.Node]:
    """The operations between the images and the logits, in the order of the forward pass."""
    leading = {_logits_of(graph)}
    for node in reversed(recording.steps):
        if node in leading:
            leading.update(recording.sources[node])
    return [node for node in recording.steps if node in leading and node.op != "placeholder"]


def _is_linear(node: fx.Node, target: object, recording: Recording) -> bool:
    """Whether an affine operation is one: no product or quotient of two values that depend on the images."""
    sources = recording.sources[node]
    if target in QUOTIENTS:
        return len(node.args) == 2 and sources == [node.args[0]] and node.args[1] is not node.args[0]
    return target not in PRODUCTS or (len(sources) == 1 and node.args.count(sources[0]) == 1)


def _passes(classes: int, _size: tuple[int, int], rule: str = "composite", **_: object) -> Passes:
    """At most: gamma goes through a layer again for outputs of either sign, alpha1beta0 once more.

    The composite does so in the earlier half of the convolutions.
    """
    forward = {"composite": 2, "epsilon": 1, "gamma": 3, "alpha1beta0": 2}[rule]
    backward = {"composite": 1.5, "epsilon": 1, "gamma": 2, "alpha1beta0": 1}[rule]
    return Passes(forward, math.ceil(backward * classes))


METHODS = [
    Method(
        name="lrp",
        title="LRP",
        paper="Bach et al. 2015, doi:10.1371/journal.pone.0130140; composite of Montavon et al. 2019, "
        "doi:10.1007/978-3-030-28954-6_10, with flat as in Kohlbrenner et al. 2020, arXiv:1910.09840",
        formula="R_j = sum_k share_jk R_k from the logit y back to the pixels; epsilon: share_jk = w_jk a_j / z_k",
        maps=lrp_maps,
        resolution="input",
        signed=True,
        passes=_passes,
        needs="a network that torch.fx can trace, of convolutions, linear layers, batch norm, ReLU or ReLU6, pooling, "
        "additions and concatenations",
    )
]
