"""The examples in docstrings run, and every function that computes has a formula or an example."""

import doctest
import importlib
import inspect
import pkgutil
from types import FunctionType, ModuleType

import pytest

import cxrlib

MODULES = sorted(found.name for found in pkgutil.walk_packages(cxrlib.__path__, "cxrlib."))
WITH_EXAMPLES = [
    *(name for name in MODULES if name.startswith(("cxrlib.explain.", "cxrlib.evaluate."))),
    "cxrlib.model.augmentation",
    "cxrlib.model.networks",
    "cxrlib.model.pooling",
    "cxrlib.data.checks",
    "cxrlib.data.split",
]
"""Modules in which every public function has an example."""
AMONG_OTHERS = {
    "cxrlib.data.annotations": ["box_centres", "check_annotations", "clip_boxes", "reader_counts", "union_labels"],
    "cxrlib.data.images": ["by_table", "to_uint8"],
    "cxrlib.model.training": ["positive_weights"],
    "cxrlib.thesis.claims": ["inside", "smallest", "verdict_of"],
    "cxrlib.thesis.unions": ["growth", "own_growth", "readers_needed"],
}
"""Functions that have an example, in modules where others read or write files, or train."""
WITHOUT = {
    "cxrlib.explain.explanations": ["load_explanations", "save_explanations", "stored_identity"],
}
"""Functions of the modules above that only read or write files."""


def public_functions(module: ModuleType) -> dict[str, FunctionType]:
    """The functions that a module defines, by name."""
    return {
        name: member
        for name, member in vars(module).items()
        if inspect.isfunction(member) and member.__module__ == module.__name__ and not name.startswith("_")
    }


def has_example(function: FunctionType) -> bool:
    return bool(doctest.DocTestParser().get_examples(inspect.getdoc(function) or ""))


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_give_what_they_say(name):
    failures, _ = doctest.testmod(importlib.import_module(name), verbose=False)
    assert failures == 0


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_every_function_that_computes_has_an_example(name):
    functions = public_functions(importlib.import_module(name))
    lacking = [function for function, member in functions.items() if not has_example(member)]
    assert lacking == [function for function in lacking if function in WITHOUT.get(name, [])]


@pytest.mark.parametrize("name", AMONG_OTHERS)
def test_these_functions_have_an_example(name):
    functions = public_functions(importlib.import_module(name))
    assert [function for function in AMONG_OTHERS[name] if not has_example(functions[function])] == []


def test_two_public_classes_never_share_a_name():
    modules = [importlib.import_module(name) for name in MODULES if not name.endswith("__main__")]
    classes = {
        member
        for module in modules
        for member in vars(module).values()
        if inspect.isclass(member) and member.__module__ == module.__name__ and not member.__name__.startswith("_")
    }
    names = sorted(one.__name__ for one in classes)
    assert [name for name, following in zip(names, names[1:], strict=False) if name == following] == []
