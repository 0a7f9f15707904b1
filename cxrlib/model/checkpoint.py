"""A stored model: its weights and what it is, in one safetensors file."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from cxrlib.model.networks import build_network
from cxrlib.model.weight_files import read_safetensors
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.runtime.files import whole_file
from cxrlib.runtime.processes import rank


@dataclass(frozen=True)
class Checkpoint:
    """What a stored model is, beside its weights.

    Attributes:
        architecture, output_stride: as in `cxrlib.model.networks.build_network`.
        classes: names of the outputs, in order.
        input_size: side of the network's input in pixels.
        epoch: the epoch after which the weights were stored, counted from 1; 0 before any training.
        valid_loss: the validation loss after that epoch.
    """

    architecture: str
    classes: list[str]
    input_size: int
    output_stride: int
    epoch: int = 0
    valid_loss: float = float("nan")


def checkpoint_path(folder: Path, experiment: str) -> Path:
    """Where the model of an experiment lies, e.g. models/7_labels.safetensors."""
    return folder / f"{experiment.replace(' ', '_')}.safetensors"


def checkpoint_writer(network: nn.Module, checkpoint: Checkpoint, path: Path) -> Callable[[int, float], None]:
    """A `keep_best` that stores the network at `path`, described by `checkpoint`, its epoch and its loss."""

    def keep_best(epoch: int, valid_loss: float) -> None:
        if rank() == 0:
            save_checkpoint(network, replace(checkpoint, epoch=epoch, valid_loss=valid_loss), path)

    return keep_best


def save_checkpoint(network: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Store weights and description in one safetensors file."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(state, {"checkpoint": json.dumps(asdict(checkpoint), sort_keys=True)}))


def load_checkpoint(path: Path, device: torch.device) -> tuple[nn.Module, Checkpoint]:
    """Read a stored model.

    Returns:
        The network, on `device` and in evaluation mode, and its description.

    Raises:
        Refusal: the file is missing, damaged or holds no checkpoint of this project.
    """
    if not path.exists():
        raise Missing(f"{path}: no such checkpoint; run notebook 02_training first")
    state = read_safetensors(path)
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("checkpoint")
    if text is None:
        raise Refusal(f"{path}: holds weights but no description; delete it and run notebook 02_training again")
    try:
        checkpoint = Checkpoint(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Refusal(f"{path}: its description is damaged ({error}); run notebook 02_training again") from None
    try:
        network = build_network(checkpoint.architecture, len(checkpoint.classes), checkpoint.output_stride)
        network.load_state_dict(state)
    except Refusal as refusal:
        raise Refusal(f"{path}: its network cannot be built: {refusal}") from None
    except (ValueError, RuntimeError):
        raise Refusal(
            f"{path}: the weights do not fit a {checkpoint.architecture} with {len(checkpoint.classes)} labels, which "
            "the file says that it holds; run notebook 02_training again"
        ) from None
    return network.to(device, memory_format=torch.channels_last).eval(), checkpoint
