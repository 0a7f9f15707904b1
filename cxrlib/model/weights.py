"""Weights from which training starts: torchvision's, those of a local file, or torchxrayvision's chest network."""

import pickle
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from torchvision import models

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import whole_file

PUBLISHED = ("imagenet", "torchxrayvision")
"""Values of the weights parameter that are names; any other value is a path."""
CHEST_URL = (
    "https://github.com/mlmed/torchxrayvision/releases/download/v1/pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt"
)
"""resnet50-res512-all: trained at 512 px on PadChest, NIH, RSNA, SIIM and VinBigData. No checksum is published."""


CHEST_FOLDER = Path.home() / ".torchxrayvision" / "models_data"
"""Where torchxrayvision itself keeps its weights."""


CHEST_OUTPUTS = [
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
    "Lung Lesion",
    "Fracture",
    "Lung Opacity",
    "Enlarged Cardiomediastinum",
]
"""The labels of torchxrayvision's network, in the order of its outputs."""


def load_weights(
    network: nn.Module, weights: str, classes: list[str], names: dict[str, str] | None = None
) -> list[str]:
    """Fill the backbone from `weights`, and those rows of the head for whose class the weights have an output.

    Args:
        network: as `cxrlib.model.networks.build_resnet` makes it.
        weights: "imagenet", "torchxrayvision", or the path of a safetensors or PyTorch file.
        classes: of the network's head.
        names: torchxrayvision's label -> name of the class here. None: the classes have torchxrayvision's names.

    Returns:
        The classes whose rows of the head are unchanged.

    Raises:
        Refusal: the weights cannot be downloaded or read, or do not fit the architecture.
    """
    if weights == "torchxrayvision":
        state = read_state(weights_file(weights))
    elif weights == "imagenet":
        state = _imagenet_state(network)
    else:
        state = read_state(Path(weights))
    _fill_backbone(network, state, weights)
    if weights != "torchxrayvision":
        return classes
    # Of two outputs with one name the last one is taken.
    output_of = {(names or {}).get(output, output): position for position, output in enumerate(CHEST_OUTPUTS)}
    known = [name for name in classes if name in output_of]
    rows, outputs = [classes.index(name) for name in known], [output_of[name] for name in known]
    with torch.no_grad():
        network.fc.weight[rows] = state["fc.weight"][outputs]
        network.fc.bias[rows] = state["fc.bias"][outputs]
    return [name for name in classes if name not in output_of]


def weights_file(weights: str) -> Path | None:
    """The file behind `weights`; torchxrayvision's is downloaded first if it is missing.

    Returns:
        None for "imagenet", whose file torchvision keeps and checks against its hash, and for a path without a file.

    Raises:
        Refusal: the file cannot be downloaded.
    """
    if weights != "torchxrayvision":
        path = Path(weights)
        return path if path.is_file() else None
    path = CHEST_FOLDER / CHEST_URL.rpartition("/")[2]
    if not path.exists():
        try:
            with whole_file(path) as temporary:
                torch.hub.download_url_to_file(CHEST_URL, str(temporary))
        except (OSError, HTTPException) as error:
            raise Refusal(_offline(CHEST_URL, error, f"put it at {path}")) from error
    return path


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or of a file that torch.save wrote. Nothing else in the file is loaded.

    Raises:
        Refusal: the file is missing, damaged, or holds objects that could run code.
    """
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise Refusal(
            f"{path}: refused, for it is damaged or holds more than tensors, and loading that could run code; "
            "save the network's state_dict() instead"
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError) as error:
        kind = "safetensors" if path.suffix == ".safetensors" else "PyTorch"
        raise Refusal(f"{path}: not a readable {kind} file ({error}); give another or copy it again") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    tensors = {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise Refusal(f"{path}: holds no state_dict of tensors; save the network's state_dict() there")
    return tensors


def _fill_backbone(network: nn.Module, state: dict[str, torch.Tensor], weights: str) -> None:
    shapes, wanted = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.startswith("fc.")}
        for tensors in (state, network.state_dict())
    )
    for name in [*wanted, *shapes]:
        if shapes.get(name) != wanted.get(name):
            there, here = shapes.get(name, "absent"), wanted.get(name, "absent")
            raise Refusal(
                f"model.weights: {weights} is not this architecture: {name} differs, {there} there and {here} here; "
                "choose other weights or another model.architecture"
            )
    network.load_state_dict({name: state[name] for name in wanted}, strict=False)


def _imagenet_state(network: nn.Module) -> dict[str, torch.Tensor]:
    name = {18: "ResNet18", 34: "ResNet34", 50: "ResNet50"}[_depth(network)]
    chosen = models.get_weight(f"{name}_Weights.IMAGENET1K_V1")
    try:
        return chosen.get_state_dict(check_hash=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the file has another hash
        raise Refusal(_offline(chosen.url, error)) from error


def _offline(url: str, error: Exception, place: str = "give its path as model.weights") -> str:
    return (
        f"model.weights: {url} could not be downloaded ({error}). Download it elsewhere and {place}, "
        "or train from scratch with model.weights=null"
    )


def _depth(network: nn.Module) -> int:
    blocks = tuple(len(getattr(network, f"layer{i}")) for i in range(1, 5))
    bottleneck = hasattr(network.layer1[0], "conv3")
    return 50 if bottleneck else {(2, 2, 2, 2): 18, (3, 4, 6, 3): 34}[blocks]
