"""Scores that take long, kept where the same code has made them from the same arguments.

An edited plot runs its notebook again. Its figures are drawn from these stores, and no map is scored a second time.
"""

from collections.abc import Callable
from pathlib import Path

from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.model.batches import StoredInputs
from cxrlib.runtime.environment import environment
from cxrlib.runtime.exact_tables import Tables, as_stored, load_tables, save_tables
from cxrlib.runtime.files import fingerprint
from cxrlib.runtime.fingerprints import code_fingerprints
from cxrlib.runtime.store import is_kept
from cxrlib.runtime.value_contents import contents

SCORING = (
    "ensemble",
    "fidelity",
    "froc",
    "grid_ceiling",
    "known_truth",
    "localisation",
    "method_scores",
    "phantom",
    "place_scores",
    "readers",
)
"""Modules of `cxrlib.evaluate`, not imported here: a notebook depends only on those that it imports itself."""


BESIDE = ("cxrlib.model.inference", "cxrlib.runtime.exact_tables", "cxrlib.runtime.value_contents", __name__)
"""What else decides the tables or how they are kept: the copy of the network that a function may be given."""


def code_of_module(name: str) -> str:
    """Fingerprint of the code behind a module and BESIDE, as it is on the disk now."""
    return fingerprint(code_fingerprints([name, *BESIDE]))


CODE = {f"cxrlib.evaluate.{name}": code_of_module(f"cxrlib.evaluate.{name}") for name in SCORING}
"""What scores, by the module of the function; taken when this module is loaded."""


def kept_scores(
    path: Path, precision: str, function: Callable[..., Tables], *arguments: object, **further: object
) -> Tables:
    """The tables that a function of `SCORING` returns, from their store if it is there.

        tables = function(*arguments, **further)

    Where code was edited since this process loaded it, the tables are computed: neither read nor stored.

    Args:
        path: of the npz file.
        precision: of the run; networks compute in it.
        function: gives the same tables for the same arguments. A table's index is not kept.
        arguments, further: of the function; a cohort, maps, images and networks count by their contents, not by their
            place. The number of `workers` changes no table and does not count.

    Raises:
        KeyError: the function is of another module, whose code is not looked at.
        TypeError: an argument's contents are not known, or a table's cannot be kept.
    """
    module = function.__module__
    counted = {name: value for name, value in further.items() if name != "workers"}
    given = contents([arguments, counted])
    if code_of_module(module) != CODE[module]:
        return function(*arguments, **further)
    identity = fingerprint([function.__qualname__, CODE[module], environment(), precision, given])
    kept = load_tables(path, identity) if is_kept(path, identity) else None
    if kept is not None:
        return kept
    tables = function(*arguments, **further)
    if code_of_module(module) == CODE[module]:
        save_tables(tables, path, identity)
    return as_stored(tables)


@contents.register
def _(value: Cohort) -> object:
    """The tables as they are; for the pixels stands the fingerprint in a stored cohort's provenance."""
    if value.provenance.data is None:
        raise TypeError("a cohort that is not stored: its contents are not known")
    tables = [value.studies, value.annotations, value.labels]
    return [value.provenance.data, contents(tables), value.experiments, value.experiment]


@contents.register
def _(value: Explanations) -> object:
    return [contents(value.probabilities), contents(value.maps), value.input_size, value.layer]


@contents.register
def _(value: StoredInputs) -> object:
    return contents(value[:])
