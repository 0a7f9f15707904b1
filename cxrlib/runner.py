"""Runs the notebooks in order through papermill. Importing this module imports neither papermill nor torch."""

import ast
import contextlib
import json
import logging
import os
import re
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxrlib.files import PROJECT_ROOT, whole_file, write_json
from cxrlib.params import ParameterError, Params

NOTEBOOKS = PROJECT_ROOT / "notebooks"
LAST_FRAMES = 2
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
KERNEL_ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # with agg, figures vanish from executed notebooks
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # silences the debugger's warning about frozen modules
}


@dataclass(frozen=True)
class Plan:
    """What one call of run_all.py does.

    Args:
        profile, overrides: where `params` come from; recorded beside them.
        folder: absolute path of the run's folder.
        notebooks: the notebooks to execute, in order.
    """

    profile: str
    overrides: list[str]
    params: Params
    folder: Path
    notebooks: list[Path]


def find_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks of `folder`, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def select_notebooks(
    notebooks: list[Path], only: str | None = None, first: str | None = None, last: str | None = None
) -> list[Path]:
    """Choose notebooks by number: `only` is a comma-separated list, `first` and `last` bound a range (inclusive).

    Raises:
        ParameterError: unknown number, or a selection that is empty.
    """
    by_number = {path.name[:2]: path for path in notebooks}

    def known(option: str, number: str) -> str:
        number = number.strip().zfill(2)
        if number not in by_number:
            raise ParameterError(f"{option}: no notebook {number}; choose {', '.join(by_number)}")
        return number

    if only is not None:
        chosen = {known("--only", number) for number in only.split(",")}
        return [path for number, path in by_number.items() if number in chosen]
    start = known("--from", first) if first is not None else "00"
    end = known("--to", last) if last is not None else "99"
    if start > end:
        raise ParameterError(f"--from {start} --to {end}: selects no notebook")
    return [path for number, path in by_number.items() if start <= number <= end]


def title_of(notebook: Path) -> str:
    """The first heading of the notebook's Markdown cells, without its marks."""
    for cell in _cells(notebook, "markdown"):
        for line in _source(cell).splitlines():
            if line.startswith("#"):
                return line.lstrip("#").strip()
    return notebook.stem


def declared_parameters(notebook: Path) -> dict[str, object]:
    """Names and default values in the cell tagged `parameters`.

    Read from the syntax tree: papermill's own inspection loses a parameter whose line holds a second "=".

    Raises:
        ParameterError: not exactly one such cell, or something in it that is no assignment of a literal.
    """
    cells = [cell for cell in _cells(notebook, "code") if "parameters" in cell["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise ParameterError(f"{notebook.name}: needs exactly one cell tagged parameters, found {len(cells)}")
    defaults = {}
    for statement in ast.parse(_source(cells[0])).body:
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


def sections_of(notebook: Path) -> list[str]:
    """The sections of Params that the notebook declares as parameters, besides `run_folder`.

    Raises:
        ParameterError: a parameter that is neither; papermill would only warn about it.
    """
    allowed = ["run_folder", *Params.model_fields]
    names = declared_parameters(notebook)
    if unknown := [name for name in names if name not in allowed]:
        raise ParameterError(f"{notebook.name}: unknown parameter {unknown[0]!r}; choose {', '.join(allowed)}")
    if "run_folder" not in names:
        raise ParameterError(f"{notebook.name}: run_folder is missing from the parameters cell")
    return [name for name in names if name != "run_folder"]


def run(plan: Plan) -> bool:
    """Execute the plan's notebooks into <folder>/notebooks until one fails; say so on the terminal.

    Writes <folder>/params.json first. A notebook that fails is kept in <folder>/notebooks/failed, half executed.

    Returns:
        Whether all notebooks succeeded.

    Raises:
        ParameterError: a notebook declares a parameter that does not exist; nothing has run then.
    """
    values = plan.params.model_dump()
    parameters = {
        notebook: {"run_folder": _from_root(plan.folder)} | {name: values[name] for name in sections_of(notebook)}
        for notebook in plan.notebooks
    }
    write_json(
        plan.folder / "params.json",
        {"profile": plan.profile, "overrides": plan.overrides, "parameters": values},
    )
    begun = time.monotonic()
    for position, notebook in enumerate(plan.notebooks, start=1):
        try:
            with _progress(f"[{position}/{len(plan.notebooks)}] {notebook.stem}"):
                execute(notebook, plan.folder / "notebooks" / notebook.name, parameters[notebook])
        except NotebookFailed as failure:
            print(failure, file=sys.stderr)
            return False
    with _progress("report"):
        from cxrlib.report.page import write_report

        write_report(plan.folder)
    print(f"Results in {_from_root(plan.folder)} after {_duration(time.monotonic() - begun)}")
    return True


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; the message shows the cell, the error and the copy that was kept."""


def execute(notebook: Path, target: Path, parameters: dict[str, object]) -> None:
    """Execute one notebook from the project root, in a kernel of this interpreter, and write `target`.

    Raises:
        NotebookFailed: a cell failed or the kernel died. `target` is as before, and the half-executed copy lies in
            the folder `failed` beside it.
    """
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    half_executed = target.parent / "failed" / target.name
    with whole_file(target) as temporary:
        try:
            papermill.execute_notebook(
                notebook,
                temporary,
                parameters,
                kernel_name="python3",
                language="python",
                kernel_manager_class=_kernel_manager_class(),
                progress_bar=False,
                cwd=PROJECT_ROOT,
            )
        except BaseException as error:
            if temporary.exists():
                half_executed.parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, half_executed)
            if not isinstance(error, Exception):
                raise
            raise NotebookFailed(_describe(error, half_executed)) from error
    half_executed.unlink(missing_ok=True)


def _kernel_manager_class() -> type:
    """Starts ipykernel in the running interpreter, whatever kernels named "python3" are installed on the machine."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from traitlets import default

    class RunningInterpreter(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            specification = get_kernel_dict(extra_arguments=["--log-level=CRITICAL"])  # errors are in the cells
            return KernelSpec(resource_dir=RESOURCES, env=KERNEL_ENVIRONMENT, **specification)

    class KernelManager(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _own_kernel_spec_manager(self) -> KernelSpecManager:
            return RunningInterpreter(parent=self)

    return KernelManager


def _describe(error: Exception, half_executed: Path) -> str:
    """The cell that was running, the last frames of its traceback without colours, and where its copy lies."""
    frames = getattr(error, "traceback", None) or [f"{type(error).__name__}: {error}"]
    lines = [ANSI_COLOUR.sub("", frame).rstrip() for frame in frames[-LAST_FRAMES - 1 :]]
    if half_executed.exists():
        started = [cell for cell in _cells(half_executed, "code") if cell["metadata"]["papermill"]["start_time"]]
        if started:
            count = started[-1]["execution_count"] or len(started)
            lines = [
                f"{half_executed.stem}, cell In [{count}]:",
                textwrap.indent(_source(started[-1]), "    "),
                "",
                *lines,
            ]
        lines += ["", f"half-executed copy: {_from_root(half_executed)}"]
    return "\n".join(lines)


@contextlib.contextmanager
def _progress(label: str) -> Iterator[None]:
    """One line with the elapsed time: counting on a terminal, finished once on a pipe."""
    begun = time.monotonic()
    finished = threading.Event()
    line = f"{label} ... "

    def show_each_second() -> None:
        while not finished.wait(1):
            print(f"\r{line}{_duration(time.monotonic() - begun, 0)}", end="", flush=True)

    print(line, end="", flush=True)
    terminal = sys.stdout.isatty()
    ticker = threading.Thread(target=show_each_second, daemon=True)
    if terminal:
        ticker.start()
    outcome = "failed after "
    try:
        yield
        outcome = ""
    finally:
        finished.set()
        if terminal:
            ticker.join()
        print(f"{chr(13) + line if terminal else ''}{outcome}{_duration(time.monotonic() - begun)}", flush=True)


def _duration(seconds: float, decimals: int = 1) -> str:
    if seconds < 60:
        return f"{seconds:.{decimals}f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def _from_root(path: Path) -> str:
    """The path relative to the project root where it lies below it, else as it is."""
    return path.relative_to(PROJECT_ROOT).as_posix() if path.is_relative_to(PROJECT_ROOT) else str(path)


def _cells(notebook: Path, kind: str) -> list[dict]:
    """The cells of one kind, read as plain JSON: importing nbformat takes seconds."""
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def _source(cell: dict) -> str:
    """Source of a cell, which the format stores as one string or as a list of lines."""
    return "".join(cell["source"])
