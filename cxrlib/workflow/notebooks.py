"""The source notebooks, read as plain JSON, since importing nbformat takes seconds."""

import ast
import contextlib
import json
import re
from difflib import get_close_matches
from pathlib import Path

from cxrlib.params import ParameterError, Params
from cxrlib.runtime.files import PROJECT_ROOT, fingerprint

NOTEBOOKS = PROJECT_ROOT / "notebooks"


MAGIC = re.compile(r"(?m)^(\s*)[%!].*$")


START = "00_start_here"
"""A notebook that looks at finished runs and is part of none."""


def find_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks of `folder` that a run can execute, in order."""
    return sorted(path for path in folder.glob("[0-9][0-9]_*.ipynb") if path.stem != START)


def select_notebooks(
    notebooks: list[Path], only: str | None = None, first: str | None = None, last: str | None = None
) -> list[Path]:
    """Choose notebooks by number: `only` is a comma-separated list, `first` and `last` bound a range (inclusive).

    Raises:
        ParameterError: unknown number, or a selection that is empty.
    """
    by_number = {path.name[:2]: path for path in notebooks}

    def known(option: str, number: str) -> str:
        given = number.strip()
        number = given.zfill(2)
        if number not in by_number:
            words = {word: key for key, path in by_number.items() for word in (key, path.stem, path.stem[3:])}
            near = get_close_matches(given.lower(), words, n=1)
            advice = f"did you mean {words[near[0]]}? " if near else ""
            shown = number if given.isdecimal() else repr(given)
            raise ParameterError(f"{option}: no notebook {shown}; {advice}choose {', '.join(by_number)}")
        return number

    if only is not None:
        numbers = only.split(",")
        if not all(map(str.strip, numbers)):
            missing = "names no notebook" if not only.strip() else f"{only!r} has a comma with no number beside it"
            raise ParameterError(f"--only: {missing}; write numbers with commas between them, e.g. --only 04,06")
        chosen = {known("--only", number) for number in numbers}
        return [path for number, path in by_number.items() if number in chosen]
    start = known("--from", first) if first is not None else "00"
    end = known("--to", last) if last is not None else "99"
    if start > end:
        raise ParameterError(f"--from {start} --to {end}: selects no notebook")
    return [path for number, path in by_number.items() if start <= number <= end]


ON_DEMAND = ("11",)
"""Notebooks that run only where a profile or --only names them: 11_roar trains many networks."""


RENDERED_ONLY = ("09", "12")
"""Notebooks that need to know the causes of findings or plant cues; with real data they are left out."""


def notebooks_of_profile(notebooks: list[Path], numbers: list[str] | None) -> list[Path]:
    """Those notebooks that a profile runs.

    Args:
        notebooks: from `select_notebooks`.
        numbers: the profile's; None: all but those of ON_DEMAND.

    Raises:
        ParameterError: a number belongs to no notebook of the project, or nothing is left.
    """
    if numbers is None:
        return [path for path in notebooks if path.name[:2] not in ON_DEMAND]
    known = [path.name[:2] for path in find_notebooks()]
    if unknown := [number for number in numbers if number not in known]:
        raise ParameterError(f"workflow.notebooks: no notebook {unknown[0]}; choose {', '.join(known)}")
    chosen = [path for path in notebooks if path.name[:2] in numbers]
    if not chosen:
        raise ParameterError(f"workflow.notebooks: {', '.join(numbers)}: --from and --to leave none of these")
    return chosen


def title_of(notebook: Path) -> str:
    """The first heading of the notebook's Markdown cells, without its marks."""
    for cell in cells_of(notebook, "markdown"):
        for line in source_of(cell).splitlines():
            if line.startswith("#"):
                return line.lstrip("#").strip()
    return notebook.stem


def declared_parameters(notebook: Path) -> dict[str, object]:
    """Names and default values in the cell tagged `parameters`.

    Read from the syntax tree, since papermill's own inspection loses a parameter whose line holds a second "=".

    Raises:
        ParameterError: not exactly one such cell, or something in it that is no assignment of a literal.
    """
    cells = [cell for cell in cells_of(notebook, "code") if _is_parameters(cell)]
    if len(cells) != 1:
        raise ParameterError(f"{notebook.name}: needs exactly one cell tagged parameters, found {len(cells)}")
    defaults = {}
    for statement in ast.parse(_python_of(source_of(cells[0]), notebook)).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                with contextlib.suppress(ValueError, TypeError):
                    defaults[name] = ast.literal_eval(value)
                    continue
        raise ParameterError(f"{notebook.name}: the parameters cell may only assign literals: {ast.unparse(statement)}")
    return defaults


def shown_parameters(notebook: Path) -> dict[str, dict]:
    """The values that the parameters cell shows behind a # in each section, which are those of the profile smoke."""
    (cell,) = [cell for cell in cells_of(notebook, "code") if _is_parameters(cell)]
    statements = ast.parse(source_of(cell).replace("    # ", "    ")).body
    values = {one.target.id: ast.literal_eval(one.value) for one in statements if isinstance(one, ast.AnnAssign)}
    return {name: value for name, value in values.items() if isinstance(value, dict)}


def sections_of(notebook: Path) -> list[str]:
    """The sections of Params that the notebook declares as parameters, besides `run_folder`.

    Raises:
        ParameterError: a parameter is neither a section nor `run_folder`, or `run_folder` is missing.
    """
    allowed = ["run_folder", *Params.model_fields]
    names = declared_parameters(notebook)
    if unknown := [name for name in names if name not in allowed]:
        raise ParameterError(f"{notebook.name}: unknown parameter {unknown[0]!r}; choose {', '.join(allowed)}")
    if "run_folder" not in names:
        raise ParameterError(f"{notebook.name}: run_folder is missing from the parameters cell")
    return [name for name in names if name != "run_folder"]


def sections_of_all(notebooks: list[Path]) -> set[str]:
    """The sections of Params that at least one of the notebooks declares."""
    return {name for notebook in notebooks for name in sections_of(notebook)}


def code_of(notebook: Path) -> str:
    """All code of a notebook as one Python source. Lines with magics or shell commands become `pass`.

    Raises:
        ParameterError: a cell is no Python.
    """
    return "\n".join(_python_of(source_of(cell), notebook) for cell in cells_of(notebook, "code"))


def _python_of(source: str, notebook: Path) -> str:
    for candidate in (source, MAGIC.sub(r"\1pass", source)):
        with contextlib.suppress(SyntaxError):
            ast.parse(candidate)
            return candidate
    first = source.strip().partition("\n")[0]
    raise ParameterError(f"{notebook.name}: a cell cannot be read as Python; it begins with {first!r}")


def text_fingerprint(notebook: Path) -> str:
    """Fingerprint of the notebook's text and code: its cells, without outputs, counts and the parameters cell."""
    cells = [cell for cell in cells_of(notebook) if not _is_parameters(cell)]
    return fingerprint([[cell["cell_type"], source_of(cell)] for cell in cells])


def cells_of(notebook: Path, kind: str | None = None) -> list[dict]:
    """The cells of one kind, or all of them, as the format stores them.

    Raises:
        ParameterError: the file is no notebook.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{notebook.name}: not a readable notebook ({type(error).__name__}: {error})") from None
    return [cell for cell in cells if kind in (None, cell["cell_type"])]


def source_of(cell: dict) -> str:
    """Source of a cell, which the format stores as one string or as a list of lines."""
    return "".join(cell["source"])


def _is_parameters(cell: dict) -> bool:
    return "parameters" in cell["metadata"].get("tags", [])
