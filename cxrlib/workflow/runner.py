"""Runs the notebooks in order through papermill, those that are not fresh.

Importing this module imports neither papermill nor torch. A run in which every notebook is fresh imports neither.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cxrlib.params import Params
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT, from_root, read_json, whole_file, write_json
from cxrlib.workflow import filelog
from cxrlib.workflow.console import duration, timed
from cxrlib.workflow.failures import NotebookFailed, failure_of
from cxrlib.workflow.freshness import NEVER_RUN, has_run_with, predict, recipe_of, run_id, why_stale
from cxrlib.workflow.kernels import Kernels, stop_kernel
from cxrlib.workflow.lock import locked
from cxrlib.workflow.manifest import DONE, EDITED, Manifest
from cxrlib.workflow.notebooks import sections_of, sections_of_all
from cxrlib.workflow.time_left import TimeLeft

if TYPE_CHECKING:
    from jupyter_client import KernelManager


@dataclass(frozen=True)
class Plan:
    """What one call of run_all.py does.

    Attributes:
        profile: name of the profile that `params` come from.
        params: the parameters of the run.
        folder: absolute path of the run's folder.
        notebooks: the notebooks to execute, in order.
        force: execute fresh notebooks too.
    """

    profile: str
    params: Params
    folder: Path
    notebooks: list[Path]
    force: bool = False

    def parameters(self, notebook: Path) -> dict[str, object]:
        """The sections that a notebook declares.

        Raises:
            ParameterError: it declares a parameter that does not exist.
        """
        values = self.params.model_dump()
        return {name: values[name] for name in sections_of(notebook)}

    def recipe(self, notebook: Path) -> dict:
        """What a notebook depends on now (`recipe_of`)."""
        return recipe_of(notebook, self.parameters(notebook), formats=self.params.report.formats)

    def recipes(self) -> dict[str, dict]:
        """The recipe of each notebook, by its name."""
        return {notebook.stem: self.recipe(notebook) for notebook in self.notebooks}


def reasons(plan: Plan) -> dict[str, str | None]:
    """The reason why each notebook would run, by its name; None for a fresh notebook."""
    found = predict(plan.recipes(), Manifest(plan.folder))
    return {name: reason or ("forced" if plan.force else None) for name, reason in found.items()}


def run(
    plan: Plan,
    finish: Callable[[Path, Manifest], None],
    check: Callable[[Params, set[str]], None] = lambda params, sections: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> bool:
    """Execute the plan's notebooks into <folder>/notebooks until one fails, and report progress on the terminal.

    The parameters that the results were made with are written to <folder>/params.json, and the record of the run to
    <folder>/manifest.json, notebook by notebook. A notebook that fails is kept in <folder>/notebooks/failed, half
    executed.

    Args:
        plan: what to run, and where.
        finish: called with the folder and its manifest when all notebooks are done, e.g. to write the report.
        check: called before the first notebook that is not fresh, with the parameters and the sections that the
            notebooks which will run declare; it refuses what they could not use. Notebooks that have run with the same
            parameters, input files and packages are not asked about.
        meanwhile: called in a thread while the first kernel gets ready, e.g. to import what `finish` needs.

    Returns:
        Whether all notebooks succeeded.

    Raises:
        Refusal: a notebook declares a parameter that does not exist, another run works in the folder, or `check`
            refuses, and nothing has run then; or a notebook cannot use what it was given, or the folder cannot be
            written.
    """
    recipes = plan.recipes()
    begun = time.monotonic()
    with locked(plan.folder) as lock:
        manifest = Manifest(plan.folder)
        expected = predict(recipes, manifest)
        stale = [path for path in plan.notebooks if plan.force or expected[path.stem]]
        before = {name: entry["seconds"] for name, entry in manifest.notebooks.items()}
        left = TimeLeft([path.stem for path in stale], before)
        with Kernels(stale, lock) as kernels:  # kernels get ready while the check is made
            new = [path for path in stale if not has_run_with(path.stem, recipes[path.stem], manifest)]
            if new:
                check(plan.params, sections_of_all(new))
            if stale:
                _import_papermill()
                threading.Thread(target=meanwhile).start()
            for position, notebook in enumerate(plan.notebooks, start=1):
                label = f"[{position}/{len(plan.notebooks)}] {notebook.stem}"
                reason = why_stale(notebook.stem, recipes[notebook.stem], manifest)
                if reason is None and not plan.force:
                    print(f"{label} is fresh")
                    continue
                try:
                    with timed(label if reason in (None, NEVER_RUN) else f"{label} ({reason})", left.line):
                        _run_one(notebook, plan, recipes[notebook.stem], manifest, kernels)
                    left.done(notebook.stem, manifest.notebooks[notebook.stem]["seconds"])
                except NotebookFailed as failure:
                    print(failure, file=sys.stderr)
                    return False
        finish(plan.folder, manifest)
    print(f"Results in {from_root(plan.folder)} after {duration(time.monotonic() - begun)}")
    return True


def _import_papermill() -> None:
    """Import what executes notebooks: seconds, in which the kernels get ready."""
    import papermill  # noqa: F401

    logging.getLogger("papermill").setLevel(logging.ERROR)


def _run_one(notebook: Path, plan: Plan, recipe: dict, manifest: Manifest, kernels: Kernels) -> None:
    """Execute one notebook and keep the manifest.

    Two things may be left of an earlier attempt. The log of an interrupted attempt is continued, so that the files of
    that attempt are recorded as this notebook's. After a finished attempt with the same recipe, the results that have
    changed since are deleted: the notebook would otherwise find them and skip the work.
    """
    before = manifest.notebooks.get(notebook.stem, {})
    if before.get("status") == DONE and before["recipe"] == recipe:
        for path in manifest.changed(notebook.stem):
            path.unlink(missing_ok=True)
    _note_parameters(plan, notebook)
    target = plan.folder / "notebooks" / notebook.name
    log = plan.folder / ".files" / f"{notebook.stem}.log"
    environment = {
        filelog.LOG: str(log),
        filelog.FOLDER: str(plan.folder),
        filelog.RUN_ID: run_id(recipe),
        filelog.FORMATS: " ".join(recipe["formats"]),
    }
    begun = time.monotonic()
    manifest.begin(notebook.stem, recipe, run_id(recipe))
    try:
        parameters = {"run_folder": from_root(plan.folder)} | plan.parameters(notebook)
        execute(notebook, target, parameters, kernels.start(notebook, environment))
    except (NotebookFailed, Refusal):
        manifest.fail(notebook.stem, time.monotonic() - begun)
        raise
    status = DONE if plan.recipe(notebook) == recipe else EDITED
    manifest.end(notebook.stem, time.monotonic() - begun, log, target, status)
    log.unlink(missing_ok=True)


def _note_parameters(plan: Plan, notebook: Path) -> None:
    """Write the sections that a notebook declares into params.json; sections of other notebooks stay as they are."""
    path, values = plan.folder / "params.json", plan.params.model_dump()
    known = read_json(path)["parameters"] if path.exists() else {}
    used = {name: values[name] for name in ("report", *sections_of(notebook))}
    write_json(path, {"profile": plan.profile, "parameters": values | known | used})


def execute(notebook: Path, target: Path, parameters: dict[str, object], kernel: "KernelManager") -> None:
    """Execute one notebook in a kernel, end the kernel, and write `target`.

    Raises:
        NotebookFailed: a cell failed or the kernel died. `target` is as before, and the half-executed copy lies in
            the folder `failed` beside it.
        Refusal: the same, because of what the notebook was given.
    """
    import papermill

    half_executed = target.parent / "failed" / target.name
    with whole_file(target) as temporary:
        try:
            papermill.execute_notebook(
                notebook,
                temporary,
                parameters,
                kernel_name="python3",
                language="python",
                km=kernel,
                progress_bar=False,
                cwd=PROJECT_ROOT,
            )
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):  # asyncio would print how the cell's task ends with its kernel
                logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            if temporary.exists():
                half_executed.parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, half_executed)
            if not isinstance(error, Exception) or isinstance(error, OSError):
                raise
            raise failure_of(error, half_executed) from error
        finally:
            stop_kernel(kernel)
    half_executed.unlink(missing_ok=True)
