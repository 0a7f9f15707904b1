"""Files of weights as people have them: the first bytes say what a file is, and nothing but tensors is loaded."""

import os
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from cxrlib.runtime.errors import Refusal

ZIP = b"PK\x03\x04"


OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that torch.save wrote before version 1.6, as pickle stores it."""


LARGEST_HEADER = 100_000_000
"""In bytes; safetensors allows no longer one."""


FOREIGN = {
    rb"\x89HDF\r\n": "an HDF5 file, as Keras and TensorFlow write them; give weights of PyTorch",
    rb"\x08[\x01-\x20][\x12\x1a\x22\x3a\x42]": "an ONNX or TensorFlow file; give weights of PyTorch",
    rb"....TFL3": "a TensorFlow Lite file; give weights of PyTorch",
    rb"\x93NUMPY": "a NumPy array; give a file that torch.save or safetensors wrote",
    rb"GGUF": "a GGUF file; give a file that torch.save or safetensors wrote",
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!": "packed; unpack it and give the file of weights in it",
    rb".{257}ustar": "a tar archive; unpack it and give the file of weights in it",
    rb"version https://git-lfs": "Git LFS's note where the file lies, not the file; fetch it with: git lfs pull",
    rb"\s*<": "a web page instead of a file of weights; download the file itself",
}
"""First bytes of files that hold no weights as torch reads them -> what they are and what to do."""


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a safetensors file, or of a file that torch.save wrote.

    Returns:
        Name -> tensor; names in nested dictionaries are joined: "state_dict.conv1.weight".

    Raises:
        Refusal: the file is missing, damaged, of another kind, or holds objects that could run code.
    """
    try:
        if os.path.isdir(path):
            found = sorted(file.name for file in path.iterdir() if file.is_file())
            raise Refusal(f"{path}: is a folder; give the file of weights in it ({some_of(found)})")
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise Refusal(
            f"{path}: no such file; model.weights is imagenet, torchxrayvision, null, or the path of a file"
        ) from None
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: not readable ({error}); give another file or allow access") from error
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LARGEST_HEADER:
        return read_safetensors(path)
    _check_that_torch_wrote_it(path, head)
    tensors = named_tensors(_read_torch(path))
    if not tensors:
        raise Refusal(f"{path}: holds no state_dict of tensors; save the network's state_dict() there")
    return tensors


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises:
        Refusal: it cannot be read as one.
    """
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError, KeyError, ValueError) as error:  # KeyError: a type of numbers that torch lacks
        raise Refusal(f"{path}: not a readable safetensors file ({error}); give another or copy it again") from error


def named_tensors(value: object) -> dict[str, torch.Tensor]:
    """The tensors in nested dictionaries and lists, with their places joined to names; all else is left out.

    >>> list(named_tensors({"epoch": 3, "model": {"fc.weight": torch.zeros(1), "parts": [torch.zeros(1)]}}))
    ['model.fc.weight', 'model.parts.0']
    """
    found, seen, places = {}, set(), [((), value)]
    for place, item in places:  # grows meanwhile
        if isinstance(item, torch.Tensor):
            found[".".join(place)] = item
        elif isinstance(item, Mapping | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            pairs = item.items() if isinstance(item, Mapping) else enumerate(item)
            places += [((*place, str(name)), part) for name, part in pairs]
    return found


def some_of(names: Iterable[str], most: int = 3) -> str:
    """The first of several names, for a message.

    >>> some_of(["a.pth", "b", "c", "d"])
    'a.pth, b, c, ...'
    >>> some_of([])
    'nothing'
    """
    names = list(names)
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])]) or "nothing"


def _check_that_torch_wrote_it(path: Path, head: bytes) -> None:
    if head.startswith(ZIP):
        return _check_zip(path)
    if OLD_TORCH in head[:32]:
        return
    if head.startswith(b"\x80"):
        raise Refusal(
            f"{path}: refused, for it is a pickle that torch.save did not write, and loading it could run code; "
            "save the network's state_dict() with torch.save instead"
        )
    for first, advice in FOREIGN.items():
        if re.match(first, head, re.DOTALL):
            raise Refusal(f"{path}: is {advice}")
    what = f"it begins with {head[:12]}" if head else "it is empty"
    raise Refusal(f"{path}: neither a safetensors nor a PyTorch file: {what}; give another or copy it again")


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except Exception as error:  # a damaged list of names makes zipfile raise anything
        raise Refusal(f"{path}: its end is missing or damaged ({error}); copy or download it again") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise Refusal(
            f"{path}: is a TorchScript program, not weights; "
            f"save its weights: torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pth')"
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise Refusal(
            f"{path}: is a zip that torch.save did not write; unpack it and give the file in it ({some_of(names)})"
        )


def _read_torch(path: Path) -> object:
    try:
        with path.open("rb") as file:  # of a path torch would look at the suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        kind = re.search(r"(?i)unsupported (?:global:? GLOBAL|class) (\S+)", str(error))
        what = f"holds more than tensors ({kind[1]})" if kind else "is damaged or holds more than tensors"
        raise Refusal(
            f"{path}: refused, for it {what}, and loading that could run code; save the network's state_dict() alone, "
            "where you trust the file: load it with torch.load(..., weights_only=False) and save its state_dict"
        ) from error
    except Exception as error:  # a damaged file makes torch raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise Refusal(f"{path}: not a readable PyTorch file ({reason}); give another or copy it again") from error
