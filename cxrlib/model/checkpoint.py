"""A stored model: its weights and what it is, in one safetensors file."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from cxrlib.model.networks import build_resnet
from cxrlib.model.weights import read_state
from cxrlib.runtime.distributed import rank
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.runtime.files import whole_file


def checkpoint_writer(network: nn.Module, about: dict, path: Path) -> Callable[[int, float], None]:
    """A `keep_best` that stores the network at `path`; `about` holds the fields of Checkpoint but the last two."""

    def keep_best(epoch: int, valid_loss: float) -> None:
        if rank() == 0:
            save_checkpoint(network, Checkpoint(**about, epoch=epoch, valid_loss=valid_loss), path)

    return keep_best


@dataclass(frozen=True)
class Checkpoint:
    """What a stored model is, beside its weights.

    `data` is the fingerprint of the cohort, `recipe` that of the parameters that trained it.
    """

    architecture: str
    classes: list[str]
    input_size: int
    output_stride: int
    data: str
    recipe: str
    epoch: int
    valid_loss: float


def save_checkpoint(network: nn.Module, about: Checkpoint, path: Path) -> None:
    """Store weights and description in one safetensors file."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(state, {"checkpoint": json.dumps(asdict(about), sort_keys=True)}))


def load_checkpoint(path: Path, device: torch.device) -> tuple[nn.Module, Checkpoint]:
    """Read a stored model in evaluation mode.

    Raises:
        Refusal: the file is missing, damaged or holds no checkpoint of this project.
    """
    if not path.exists():
        raise Missing(f"{path}: no such checkpoint; run notebook 02_training first")
    state = read_state(path)
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("checkpoint")
    if text is None:
        raise Refusal(f"{path}: holds weights but no description; delete it and run notebook 02_training again")
    try:
        about = Checkpoint(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise Refusal(f"{path}: its description is damaged ({error}); run notebook 02_training again") from None
    try:
        network = build_resnet(about.architecture, len(about.classes), about.output_stride)
        network.load_state_dict(state)
    except (ValueError, RuntimeError):
        raise Refusal(
            f"{path}: the weights do not fit a {about.architecture} with {len(about.classes)} labels, which the file "
            "says that it holds; run notebook 02_training again"
        ) from None
    return network.to(device, memory_format=torch.channels_last).eval(), about
