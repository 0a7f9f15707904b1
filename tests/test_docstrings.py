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


ROOMS = ["cxrlib.explain.", "cxrlib.evaluate."]
"""Every public function of these has an example, or stands in WITHOUT."""


FUNCTIONS = {
    "cxrlib.model.augmentation": None,
    "cxrlib.model.networks": None,
    "cxrlib.model.pooling": None,
    "cxrlib.model.training": ["positive_weights"],
    "cxrlib.data.split": None,
    "cxrlib.data.annotations": ["box_centres", "union_labels", "reader_counts", "unanimous_shares"],
    "cxrlib.data.checks": None,
}
"""Of these modules too: the functions named, or all (None)."""


A_COHORT = "takes a cohort, which is longer to make than an example may be; its test makes one"
A_STORE = "reads, writes or joins stores of a run"
WITHOUT = {
    "cxrlib.data.checks.check_images": A_COHORT,
    "cxrlib.data.checks.split_balance": A_COHORT,
    "cxrlib.evaluate.cells.boxed_rows": A_COHORT,
    "cxrlib.evaluate.cells.boxed_studies": A_COHORT,
    "cxrlib.evaluate.cells.mean_cover": A_COHORT,
    "cxrlib.evaluate.cells.study_covers": A_COHORT,
    "cxrlib.evaluate.cells.usual_place": A_COHORT,
    "cxrlib.evaluate.froc.froc_table": A_COHORT,
    "cxrlib.evaluate.froc.marks_and_targets": A_COHORT,
    "cxrlib.evaluate.grid_ceiling.oracle_maps": A_COHORT,
    "cxrlib.evaluate.iou_regression.box_features": A_COHORT,
    "cxrlib.evaluate.faithfulness.perturbation_curves": A_COHORT,
    "cxrlib.evaluate.known_truth.score_by_all": A_COHORT,
    "cxrlib.evaluate.known_truth.score_methods_on_truth": A_COHORT,
    "cxrlib.evaluate.known_truth.score_usual": A_COHORT,
    "cxrlib.evaluate.ensemble.score_ensemble": A_COHORT,
    "cxrlib.evaluate.localisation.boxed_cases": A_COHORT,
    "cxrlib.evaluate.localisation.correct_cases": A_COHORT,
    "cxrlib.evaluate.localisation.score_boxed": A_COHORT,
    "cxrlib.evaluate.localisation.score_cases": A_COHORT,
    "cxrlib.evaluate.localisation.score_each": A_COHORT,
    "cxrlib.evaluate.localisation.score_maps": A_COHORT,
    "cxrlib.evaluate.localisation.shared_regions": A_COHORT,
    "cxrlib.evaluate.method_scores.score_method": A_COHORT,
    "cxrlib.evaluate.method_scores.score_methods": A_COHORT,
    "cxrlib.evaluate.phantom.score_on_truth": A_COHORT,
    "cxrlib.evaluate.place_controls.place_controls": A_COHORT,
    "cxrlib.evaluate.place_scores.cases_with_boxes": A_COHORT,
    "cxrlib.evaluate.place_scores.place_cases": A_COHORT,
    "cxrlib.evaluate.place_scores.score_place": A_COHORT,
    "cxrlib.evaluate.place_scores.share_scores": A_COHORT,
    "cxrlib.evaluate.place_scores.validation_shares": A_COHORT,
    "cxrlib.evaluate.pointing.score_pointing": A_COHORT,
    "cxrlib.evaluate.trade_off.map_cases": A_COHORT,
    "cxrlib.evaluate.trade_off.penalty_table": A_COHORT,
    "cxrlib.evaluate.trade_off.readers_ceiling": A_COHORT,
    "cxrlib.evaluate.transfer.evaluate_model": A_COHORT,
    "cxrlib.evaluate.transfer.shared_labels": A_COHORT,
    "cxrlib.evaluate.transfer.with_labels": A_COHORT,
    "cxrlib.explain.explanations.join": A_STORE,
    "cxrlib.explain.explanations.load_explanations": A_STORE,
    "cxrlib.explain.explanations.save_explanations": A_STORE,
}


def functions_with_examples():
    """Module and name of every public function that must have an example."""
    for name in MODULES:
        if name in FUNCTIONS or name.startswith(tuple(ROOMS)):
            for function in FUNCTIONS.get(name) or own(importlib.import_module(name), inspect.isfunction):
                if not function.startswith("_"):
                    yield name, function


@pytest.mark.parametrize(("name", "function"), list(functions_with_examples()))
def test_a_public_function_has_an_example_or_a_reason(name, function):
    shown = ">>> " in (getattr(importlib.import_module(name), function).__doc__ or "")
    assert shown != (f"{name}.{function}" in WITHOUT), "an example or a reason in WITHOUT is needed, not both"


def test_the_reasons_are_of_functions_that_exist():
    assert set(WITHOUT) <= {f"{name}.{function}" for name, function in functions_with_examples()}


def test_two_public_classes_never_share_a_name():
    classes = [name for module in MODULES for name in own(importlib.import_module(module), inspect.isclass)]
    assert sorted(classes) == sorted(set(classes))
