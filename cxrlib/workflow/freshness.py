"""Whether a notebook's results are up to date, or why not.

A notebook is fresh when its text, its parameters, the code that it imports, the input files that its parameters name,
the installed packages and the results that it read are what the manifest says, and what it made is still there.
Nothing is declared: imports come from the syntax tree, reads and writes from the record of the run. doit and snakemake
need every dependency written down, and keep a second database beside the manifest.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cxrlib.params import PATHS, effective
from cxrlib.runtime.environment import environment
from cxrlib.runtime.files import PROJECT_ROOT, fingerprint
from cxrlib.runtime.walk import files_below
from cxrlib.workflow.manifest import DONE, EDITED, FAILED, Manifest, machine
from cxrlib.workflow.notebooks import code_of, text_fingerprint
from cxrlib.workflow.used import code_behind

FOLDERS = {("transfer", "run"): ("data", "models")}
"""Of a folder that these parameters name, only the files in these folders are read; of another run its model and data.

Its report, its figures, and the networks of its other notebooks in the folders of `models` change nothing, nor do its
images in the frame of a network (data/inputs-SIZE.npy), which notebook 14 may add.
"""


def input_files(parameters: dict[str, object]) -> dict[str, str]:
    """Identity of every file or folder outside the run that a parameter names: "section.name" -> fingerprint.

    Names, sizes and times of change stand for contents: a data set can have 190 GB. Hidden files and folders do not
    count, since no data set means them.
    """
    named = [(section, name, parameters.get(section, {}).get(name)) for section, name in PATHS]
    existing = [(section, name, Path(value)) for section, name, value in named if value and os.path.exists(value)]
    return {
        f"{section}.{name}": fingerprint(list(_identities(path, FOLDERS.get((section, name)))))
        for section, name, path in existing
    }


def _identities(path: Path, folders: Sequence[str] | None) -> Iterable[tuple]:
    if path.is_file():
        yield path.name, path.stat().st_size, path.stat().st_mtime_ns
    for name in files_below(path):
        if any(part.startswith(".") for part in name.split("/")):
            continue
        folder, _, last = name.rpartition("/")
        if folders is not None and (folder not in folders or last.startswith("inputs-")):
            continue
        file = path / name
        facts = os.stat(file) if os.path.exists(file) else os.lstat(file)  # the target of a link may be missing
        yield name, facts.st_size, facts.st_mtime_ns


NEVER_RUN = "not run yet"


UNFINISHED = {FAILED: "failed last time", EDITED: "something was edited while it ran"}


def recipe_of(
    notebook: Path, parameters: dict[str, object], root: Path = PROJECT_ROOT, formats: Sequence[str] = ("png",)
) -> dict:
    """What a notebook depends on besides the results of others.

    Args:
        parameters: the sections that it declares, without run_folder.
        root: the project's folder.
        formats: in which it writes figures.
    """
    return {
        "notebook": text_fingerprint(notebook),
        "parameters": effective(parameters),
        "code": code_behind(code_of(notebook), root),
        "inputs": input_files(parameters),
        "formats": [*formats],
    }


def run_id(recipe: dict) -> str:
    """The id that figures and tables carry: a fingerprint of text, parameters and code, the same on every machine."""
    return fingerprint({key: recipe[key] for key in ("notebook", "parameters", "code")})


def why_stale(name: str, recipe: dict, manifest: Manifest) -> str | None:
    """The first reason to run the notebook `name`, None when it is fresh."""
    entry = manifest.notebooks.get(name)
    if entry is None:
        return NEVER_RUN
    if entry["status"] != DONE:
        return UNFINISHED.get(entry["status"], "was interrupted")
    return (
        _changed_recipe(recipe, entry["recipe"])
        or _changed_packages(manifest.environments[entry["environment"]])
        or _changed_reads(entry, manifest)
        or _changed_artefacts(entry, manifest)
    )


ALWAYS_THERE = ("auto", "cpu")
"""Values of compute.device that every machine can use; others depend on what the machine offers today."""


def has_run_with(name: str, recipe: dict, manifest: Manifest) -> bool:
    """Whether the notebook `name` has run to its end here with these parameters, input files and packages.

    What its parameters name could be used then, and still can: data, device, weights, layer and methods need no second
    look before it runs again. Its text and code may differ.
    """
    entry = manifest.notebooks.get(name, {})
    if entry.get("status") not in (DONE, EDITED) or entry["machine"] != machine():
        return False
    if recipe["parameters"].get("compute", {}).get("device", "auto") not in ALWAYS_THERE:
        return False
    same = all(entry["recipe"][part] == recipe[part] for part in ("parameters", "inputs"))
    return same and manifest.environments[entry["environment"]] == environment()


def predict(recipes: dict[str, dict], manifest: Manifest) -> dict[str, str | None]:
    """Why each notebook would run, in the order of `recipes`; one whose upstream runs again is expected to run."""
    makers, reasons = manifest.makers(), {}
    for name, recipe in recipes.items():
        reason = why_stale(name, recipe, manifest)
        read_from = {makers.get(path) for path in manifest.notebooks.get(name, {}).get("reads", {})}
        upstream = [maker for maker, why in reasons.items() if why and maker in read_from]
        reasons[name] = reason or (f"upstream {upstream[0]} runs again" if upstream else None)
    return reasons


def _changed_recipe(now: dict, before: dict) -> str | None:
    if now["notebook"] != before["notebook"]:
        return "the notebook changed"
    for section, values in now["parameters"].items():
        old = before["parameters"].get(section, {})
        for key, value in values.items():
            if key not in old or old[key] != value:
                return f"{section}.{key} changed"
        if values.keys() != old.keys():
            return f"{section} changed"
    if now["parameters"].keys() != before["parameters"].keys():
        return "its parameters changed"
    if now["formats"] != before.get("formats"):  # records of earlier versions have none
        return "report.formats changed"
    if path := _first_difference(now["code"], before["code"]):
        return f"{path} changed"
    if name := _first_difference(now["inputs"], before["inputs"]):
        return f"the files of {name} changed"
    return None


def _changed_packages(before: dict[str, str]) -> str | None:
    now = environment()
    name = _first_difference(now, before)
    return f"{name} {before.get(name, 'absent')} became {now.get(name, 'absent')}" if name else None


def _changed_reads(entry: dict, manifest: Manifest) -> str | None:
    makers, now = manifest.makers(), manifest.hashes_of(entry["reads"])
    for path, sha256 in entry["reads"].items():
        if now[path] != sha256:
            return f"upstream {makers[path]}: {path} changed" if path in makers else f"{path} changed"
    return None


def _changed_artefacts(entry: dict, manifest: Manifest) -> str | None:
    now = manifest.hashes_of(entry["artefacts"])
    for path, made in entry["artefacts"].items():
        if now[path] != made["sha256"]:
            return f"{path} is missing" if now[path] is None else f"{path} was changed by hand"
    return None


def _first_difference(now: dict[str, str], before: dict[str, str]) -> str | None:
    return next((key for key in sorted({*now, *before}) if now.get(key) != before.get(key)), None)
