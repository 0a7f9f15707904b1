"""The examples in docstrings run, and every function that computes has one."""

import doctest
import importlib
import inspect
import pkgutil
import re
from types import FunctionType, ModuleType

import pytest

import cxrlib

MODULES = sorted(
    found.name for found in pkgutil.walk_packages(cxrlib.__path__, "cxrlib.") if "__main__" not in found.name
)
COMPUTING = [
    *(name for name in MODULES if name.startswith(("cxrlib.explain.", "cxrlib.evaluate."))),
    "cxrlib.model.augmentation",
    "cxrlib.model.networks",
    "cxrlib.model.pooling",
    "cxrlib.data.checks",
    "cxrlib.data.split",
]
"""Modules whose public functions have an example, or stand on one that has."""
STORE = "cxrlib.explain.explanations"
"""Reads and writes files."""
AMONG_OTHERS = {
    "cxrlib.data.annotations": [
        "box_centres",
        "check_annotations",
        "clip_boxes",
        "reader_counts",
        "reader_order",
        "union_labels",
    ],
    "cxrlib.data.images": ["by_table", "to_uint8"],
    "cxrlib.data.labels": ["suite_names"],
    "cxrlib.model.batches": ["load_batches"],
    "cxrlib.model.training": ["positive_weights"],
    "cxrlib.thesis.claims": ["inside", "smallest", "verdict_of"],
    "cxrlib.thesis.unions": ["growth", "own_growth", "readers_needed"],
}
"""Functions with an example in modules that also train, or read and write files."""


def public_functions(module: ModuleType) -> dict[str, FunctionType]:
    """The functions that a module defines, by name."""
    return {
        name: member
        for name, member in vars(module).items()
        if inspect.isfunction(member) and member.__module__ == module.__name__ and not name.startswith("_")
    }


def has_example(function: FunctionType) -> bool:
    return bool(doctest.DocTestParser().get_examples(inspect.getdoc(function) or ""))


def stands_on_one_that_has(function: FunctionType) -> bool:
    """Whether the first paragraph names, as `name`, a function of the module that has an example or stands on one."""
    paragraph = (inspect.getdoc(function) or "").split("\n\n")[0]
    module = importlib.import_module(function.__module__)
    named = [getattr(module, name, None) for name in re.findall(r"`(\w+)`", paragraph)]
    others = [other for other in named if inspect.isfunction(other) and other is not function]
    return any(has_example(other) or stands_on_one_that_has(other) for other in others)


def lacking(name: str) -> list[str]:
    """The public functions of a module without an example, that do not stand on one that has."""
    functions = public_functions(importlib.import_module(name))
    return [
        function
        for function, member in functions.items()
        if not has_example(member) and not stands_on_one_that_has(member)
    ]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", [name for name in COMPUTING if name != STORE])
def test_every_function_that_computes_has_an_example(name):
    assert lacking(name) == []


@pytest.mark.parametrize("name", AMONG_OTHERS)
def test_these_functions_have_an_example(name):
    functions = public_functions(importlib.import_module(name))
    assert [function for function in AMONG_OTHERS[name] if not has_example(functions[function])] == []


def test_two_public_classes_never_share_a_name():
    members = [member for name in MODULES for member in vars(importlib.import_module(name)).values()]
    own = {member for member in members if inspect.isclass(member) and member.__module__.startswith("cxrlib.")}
    names = sorted(member.__name__ for member in own if not member.__name__.startswith("_"))
    assert [name for name, following in zip(names, names[1:], strict=False) if name == following] == []
