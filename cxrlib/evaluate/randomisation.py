"""Networks whose weights are randomised layer by layer, the test of Adebayo et al. 2018, arXiv:1810.03292."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

How = Literal["permute", "redraw"]


def layers_in_order(network: nn.Module, images: torch.Tensor) -> list[str]:
    """Names of the modules with weights of their own, in the order in which they run, the first one first.

    The order of definition may be another one: torchvision's ResNet defines a block's shortcut after its convolutions,
    DenseNet's and Inception's branches stand in any order. A module that runs twice counts where it runs first; one
    whose weights change no logit is left out. A module that never runs itself, because the one around it takes its
    weights, as attention does with its projections, counts where the one around it begins.

    Args:
        network: runs once on the first image, in evaluation mode; its mode returns as it was.
        images: float32 (n, c, h, w) as the network takes them.

    >>> class Backwards(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.last, self.first, self.unused = nn.Linear(2, 1), nn.Linear(3, 2), nn.Linear(1, 1)
    ...
    ...     def forward(self, inputs):
    ...         return self.last(self.first(inputs))
    >>> layers_in_order(Backwards(), torch.zeros(1, 3))
    ['first', 'last']
    """
    begun: dict[str, None] = {}
    weighted = {name: one for name, one in network.named_modules() if [*one.parameters(recurse=False)]}
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: begun.setdefault(name))
        for name, module in network.named_modules()
    ]
    modes = [(module, module.training) for module in network.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        with torch.enable_grad():
            total = network.eval().requires_grad_()(images[:1]).sum()
        silent = {
            name: _nearest(name, begun)
            for name, module in weighted.items()
            if name not in begun and _matters(total, [*module.parameters(recurse=False)])
        }
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
    found = [[name] * (name in weighted) + [one for one, around in silent.items() if around == name] for name in begun]
    return [name for names in found for name in names]


def _nearest(name: str, begun: dict[str, None]) -> str:
    """The module around `name` that ran, the innermost one; "" is the network."""
    while name and name not in begun:
        name = name.rpartition(".")[0]
    return name


def _matters(total: torch.Tensor, parameters: list[nn.Parameter]) -> bool:
    """Whether a sum of logits depends on one of the parameters."""
    gradients = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
    return any(gradient is not None for gradient in gradients)


def random_weights(network: nn.Module, seed: int, how: How = "permute") -> dict[str, torch.Tensor]:
    """A random counterpart of every weight, from a generator of its own: the global one stays where it is.

    Statistics of batch norm are no weights: they have none.

    Args:
        network: stays as it is.
        seed: same seed, same weights.
        how: "permute": the tensor's own values in random order. A tensor whose values are all equal stays as it is.
            "redraw": normal draws with the tensor's own mean and standard deviation.

    Returns:
        Name of the parameter -> a tensor of its shape.

    >>> weights = random_weights(nn.Linear(8, 4), seed=0)
    >>> list(weights), weights["weight"].shape
    (['weight', 'bias'], torch.Size([4, 8]))
    """
    generator, found = torch.Generator().manual_seed(seed), {}
    for name, parameter in network.named_parameters():
        values = parameter.detach()
        if how == "permute":
            order = torch.randperm(values.numel(), generator=generator).to(values.device)
            drawn = values.flatten()[order].view(values.shape)
        else:
            drawn = torch.randn(values.shape, generator=generator).to(values) * values.std(correction=0) + values.mean()
        found[name] = torch.empty_like(values).copy_(drawn)  # in the memory format of the weight
    return found


@contextlib.contextmanager
def exchanged(network: nn.Module, weights: dict[str, torch.Tensor], layers: list[str]) -> Iterator[nn.Module]:
    """The network with other weights in some layers; at the end its own weights return.

    Args:
        network: changed within the context.
        weights: from `random_weights`.
        layers: names of modules whose own weights are exchanged, from `layers_in_order`.

    >>> layer = nn.Linear(2, 1)
    >>> own = layer.weight.tolist()
    >>> with exchanged(nn.Sequential(layer), {"0.weight": torch.ones(1, 2), "0.bias": torch.ones(1)}, ["0"]):
    ...     layer.weight.tolist()
    [[1.0, 1.0]]
    >>> layer.weight.tolist() == own
    True
    """
    chosen = set(layers)
    changed = {name: one for name, one in network.named_parameters() if name.rpartition(".")[0] in chosen}
    own = {name: one.data for name, one in changed.items()}
    try:
        for name, one in changed.items():
            one.data = weights[name]
        yield network
    finally:
        for name, one in changed.items():
            one.data = own[name]


def stops(layers: list[str], count: int) -> list[int]:
    """How many layers, counted from the output, are randomised at each stop of the cascade.

    Evenly spread, from the last layer alone to all layers.

    Args:
        layers: from `layers_in_order`.
        count: of the stops; not more than layers.

    >>> stops(["a", "b", "c", "d", "e"], 3)
    [1, 3, 5]
    >>> stops(["a", "b"], 8)
    [1, 2]
    """
    places = torch.linspace(1, len(layers), min(count, len(layers))) if count > 1 else torch.tensor([len(layers)])
    return sorted({round(place) for place in places.tolist()})
