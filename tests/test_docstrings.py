"""The examples in the docstrings of cxrlib run, and every public function of the rooms named here has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import cxrlib

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(cxrlib.__path__, "cxrlib.") if not module.name.endswith("__main__")
)


def own(module, kind):
    """Functions or classes that a module defines, by name."""
    return {name: found for name, found in inspect.getmembers(module, kind) if found.__module__ == module.__name__}


def examples_of(module):
    """Every docstring with an example: of the module, its functions (decorated ones too) and its classes."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    shallow = doctest.DocTestFinder(exclude_empty=True, recurse=False)
    found = shallow.find(module, module.__name__)
    for name, function in own(module, inspect.isfunction).items():
        found += shallow.find(function, f"{module.__name__}.{name}", module)
    for name, one in own(module, inspect.isclass).items():
        found += finder.find(one, f"{module.__name__}.{name}", module)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    complaints = []
    for example in examples_of(importlib.import_module(name)):
        runner.run(example, out=complaints.append)
    assert runner.failures == 0, "".join(complaints)
