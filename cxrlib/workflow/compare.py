"""How the results of two runs differ: by bytes first, then by what the bytes hold.

Two runs with the same results may differ in the times that they measured and in their provenance. Figures carry the
run's id. The JSON beside a table or figure names the code, data and parameters behind it. Earlier versions wrote
fingerprints into models, maps and names of files.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrlib.runtime.stored_tables import read_stored
from cxrlib.workflow.manifest import Manifest

NOT_COMPARED = ("notebooks/", "report.html", "source/render.json")
"""Executed notebooks hold times and random widget names, and the report prints parameters that change no result, such
as the number of workers; what they show lies in files that are compared. render.json is a record of an earlier version:
it names what was rendered, and the radiographs are compared themselves."""
CLOCK = "seconds"
"""Name of the columns that hold measured times, which differ from run to run."""
FINGERPRINT = re.compile(r"(?<=^data/)(sizes|inputs-\d+)-[0-9a-f]{12}")
"""What earlier versions wrote into the names of two files."""
CREATOR = re.compile(rb"/Creator \(.*?\)")
"""Of a PDF: the run's id."""


@dataclass(frozen=True)
class Comparison:
    """How two runs differ.

    Attributes:
        differences: one line per artefact that only one run has or whose contents differ.
        provenance: artefacts of other bytes and the same contents, or with other measured times.
    """

    differences: list[str]
    provenance: list[str]


def compare(ours: Manifest, theirs: Manifest) -> Comparison:
    """Compare all artefacts of two runs but notebooks and report; tables and arrays also by how much they differ."""
    own, other = (_artefacts(manifest) for manifest in (ours, theirs))
    differences, provenance = [], []
    for name in sorted({*own, *other}):
        if name not in other:
            differences.append(f"{name} is only in {ours.folder}")
        elif name not in own:
            differences.append(f"{name} is only in {theirs.folder}")
        elif own[name][1] != other[name][1]:
            if found := difference(ours.folder / own[name][0], theirs.folder / other[name][0]):
                differences.append(f"{name}: {found}")
            else:
                provenance.append(name)
    return Comparison(differences, provenance)


def difference(ours: Path, theirs: Path) -> str | None:
    """What differs between the contents of two files of the same kind, in one line; None where nothing does."""
    if not (ours.is_file() and theirs.is_file()):
        return "the bytes differ; a file is gone, so that nothing more can be said"
    if ours.suffix == ".pdf":
        own, other = (CREATOR.sub(b"", path.read_bytes()) for path in (ours, theirs))
        return None if own == other else "the bytes differ"
    read = {".csv": _table, ".png": _pixels, ".npy": _array, ".npz": _archive, ".safetensors": _tensors, ".json": _json}
    if ours.suffix not in read:
        return "the bytes differ"
    own, other = read[ours.suffix](ours), read[ours.suffix](theirs)
    if ours.suffix == ".csv":
        rows, others = (len(next(iter(table.values()), ())) for table in (own, other))
        if rows != others:
            return f"{rows:,} rows, not {others:,}"
    found = [
        f"{name} is only in one"
        if name not in own or name not in other
        else _numeric_difference(name, own[name], other[name])
        for name in dict.fromkeys([*own, *other])
    ]
    return "; ".join(filter(None, found)) or None


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
    frame = read_stored(path)
    return {f"column {name}": frame[name].to_numpy() for name in frame if name != CLOCK}


def _pixels(path: Path) -> dict[str, np.ndarray]:
    from PIL import Image

    with Image.open(path) as image:
        return {"pixels": np.asarray(image)}


def _array(path: Path) -> dict[str, np.ndarray]:
    return {"array": np.load(path, mmap_mode="r")}


def _archive(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a npz file; earlier versions stored the identity of what made them as one."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays if name != "identity"}


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors and description of a model; earlier versions described its data and recipe by fingerprints."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        description = json.loads((file.metadata() or {}).get("checkpoint", "{}"))
        names = file.keys()
        return _values(description, {"data", "recipe"}) | {name: file.get_tensor(name) for name in names}


def _json(path: Path) -> dict[str, np.ndarray]:
    """What a JSON file holds; of the one beside a table or figure the caption, since the rest is provenance."""
    stored = json.loads(path.read_text())
    return _values({"caption": stored["caption"]} if "caption" in stored else stored, set())


def _values(stored: dict, without: set[str]) -> dict[str, np.ndarray]:
    return {name: np.array(json.dumps(value)) for name, value in stored.items() if name not in without}


def _artefacts(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """What is compared: name -> path and sha256; the name is the path without an earlier version's fingerprint."""
    hashes = {path: sha256 for path, sha256 in manifest.hashes().items() if not path.startswith(NOT_COMPARED)}
    return {FINGERPRINT.sub(r"\1", path): (path, sha256) for path, sha256 in hashes.items()}
