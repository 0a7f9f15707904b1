"""Scores that take long, kept where the same code has made them from the same arguments.

An edited plot runs its notebook again. Its figures are drawn from these stores, and no map is scored a second time.
"""

from collections.abc import Callable
from pathlib import Path

from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.model.batches import StoredInputs
from cxrlib.runtime.environment import environment
from cxrlib.runtime.exact_tables import Tables, load_tables, save_tables
from cxrlib.runtime.files import fingerprint
from cxrlib.runtime.fingerprints import code_fingerprints
from cxrlib.runtime.store import is_kept, work_on
from cxrlib.runtime.value_contents import contents

SCORING = (
    "ensemble",
    "fidelity",
    "grid_ceiling",
    "known_truth",
    "method_scores",
    "phantom",
    "place_scores",
    "readers",
)
"""Modules of `cxrlib.evaluate`, not imported here: a notebook depends only on those that it imports itself."""


def code_of_module(name: str) -> str:
    """Fingerprint of the code behind a module, as it is on the disk now."""
    return fingerprint(code_fingerprints([name]))


CODE = {f"cxrlib.evaluate.{name}": code_of_module(f"cxrlib.evaluate.{name}") for name in SCORING}
"""What scores, by the module of the function; taken on loading."""


def kept_scores(
    path: Path, precision: str, function: Callable[..., Tables], *arguments: object, **how: object
) -> Tables:
    """The tables that a function of `SCORING` returns, from their store if it is there.

        tables = function(*arguments, **how)

    Where the code was edited since this process loaded it, the tables are computed and not stored.

    Args:
        path: of the npz file.
        precision: of the run; networks compute in it.
        function: gives the same tables for the same arguments. A table's index is not kept.
        arguments: of the function; a cohort, maps, images and networks count by their contents, not by their place.
        how: arguments that change no result, such as the number of processes.

    Raises:
        KeyError: the function is of another module, whose code is not looked at.
        TypeError: an argument's contents are not known.
    """
    module = function.__module__
    identity = fingerprint([function.__qualname__, CODE[module], environment(), precision, contents(arguments)])
    if not is_kept(path, identity):
        tables = function(*arguments, **how)
        if code_of_module(module) != CODE[module]:
            return tables
        work_on(path, identity)
        save_tables(tables, path, identity)
    return load_tables(path)


@contents.register
def _(value: Cohort) -> object:
    """A stored cohort's provenance holds the fingerprint of its studies, labels, boxes and pixels."""
    if value.provenance.data is None:
        raise TypeError("a cohort that is not stored: its contents are not known")
    return [value.provenance.data, value.provenance.split, value.experiments, value.experiment]


@contents.register
def _(value: Explanations) -> object:
    return [contents(value.probabilities), contents(value.maps), value.input_size, value.layer]


@contents.register
def _(value: StoredInputs) -> object:
    return contents(value[:])
