"""Which tensors of a file are a network's weights, whatever was put before their names."""

import copy
import re
from collections import Counter
from collections.abc import Mapping

import torch
from torch import nn

WRAPPED = re.compile(r"(?<=\.)(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What DataParallel, torch.compile, FSDP and activation checkpointing put into the middle of a name."""


OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Names in torchvision's published DenseNets, which its builder reads as norm1, relu1, conv1 and so on."""


Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""


Names = dict[str, str]
"""Name of a weight in the network -> its name in the file."""


def head_of(network: nn.Module) -> str:
    """Name of the layer whose outputs are the labels: the last linear layer or convolution.

    >>> head_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Linear(8, 2)))
    '2'
    """
    return [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]


def replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` into the place of the module called `name`.

    >>> network = nn.Sequential(nn.ReLU())
    >>> replace_module(network, "0", nn.SiLU())
    >>> network[0]
    SiLU()
    """
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)


def outline_of(network: nn.Module) -> nn.Module:
    """A copy of the network with names and shapes but no values, on the meta device.

    >>> outline_of(nn.Linear(1000, 1000)).weight.device
    device(type='meta')
    """
    outlines = {
        id(value): nn.Parameter(value.detach().to("meta"), value.requires_grad) for value in network.parameters()
    }
    outlines |= {id(value): value.to("meta") for value in network.buffers()}
    return copy.deepcopy(network, outlines)


def fitting_names(outline: nn.Module, shapes: Shapes) -> dict[str, Names]:
    """The sets of tensors in a file that fit a network, by what comes before their names there.

    A set fits where the network's own strict `load_state_dict` takes it, its head excepted, which may be absent or of
    another shape. Tensors outside the set do not count.

    Args:
        outline: of the network, as `outline_of` makes it.
        shapes: of the tensors in the file.

    >>> network = nn.Sequential(nn.BatchNorm2d(3), nn.Linear(3, 2))
    >>> published = {f"0.{name}": (3,) for name in ("weight", "bias", "running_mean", "running_var")}
    >>> list(fitting_names(outline_of(network), published))
    ['']
    >>> list(fitting_names(outline_of(network), {f"model.{name}": shape for name, shape in published.items()}))
    ['model.']
    """
    candidates = candidate_names(outline, shapes)
    return {prefix: names for prefix, names in candidates.items() if _fits(outline, names, shapes)}


def candidate_names(outline: nn.Module, shapes: Shapes) -> dict[str, Names]:
    """The sets of tensors that share at least half of a network's names, the largest share first."""
    wanted, shared = backbone_names(outline), Counter()
    for name in shapes:
        parts = name.split(".")
        for number in range(len(parts)):
            if _today(".".join(parts[number:])) in wanted:
                shared["".join(f"{part}." for part in parts[:number])] += 1
    prefixes = [prefix for prefix, number in shared.most_common() if 2 * number >= len(wanted)]
    candidates = {}
    for prefix in prefixes:
        inner = tuple(other for other in prefixes if other.startswith(prefix) and other != prefix)
        inside = [name for name in shapes if name.startswith(prefix) and not name.startswith(inner)]
        candidates[prefix] = {_today(name.removeprefix(prefix)): name for name in inside}
    return candidates


def _today(name: str) -> str:
    """A name without wrappers inside of it, and as torchvision writes it today.

    >>> _today("features.module.denseblock1.denselayer1.norm.1.weight")
    'features.denseblock1.denselayer1.norm1.weight'
    """
    return OLD_DENSENET.sub(r"\1\2", WRAPPED.sub("", name))


def backbone_names(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights without its head."""
    head = f"{head_of(network)}."
    return {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.startswith(head)}


def difference(outline: nn.Module, names: Names, shapes: Shapes) -> str:
    """The first thing in which a set of tensors differs from a network's weights."""
    wanted, head = backbone_names(outline), f"{head_of(outline)}."
    for name, here in wanted.items():
        there = tuple(shapes[names[name]]) if name in names else "absent"
        if there != here and not name.endswith("num_batches_tracked"):
            return f"{name} is {there} there and {here} here"
    extra = [there for name, there in names.items() if name not in wanted and not name.startswith(head)]
    return f"it also holds {', '.join(extra[:3])}" if extra else "torch refuses it"


def _fits(outline: nn.Module, names: Names, shapes: Shapes) -> bool:
    head = f"{head_of(outline)}."
    own = outline.state_dict()
    optional = {name: own[name] for name in own if name.startswith(head) or name.endswith("num_batches_tracked")}
    given = {name: torch.empty(shapes[names[name]], device="meta") for name in names if not name.startswith(head)}
    try:
        outline.load_state_dict(optional | given)
    except RuntimeError:
        return False
    return True
