"""Fingerprints of the code that computes a result.

What counts is what runs: the syntax of a module and of every module of the project that it imports, and the data files
that these modules name. Comments, docstrings and layout do not count, nor does what only keeps, waits or shows.
"""

import ast
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cxrlib.runtime.files import PROJECT_ROOT, file_fingerprint, fingerprint

PACKAGE = "cxrlib"
FACE = "__init__.py"
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


class _Facts(NamedTuple):
    """What a Python source says of itself.

    Attributes:
        imports: dotted names of all that it imports.
        on_loading: those that it imports outside of functions.
        constants: its strings and numbers.
        attributes: every attribute that it names, of whatever object.
        meaning: fingerprint of what runs.
    """

    imports: frozenset[str]
    on_loading: frozenset[str]
    constants: frozenset[object]
    attributes: frozenset[str]
    meaning: str


def imported_names(source: str, inside_functions: bool = True) -> frozenset[str]:
    """Dotted names of everything that a Python source imports, inside of functions too or on loading only.

    Of `from a import b` it is a.b, since b may be a module. The project has no relative imports.

    >>> sorted(imported_names("from cxrlib.explain import weighted_sum; import torch.nn"))
    ['cxrlib.explain.weighted_sum', 'torch.nn']
    """
    facts = _facts(source)
    return facts.imports if inside_functions else facts.on_loading


def named_attributes(source: str) -> frozenset[str]:
    """Every attribute that a Python source names, of whatever object.

    >>> sorted(named_attributes("run.maps().mean"))
    ['maps', 'mean']
    """
    return _facts(source).attributes


def code_files(names: Iterable[str], given: tuple[str, ...] = (), root: Path = PROJECT_ROOT) -> list[Path]:
    """The files of the project behind imported names, and behind what these import in turn, in order.

    They are the keys of `code_sources`.
    """
    return [*code_sources(names, given, root)]


def code_sources(
    names: Iterable[str], given: tuple[str, ...] = (), root: Path = PROJECT_ROOT
) -> dict[Path, str | None]:
    """The files of the project behind imported names, and behind what these import in turn.

    A name that the face of a folder re-exports leads to its module; a whole folder leads to all modules behind its
    face. Faces themselves compute nothing and are left out.

    Args:
        names: dotted names, e.g. from `imported_names`.
        given: modules and folders, as dotted names, that are not followed, since what they give enters by its own
            fingerprint or by value.
        root: the project's folder.

    Returns:
        Python files with their sources, and the data files beside them that they name with None, in order.
    """
    left_out, layout = (*COMPUTES_NOTHING, *given), _layout(root)
    waiting, seen, found = [*_modules_behind(frozenset(names), layout)], set(), {}
    while waiting:
        module = waiting.pop()
        if module in seen or _is_below(module, left_out):
            continue
        seen.add(module)
        file = root.joinpath(*module.split(".")).with_suffix(".py")
        found[file] = source = file.read_text(encoding="utf-8")
        data = layout.data[module.rpartition(".")[0]] & _facts(source).constants
        found |= {file.with_name(name): None for name in data}
        waiting += _modules_behind(_facts(source).imports, layout)
    return {path: found[path] for path in sorted(found)}


def code_fingerprints(names: Iterable[str], given: tuple[str, ...] = (), root: Path = PROJECT_ROOT) -> dict[str, str]:
    """Fingerprint of every file of `code_files`, by its path from the project's root."""
    return source_fingerprints(code_sources(names, given, root), root)


def source_fingerprints(sources: dict[Path, str | None], root: Path = PROJECT_ROOT) -> dict[str, str]:
    """Fingerprint of every file of `code_sources`, by its path from the project's root."""
    return {
        path.relative_to(root).as_posix(): file_fingerprint(path) if source is None else meaning(source)
        for path, source in sources.items()
    }


@cache
def code_fingerprint(*modules: str, given: tuple[str, ...] = (), root: Path = PROJECT_ROOT) -> str:
    """One fingerprint of what computes something: the code behind modules, and the libraries that it imports.

    For stores that must not outlive the code that filled them; the modules are loaded.

    Args:
        modules: dotted names.
        given, root: as in `code_files`.
    """
    sources = code_sources(modules, given, root)
    python = [source for source in sources.values() if source is not None]
    libraries = {name.partition(".")[0] for source in python for name in imported_names(source, False)}
    versions = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(libraries)}
    return fingerprint([source_fingerprints(sources, root), versions])


def meaning(source: str) -> str:
    """Fingerprint of a Python source without its comments, docstrings and layout."""
    return _facts(source).meaning


@cache
def _facts(source: str) -> _Facts:
    """All facts at once: to parse a source takes longer than to look at it."""
    tree = ast.parse(source)
    nodes = [*ast.walk(tree)]
    found = _Facts(
        imports=_imports(nodes),
        on_loading=_imports(tree.body),
        constants=frozenset(node.value for node in nodes if isinstance(node, ast.Constant)),
        attributes=frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute)),
        meaning="",
    )
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return found._replace(meaning=fingerprint(ast.unparse(tree)))


def _imports(nodes: Iterable[ast.AST]) -> frozenset[str]:
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _is_text(statement: ast.stmt) -> bool:
    """A string that stands alone: a docstring, of a module, class, function or variable."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_below(name: str, folders: tuple[str, ...]) -> bool:
    return any(name == folder or name.startswith(f"{folder}.") for folder in folders)


@dataclass(frozen=True, eq=False)
class _Layout:
    """The files of the project at one moment; the same object as long as there are the same files.

    Attributes:
        modules: dotted names of all modules.
        faces: dotted name of each folder -> source of its face, empty where it has none.
        data: dotted name of each folder -> names of its files that are no modules.
    """

    modules: frozenset[str]
    faces: dict[str, str]
    data: dict[str, frozenset[str]]


def _layout(root: Path) -> _Layout:
    folders = []
    for place, below, names in os.walk(root / PACKAGE):
        below[:] = [name for name in below if name != "__pycache__"]
        face = Path(place, FACE).read_text(encoding="utf-8") if FACE in names else ""
        folders.append((".".join(Path(place).relative_to(root).parts), face, frozenset(names)))
    return _layout_of(frozenset(folders))


@cache
def _layout_of(folders: frozenset[tuple[str, str, frozenset[str]]]) -> _Layout:
    """The layout of folders, given by dotted name, source of the face and names of files."""
    return _Layout(
        frozenset(f"{folder}.{name[:-3]}" for folder, _, names in folders for name in names if name.endswith(".py")),
        {folder: face for folder, face, _ in folders},
        {folder: frozenset(name for name in names if not name.endswith(".py")) for folder, _, names in folders},
    )


@cache
def _modules_behind(names: frozenset[str], layout: _Layout) -> frozenset[str]:
    """The modules, as dotted names, that dotted names stand for; of other packages none."""
    own = [name for name in names if name.partition(".")[0] == PACKAGE]
    return frozenset(module for name in own for module in _modules_of(name, layout))


def _modules_of(name: str, layout: _Layout) -> list[str]:
    """The modules, as dotted names, that a dotted name of the project stands for."""
    folder, _, last = name.rpartition(".")
    if name in layout.modules:
        return [name]
    if name in layout.faces:
        return _behind_face(name, layout)
    if folder in layout.modules:
        return [folder]  # a function or class of a module
    return _behind_face(folder, layout, last) if folder in layout.faces else []


def _behind_face(folder: str, layout: _Layout, name: str | None = None) -> list[str]:
    """The modules behind all names that the face of a folder re-exports, or behind one of them."""
    exported = _re_exported(layout.faces[folder]) if layout.faces[folder] else {}
    return [f"{folder}.{module}" for module, names in exported.items() if name in (None, "*", *names)]


@cache
def _re_exported(face: str) -> dict[str, list[str]]:
    """The table `submod_attrs` of a face: module -> names."""
    for node in ast.walk(ast.parse(face)):
        if isinstance(node, ast.keyword) and node.arg == "submod_attrs":
            return ast.literal_eval(node.value)
    return {}
