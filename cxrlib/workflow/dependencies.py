"""What a result depends on besides earlier results: code, parameters, input files and installed packages."""

import ast
import os
import platform
import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from cxrlib.files import PROJECT_ROOT, file_fingerprint, fingerprint

PACKAGE = "cxrlib"
WITHOUT_EFFECT = {"compute": {"workers"}}
"""Parameters that change no byte of any result; tests/test_reruns.py holds them to it."""


@cache
def imported_names(source: str, inside_functions: bool = True) -> frozenset[str]:
    """Dotted names of everything that a Python source imports, inside of functions too or on loading only.

    Of `from a import b` both a and a.b, since b may be a module. The project has no relative imports.
    """
    tree, names = ast.parse(source), set()
    for node in ast.walk(tree) if inside_functions else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def code_files(names: Iterable[str], root: Path = PROJECT_ROOT) -> list[Path]:
    """The files of cxrlib behind imported names, and behind what these import in turn.

    Importing a.b runs a/__init__.py too. A package's files that are not Python (tables, templates) belong to it.
    """
    waiting, found = list(names), set()
    while waiting:
        parts = waiting.pop().split(".")
        for length in range(1, len(parts) + 1) if parts[0] == PACKAGE else []:
            path = root.joinpath(*parts[:length])
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            if file.is_file() and file not in found:
                found.add(file)
                waiting += imported_names(file.read_text(encoding="utf-8"))
                if path.is_dir():
                    found |= {other for other in path.iterdir() if other.is_file() and other.suffix != ".py"}
    return sorted(found)


def code_fingerprints(names: Iterable[str], root: Path = PROJECT_ROOT) -> dict[str, str]:
    """Fingerprint of every file of `code_files`, by its path from the project's root."""
    return {path.relative_to(root).as_posix(): file_fingerprint(path) for path in code_files(names, root)}


@cache
def code_fingerprint(*modules: str) -> str:
    """One fingerprint of what computes something: the sources behind modules of cxrlib, and the libraries they import.

    For stores that must not outlive the code that filled them; the modules are loaded.
    """
    sources = [path.read_text(encoding="utf-8") for path in code_files(modules) if path.suffix == ".py"]
    libraries = {name.partition(".")[0] for source in sources for name in imported_names(source, False)}
    versions = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(libraries)}
    return fingerprint([code_fingerprints(modules), versions])


def effective(parameters: dict[str, object]) -> dict[str, object]:
    """Sections of parameters without the values that change no result."""
    return {
        name: {key: value for key, value in section.items() if key not in WITHOUT_EFFECT.get(name, ())}
        if isinstance(section, dict)
        else section
        for name, section in parameters.items()
    }


def input_files(parameters: dict[str, object]) -> dict[str, str]:
    """Identity of every file or folder outside the run that a parameter names: "section.name" -> fingerprint.

    Names, sizes and times of change stand for contents: a data set can have 190 GB.
    """
    found = {}
    for section, values in parameters.items():
        for name, value in values.items() if isinstance(values, dict) else []:
            if isinstance(value, str) and value and os.path.exists(PROJECT_ROOT / value):
                found[f"{section}.{name}"] = fingerprint(list(_identities(PROJECT_ROOT / value)))
    return found


def _identities(path: Path) -> Iterable[tuple]:
    if path.is_file():
        yield path.name, path.stat().st_size, path.stat().st_mtime_ns
    seen = set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        subfolders[:] = [] if real in seen else sorted(subfolders)  # links may lead round in circles
        seen.add(real)
        for name in sorted(names):
            file = os.path.join(folder, name)
            facts = os.stat(file) if os.path.exists(file) else os.lstat(file)  # a link may lead nowhere
            yield os.path.relpath(file, path), facts.st_size, facts.st_mtime_ns


@cache
def environment() -> dict[str, str]:
    """Versions of Python and of all packages that the project's dependencies bring, by name."""
    from packaging.requirements import Requirement

    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    waiting, versions = list(project["dependencies"]), {"python": platform.python_version()}
    while waiting:
        requirement = Requirement(waiting.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in versions or not _applies(requirement):
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        versions[name] = distribution.version
        waiting += distribution.requires or []
    return dict(sorted(versions.items()))


def _applies(requirement: object) -> bool:
    """Whether a requirement holds here; those of extras do not."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
