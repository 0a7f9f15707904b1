"""Weights from which training starts: ImageNet's, those of a local file, or torchxrayvision's chest networks."""

import re
import warnings
from pathlib import Path

import torch
from torch import nn

from cxrlib.model.architectures import TESTED
from cxrlib.model.networks import network_outline
from cxrlib.model.published import CHEST_OUTPUTS, chest_weights, imagenet_weights
from cxrlib.model.weight_files import read_tensors, some_of
from cxrlib.model.weight_names import (
    Names,
    Shapes,
    backbone_names,
    candidate_names,
    difference,
    fitting_names,
    head_of,
    outline_of,
)
from cxrlib.runtime.errors import Refusal

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of numbers that weights may have; they become float32."""


def load_weights(
    network: nn.Module, architecture: str, weights: str, classes: list[str], names: dict[str, str] | None = None
) -> list[str]:
    """Fill the backbone from `weights`, and those rows of the head for whose class the weights have an output.

    A warning says where names in the file had to be shortened, and what was left out then.

    Args:
        network: as `cxrlib.model.networks.build_network` makes it.
        architecture: its name.
        weights: "imagenet", "torchxrayvision", or the path of a safetensors or PyTorch file.
        classes: of the network's head.
        names: torchxrayvision's label -> name of the class here. None: the classes have torchxrayvision's names.

    Returns:
        The classes whose rows of the head are unchanged.

    Raises:
        Refusal: the weights cannot be downloaded or read, do not fit the architecture, or are no usable numbers.
    """
    if weights == "imagenet":
        path, tensors = imagenet_weights(architecture)
    elif weights == "torchxrayvision":
        path, tensors = chest_weights(architecture)
    else:
        path, tensors = Path(weights), read_tensors(Path(weights))
    state = _state_of(network, architecture, tensors, path)
    head = f"{head_of(network)}."
    own = {name: value for name, value in network.state_dict().items() if name.startswith(head)}
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith(head)} | own)
    if weights != "torchxrayvision":
        return classes
    # Of two outputs with one name the last one is taken.
    output_of = {(names or {}).get(output, output): position for position, output in enumerate(CHEST_OUTPUTS)}
    known = [name for name in classes if name in output_of]
    rows, outputs = [classes.index(name) for name in known], [output_of[name] for name in known]
    if len(state.get(f"{head}weight", ())) != len(CHEST_OUTPUTS) or f"{head}bias" not in state:
        raise Refusal(f"{path}: has not the {len(CHEST_OUTPUTS)} outputs of torchxrayvision's network; delete it")
    with torch.no_grad():
        for name, value in network.get_submodule(head_of(network)).named_parameters():
            value[rows] = state[head + name][outputs]
    return [name for name in classes if name not in output_of]


def usable(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The values of a weight as float32; a counter of batches as it is.

    Raises:
        ValueError: they are no weights; the message says what they are.

    >>> usable("fc.weight", torch.tensor([0.5], dtype=torch.float16))
    tensor([0.5000])
    >>> usable("fc.weight", torch.tensor([0.5, float("nan")]))
    Traceback (most recent call last):
    ValueError: holds NaN in fc.weight (1 of 2)
    """
    if name.endswith("num_batches_tracked"):
        return tensor
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.dtype not in FLOATS:
        layout = "" if tensor.layout is torch.strided else f"{tensor.layout} "
        kind = "no" if tensor.is_meta else f"{layout}{tensor.dtype}".replace("torch.", "")
        raise ValueError(f"holds {kind} values in {name}, not floating-point weights")
    values = tensor.float()
    if wrong := int((~values.isfinite()).sum()):
        kind = "NaN" if values.isnan().any() else "infinite values"
        raise ValueError(f"holds {kind} in {name} ({wrong} of {values.numel()})")
    if name.endswith("running_var") and (values < 0).any():
        raise ValueError(f"holds variances below 0 in {name}")
    return values


def _state_of(
    network: nn.Module, architecture: str, tensors: dict[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """The network's weights among the tensors of a file, under the network's names."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    outline = outline_of(network)
    fitting = fitting_names(outline, shapes)
    if not fitting:
        raise Refusal(f"model.weights: {path} {_misfit(outline, architecture, shapes)}")
    prefix = _the_one(fitting, tensors, path)
    names = fitting[prefix]
    _say_what_was_read(names, tensors, path)
    try:
        return {name: usable(name, tensors[there]) for name, there in names.items()}
    except ValueError as error:
        raise Refusal(f"model.weights: {path} {error}; choose other weights") from None


def _the_one(fitting: dict[str, Names], tensors: dict[str, torch.Tensor], path: Path) -> str:
    """Which set of weights of a file to take: of a network and its moving average the average, as timm does."""
    first, *others = fitting
    if all(
        _equal(tensors[there], tensors[fitting[first][name]])
        for other in others
        for name, there in fitting[other].items()
        if name in fitting[first]
    ):
        return first
    averages = [prefix for prefix in fitting if "ema" in re.split("[^a-z]+", prefix.lower())]
    if len(averages) == 1 and len(fitting) == 2:
        return averages[0]
    raise Refusal(
        f"model.weights: {path} holds {len(fitting)} sets of weights that fit: {', '.join(fitting)}; "
        "save the one that you mean to a file of its own"
    )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are plain numbers of one type, and the same."""
    plain = all(tensor.layout is torch.strided and not tensor.is_meta for tensor in (one, other))
    return plain and one.dtype == other.dtype and torch.equal(one, other)


def _say_what_was_read(names: Names, tensors: dict[str, torch.Tensor], path: Path) -> None:
    renamed = sorted((there, name) for name, there in names.items() if name != there)
    if renamed:
        read = set(names.values())
        rest = [name for name in tensors if name not in read]
        left_out = f"; left out {len(rest)} more: {some_of(rest)}" if rest else ""
        warnings.warn(
            f"model.weights: {path}: read {renamed[0][0]} as {renamed[0][1]}, and so {len(renamed)} names{left_out}",
            stacklevel=4,
        )


def _misfit(outline: nn.Module, architecture: str, shapes: Shapes) -> str:
    """What is wrong with weights, and of which architecture they are, where that can be told."""
    if found := architecture_of(shapes):
        return f"holds weights of {found}, not of {architecture}: --set model.architecture={found}"
    for names in candidate_names(outline, shapes).values():
        return f"does not fit {architecture}: {difference(outline, names, shapes)}; choose other weights"
    wanted = backbone_names(outline)
    there, here = [name for name in shapes if name not in wanted], [name for name in wanted if name not in shapes]
    return (
        f"does not fit {architecture}: its tensors have other names ({some_of(there)}) than the network's "
        f"({some_of(here)}); choose weights of {architecture}, or rename them"
    )


def architecture_of(shapes: Shapes) -> str | None:
    """The architecture whose weights have these names and shapes; None where it is none of `TESTED`.

    >>> shapes = backbone_names(network_outline("resnet34", 2))
    >>> architecture_of({f"net.{name}": shape for name, shape in shapes.items()})
    'resnet34'
    """
    for name in TESTED:
        if fitting_names(network_outline(name, 2), shapes):
            return name
    return None
