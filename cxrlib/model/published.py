"""Weights that others publish: torchvision's of ImageNet, and torchxrayvision's chest network."""

import os
import warnings
from http.client import HTTPException
from pathlib import Path

import torch
from torchvision import models

from cxrlib.model.weight_files import read_tensors
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import file_fingerprint, file_sha256, whole_file

CHEST_URL = (
    "https://github.com/mlmed/torchxrayvision/releases/download/v1/pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt"
)
"""resnet50-res512-all: trained at 512 px on PadChest, NIH, RSNA, SIIM and VinBigData. No checksum is published."""


CHEST_FOLDER = Path("~/.torchxrayvision/models_data")
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


def weights_identity(weights: str, architecture: str) -> str:
    """What tells these first weights from others: the fingerprint of their file, or "imagenet" for the published ones.

    torchxrayvision's file is downloaded first if it is missing; a path without a file stands for itself.

    Raises:
        Refusal: the file cannot be downloaded.
    """
    if weights == "imagenet":
        path = _imagenet_file(architecture)
        return file_fingerprint(path) if path.is_file() and not _has_its_hash(path) else weights
    path = chest_file() if weights == "torchxrayvision" else Path(weights)
    return file_fingerprint(path) if os.path.isfile(path) else weights


def imagenet_weights(architecture: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """The file of torchvision's weights, and the weights as torchvision's own builder reads them."""
    chosen, path = _published(architecture), _imagenet_file(architecture)
    if not path.exists():
        try:
            chosen.get_state_dict(check_hash=True)
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the file has another hash
            raise Refusal(_offline(chosen.url, error, f"put it at {path}")) from error
    elif not _has_its_hash(path):
        warnings.warn(f"{path} is not the file that torchvision publishes: it has another checksum", stacklevel=3)
    again = "delete it, then it is downloaded again"
    try:
        read_tensors(path)  # refuses a file that holds code, which the builder would run
        with torch.random.fork_rng(devices=[]):
            return path, models.get_model(architecture, weights=chosen).state_dict()
    except Refusal as refusal:
        raise Refusal(f"{refusal}; or {again}") from refusal
    except RuntimeError as error:
        raise Refusal(f"{path}: holds other weights than torchvision's of {architecture}; {again}") from error


def _published(architecture: str) -> models.WeightsEnum:
    return models.get_model_weights(architecture)["IMAGENET1K_V1"]


def _imagenet_file(architecture: str) -> Path:
    """Where torch keeps the file of torchvision's weights."""
    return Path(torch.hub.get_dir(), "checkpoints", _published(architecture).url.rpartition("/")[2])


def _has_its_hash(path: Path) -> bool:
    """Whether a file's sha256 begins with the digits in its name."""
    digits = torch.hub.HASH_REGEX.search(path.name)
    return digits is not None and file_sha256(path).startswith(digits[1])


def chest_file() -> Path:
    """torchxrayvision's file; downloaded first if it is missing.

    Raises:
        Refusal: it cannot be downloaded.
    """
    path = CHEST_FOLDER.expanduser() / CHEST_URL.rpartition("/")[2]
    if not path.exists():
        try:
            with whole_file(path) as temporary:
                torch.hub.download_url_to_file(CHEST_URL, str(temporary))
        except (OSError, HTTPException) as error:
            raise Refusal(_offline(CHEST_URL, error, f"put it at {path}")) from error
    return path


def _offline(url: str, error: Exception, place: str) -> str:
    return (
        f"model.weights: {url} could not be downloaded ({error}). Download it elsewhere and {place}, "
        "or train from scratch with model.weights=null"
    )
