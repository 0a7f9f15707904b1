"""How the results of two runs differ: by bytes first, then by what the bytes mean."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.workflow.manifest import Manifest

NOT_COMPARED = ("notebooks/", "data/sizes-", "report.html")
"""Executed notebooks hold times and random widget names, the name of the list of sizes depends on when the source files
were written, and the report prints parameters that change no result, such as the number of workers. What they lead to
or show lies in files that are compared."""


def compare(ours: Manifest, theirs: Manifest) -> list[str]:
    """One line per artefact that only one run has or whose bytes differ; for tables and arrays, by how much."""
    (own, other), lines = (_hashes(manifest) for manifest in (ours, theirs)), []
    for path in sorted({*own, *other}):
        if path not in other:
            lines.append(f"{path} is only in {ours.folder}")
        elif path not in own:
            lines.append(f"{path} is only in {theirs.folder}")
        elif own[path] != other[path]:
            lines.append(f"{path}: {difference(ours.folder / path, theirs.folder / path)}")
    return lines


def difference(ours: Path, theirs: Path) -> str:
    """What differs between two files of the same kind, in one line."""
    if not (ours.is_file() and theirs.is_file()):
        return "the bytes differ; a file is gone, so that nothing more can be said"
    read = {".csv": _table, ".png": _pixels, ".npy": _array, ".npz": _archive, ".safetensors": _tensors, ".json": _json}
    if ours.suffix not in read:
        return "the bytes differ"
    own, other = read[ours.suffix](ours), read[ours.suffix](theirs)
    found = [
        f"{name} is only in one"
        if name not in own or name not in other
        else _numeric_difference(name, own[name], other[name])
        for name in dict.fromkeys([*own, *other])
    ]
    return "; ".join(filter(None, found)) or "the same contents in other bytes"


def _numeric_difference(name: str, own: np.ndarray, other: np.ndarray) -> str | None:
    """One column or array: the largest difference, or the number of values that differ."""
    if own.shape != other.shape:
        return f"{name} has shape {own.shape}, not {other.shape}"
    if own.dtype.kind in "biuf" and other.dtype.kind in "biuf":
        own, other = own.astype(np.float64), other.astype(np.float64)
        differ = ~np.isclose(own, other, rtol=0, atol=0, equal_nan=True)
        largest = np.nanmax(np.abs(own - other)[differ], initial=0)
        return f"{name} differs in {differ.sum()} of {differ.size}, at most by {largest:.3g}" if differ.any() else None
    differ = own.astype(str) != other.astype(str)
    return f"{name} differs in {differ.sum()} of {differ.size}" if differ.any() else None


def _table(path: Path) -> dict[str, np.ndarray]:
    frame = pd.read_csv(path)
    return {f"column {name}": frame[name].to_numpy() for name in frame}


def _pixels(path: Path) -> dict[str, np.ndarray]:
    from PIL import Image

    with Image.open(path) as image:
        return {"pixels": np.asarray(image)}


def _array(path: Path) -> dict[str, np.ndarray]:
    return {"array": np.load(path, mmap_mode="r")}


def _archive(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def _tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def _json(path: Path) -> dict[str, np.ndarray]:
    return {name: np.array(json.dumps(value)) for name, value in json.loads(path.read_text()).items()}


def _hashes(manifest: Manifest) -> dict[str, str]:
    return {path: sha256 for path, sha256 in manifest.hashes().items() if not path.startswith(NOT_COMPARED)}
