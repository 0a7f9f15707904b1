"""Fingerprints of the code that computes a result.

What counts is what runs: the syntax of a module and of every module of the project that it imports, and the data files
that these modules name. Comments, docstrings and layout do not count, nor does what only keeps, waits or shows.
"""

import ast
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cxrlib.runtime.files import PROJECT_ROOT, file_fingerprint, fingerprint

PACKAGE = "cxrlib"
COMPUTES_NOTHING = tuple(
    f"{PACKAGE}.runtime.{name}"
    for name in (
        "environment",
        "errors",
        "files",
        "fingerprints",
        "memory",
        "processes",
        "progress",
        "store",
        "work_list",
        "workers",
    )
)
"""Modules that change no byte of any result: they find, keep, count and share out files, wait, or show progress."""


@cache
def imported_names(source: str, inside_functions: bool = True) -> frozenset[str]:
    """Dotted names of everything that a Python source imports, inside of functions too or on loading only.

    Of `from a import b` it is a.b, since b may be a module. The project has no relative imports.

    >>> sorted(imported_names("from cxrlib.explain import weighted_sum; import torch.nn"))
    ['cxrlib.explain.weighted_sum', 'torch.nn']
    """
    tree, names = ast.parse(source), set()
    for node in ast.walk(tree) if inside_functions else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def code_files(names: Iterable[str], given: tuple[str, ...] = (), root: Path = PROJECT_ROOT) -> list[Path]:
    """The files of the project behind imported names, and behind what these import in turn.

    A name that the face of a folder re-exports leads to its module; a whole folder leads to all modules behind its
    face. Faces themselves compute nothing and are left out.

    Args:
        names: dotted names, e.g. from `imported_names`.
        given: modules and folders, as dotted names, that are not followed, since what they give enters by its own
            fingerprint or by value.
        root: the project's folder.

    Returns:
        Python files, and the data files beside them that they name, in order.
    """
    left_out = (*COMPUTES_NOTHING, *given)
    waiting, seen, found, beside = list(names), set(), set(), {}
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] != PACKAGE:
            continue
        seen.add(name)
        for module in _modules_of(name, root):
            file = root.joinpath(*module.split(".")).with_suffix(".py")
            if file in found or _is_below(module, left_out):
                continue
            source, folder = file.read_text(encoding="utf-8"), file.parent
            if folder not in beside:
                beside[folder] = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"]
            found |= {file, *(path for path in beside[folder] if path.name in _texts(source))}
            waiting += imported_names(source)
    return sorted(found)


def code_fingerprints(names: Iterable[str], given: tuple[str, ...] = (), root: Path = PROJECT_ROOT) -> dict[str, str]:
    """Fingerprint of every file of `code_files`, by its path from the project's root."""
    return {
        path.relative_to(root).as_posix(): meaning(path.read_text(encoding="utf-8"))
        if path.suffix == ".py"
        else file_fingerprint(path)
        for path in code_files(names, given, root)
    }


@cache
def code_fingerprint(*modules: str, given: tuple[str, ...] = (), root: Path = PROJECT_ROOT) -> str:
    """One fingerprint of what computes something: the code behind modules, and the libraries that it imports.

    For stores that must not outlive the code that filled them; the modules are loaded.

    Args:
        modules: dotted names.
        given, root: as in `code_files`.
    """
    sources = [path.read_text(encoding="utf-8") for path in code_files(modules, given, root) if path.suffix == ".py"]
    libraries = {name.partition(".")[0] for source in sources for name in imported_names(source, False)}
    versions = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(libraries)}
    return fingerprint([code_fingerprints(modules, given, root), versions])


@cache
def meaning(source: str) -> str:
    """Fingerprint of a Python source without its comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return fingerprint(ast.unparse(tree))


def _is_text(statement: ast.stmt) -> bool:
    """A string that stands alone: a docstring, of a module, class, function or variable."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_below(name: str, folders: tuple[str, ...]) -> bool:
    return any(name == folder or name.startswith(f"{folder}.") for folder in folders)


@cache
def _texts(source: str) -> frozenset[object]:
    """The constants of a Python source, its strings among them."""
    return frozenset(node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))


def _modules_of(name: str, root: Path) -> list[str]:
    """The modules, as dotted names, that a dotted name of the project stands for."""
    path, folder = root.joinpath(*name.split(".")), name.rpartition(".")[0]
    if path.with_suffix(".py").is_file():
        return [name]
    if path.is_dir():
        return _behind_face(name, root)
    if path.parent.with_suffix(".py").is_file():
        return [folder]  # a function or class of a module
    return _behind_face(folder, root, path.name) if path.parent.is_dir() else []


def _behind_face(folder: str, root: Path, name: str | None = None) -> list[str]:
    """The modules behind all names that the face of a folder re-exports, or behind one of them."""
    face = root.joinpath(*folder.split("."), "__init__.py")
    exported = _re_exported(face.read_text(encoding="utf-8")) if face.is_file() else {}
    return [f"{folder}.{module}" for module, names in exported.items() if name in (None, "*", *names)]


@cache
def _re_exported(face: str) -> dict[str, list[str]]:
    """The table `submod_attrs` of a face: module -> names."""
    for node in ast.walk(ast.parse(face)):
        if isinstance(node, ast.keyword) and node.arg == "submod_attrs":
            return ast.literal_eval(node.value)
    return {}
