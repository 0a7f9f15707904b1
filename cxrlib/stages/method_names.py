"""Methods that a run's parameters name and nobody knows, found before torch is imported."""

from collections.abc import Container

from cxrlib.explain.methods import check_name
from cxrlib.params import ParameterError, Params


def check_method_names(params: Params, sections: Container[str]) -> None:
    """Refuse methods that do not exist.

    Args:
        params: of the run.
        sections: those that the notebooks declare which will run; methods that others name are not looked at.

    Raises:
        ParameterError: names the parameter, the method and the nearest ones.
    """
    named = {"methods.compared": params.methods.compared, "roar.methods": params.roar.methods}
    for where, names in named.items():
        for name in names if where.partition(".")[0] in sections else ():
            try:
                check_name(name)
            except ValueError as error:
                raise ParameterError(f"{where}: {name}: {error}") from None
