"""Run the study: `python run_all.py [PROFILE]` executes the notebooks in order and fills outputs/<profile>."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cxrlib.data.archive import ArchiveError, require_files
from cxrlib.params import PROFILES, ParameterError, Params, load_params, profile_names
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT, from_root
from cxrlib.show.browse.voila import serve
from cxrlib.show.report.keep import import_report, keep_report
from cxrlib.show.run_answer import answer_of
from cxrlib.stages.method_names import check_method_names
from cxrlib.workflow import runner
from cxrlib.workflow.command import Arguments, add_arguments, exit_code, read_arguments
from cxrlib.workflow.manifest import Manifest, verify
from cxrlib.workflow.notebooks import (
    ON_DEMAND,
    RENDERED_ONLY,
    find_notebooks,
    notebooks_of_profile,
    sections_of,
    sections_of_all,
    select_notebooks,
    title_of,
)

if TYPE_CHECKING:
    from cxrlib.data.sources.base import Source

WHICH_FILES = "docs/data.md says which files each data set has"


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 all well, 1 a notebook failed or results differ, 2 wrong input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    return exit_code("run_all.py", lambda: _do(options))


def _do(options: argparse.Namespace) -> int:
    if options.list:
        _show_list(options)
        return 0
    plan = _plan(options)
    if options.browse:
        return serve(plan.folder)
    if options.verify:
        return _tell(verify(_manifest(plan.folder)), "every result is as the manifest says")
    if options.compare:
        return _compare(plan.folder, options.compare)
    if options.dry_run:
        _show_plan(plan)
        return 0
    _check_at_once(plan)
    if not runner.run(plan, keep_report, _check, import_report):
        return 1
    _tell_results(plan)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Arguments(
        prog="run_all.py",
        description="Execute the notebooks of the study in order, with the parameters of a profile; "
        "a notebook whose results still stand is skipped.",
        epilog="Exit codes: 0 all well, 1 a notebook failed or results differ, 2 wrong usage or input in one line, 130 "
        "interrupted by Ctrl-C, after which the same command goes on; any other error shows its traceback and has exit "
        "code 1.",
    )
    add_arguments(parser)
    parser.add_argument("--list", action="store_true", help="list the profiles and the notebooks, run nothing")
    parser.add_argument("--browse", action="store_true", help="open a finished run's heatmaps as a page of its own")
    parser.add_argument("--only", metavar="NN,NN", help="run only these notebooks, e.g. 04,06")
    parser.add_argument("--from", dest="first", metavar="NN", help="start with this notebook")
    parser.add_argument("--to", dest="last", metavar="NN", help="stop after this notebook")
    parser.add_argument("--force", action="store_true", help="run notebooks whose results still stand, too")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, why, and with which parameters")
    parser.add_argument("--verify", action="store_true", help="hash all results again and say which differ")
    parser.add_argument("--compare", metavar="RUN", type=Path, help="say how results differ from another run's")
    return parser


def _plan(options: argparse.Namespace) -> runner.Plan:
    if options.only is not None and (options.first, options.last) != (None, None):
        raise ParameterError("--only cannot be combined with --from or --to")
    params, folder = read_arguments(options)
    notebooks = select_notebooks(find_notebooks(), options.only, options.first, options.last)
    if options.only is None:
        notebooks = notebooks_of_profile(notebooks, params.workflow.notebooks)
    if params.transfer.run is None:
        wanting = [notebook for notebook in notebooks if "transfer" in sections_of(notebook)]
        if wanting and options.only is not None or wanting == notebooks:
            raise ParameterError("14_transfer needs --set transfer.run=FOLDER, the run whose model it tests here")
        notebooks = [notebook for notebook in notebooks if notebook not in wanting]
    if params.data.source != "demo":
        wanting = [notebook for notebook in notebooks if notebook.name[:2] in RENDERED_ONLY]
        if wanting and options.only is not None or wanting == notebooks:
            needs = "needs rendered radiographs, whose causes are known: data.source=demo"
            raise ParameterError(f"{wanting[0].stem} {needs}")
        notebooks = [notebook for notebook in notebooks if notebook not in wanting]
    return runner.Plan(
        profile=options.profile,
        params=params,
        folder=folder,
        notebooks=notebooks,
        force=options.force,
    )


def _check_at_once(plan: runner.Plan) -> None:
    """Refuse a method that does not exist and a data.root where nothing is, before anything slow is imported."""
    root, sections = plan.params.data.root, sections_of_all(plan.notebooks)
    check_method_names(plan.params, sections)
    if root is not None and "data" in sections:
        try:
            require_files(Path(root))
        except ArchiveError as error:
            raise ParameterError(f"data.root: {error}; {WHICH_FILES}") from None


def _tell_results(plan: runner.Plan) -> None:
    """Where the results are, what they say, and how to look at the heatmaps."""
    folder = plan.folder
    where = "" if folder == PROJECT_ROOT / "outputs" / plan.profile else f" --out {shlex.quote(from_root(folder))}"
    if answer := answer_of(folder):
        print(f"Answer: {answer}")
    print(f"Report: {from_root(folder / 'report.html')}")
    if (folder / "maps" / "test.npz").exists():
        print(f"Heatmaps: python run_all.py {plan.profile} --browse{where}")


def _check(params: Params, sections: set[str]) -> None:
    if "data" in sections:
        _source(params)
    from cxrlib.stages.preflight import check_before  # imports torch, for which a wrong data set need not wait

    check_before(params, sections - {"data"})


def _source(params: Params) -> "Source":
    """The data set that the parameters name, if it can be used."""
    from cxrlib.data.sources.data_set import SourceError
    from cxrlib.stages.prepare import check_source, planned_source

    try:
        source = planned_source(params.data)
    except SourceError as error:
        raise ParameterError(f"{error}; {WHICH_FILES}") from None
    check_source(source, params.data, params.labels)
    return source


def _show_list(options: argparse.Namespace) -> None:
    print("Profiles")
    for name in profile_names():
        first_line = (PROFILES / f"{name}.yaml").read_text().partition("\n")[0]
        print(f"  {name:10} {first_line.lstrip('# ')}")
    plan = _plan(options)
    _show_notebooks(plan)
    for notebook in find_notebooks():
        if notebook.name[:2] in ON_DEMAND and notebook not in plan.notebooks:
            print(f"  {notebook.stem:18} {title_of(notebook)}: left out, it trains many networks; {_how(notebook)}")


def _how(notebook: Path) -> str:
    """The profile that names a notebook, or the option."""
    named = [name for name in profile_names() if notebook.name[:2] in (load_params(name).workflow.notebooks or ())]
    return f"python run_all.py {named[0]}" if named else f"--only {notebook.name[:2]}"


def _show_plan(plan: runner.Plan) -> None:
    _check_at_once(plan)
    source = _source(plan.params)
    reasons = _show_notebooks(plan)
    from cxrlib.stages.estimate import describe  # imports torch

    print("Data")
    for line in describe(plan.params, plan.folder, source, [name[:2] for name, reason in reasons.items() if reason]):
        print(f"  {line}")
    print("Parameters")
    for section, values in plan.params.model_dump().items():
        for name, value in values.items():
            print(f"  {section}.{name}={json.dumps(value)}")


def _show_notebooks(plan: runner.Plan) -> dict[str, str | None]:
    print(f"Notebooks of profile {plan.profile} in {plan.folder}")
    reasons = runner.reasons(plan)
    for notebook in plan.notebooks:
        print(f"  {notebook.stem:18} {title_of(notebook)}: {reasons[notebook.stem] or 'fresh'}")
    return reasons


def _compare(folder: Path, other: Path) -> int:
    from cxrlib.workflow.compare import compare

    other = other.parent if other.name == "manifest.json" else other
    if not (other / "manifest.json").exists():
        missing = "holds no manifest.json" if other.is_dir() else "is no folder"
        raise ParameterError(f"--compare: {other} is no run, it {missing}; name the folder of a run, e.g. outputs/demo")
    found = compare(_manifest(folder), _manifest(other))
    code = 1 if found.differences else 0
    if found.differences:
        from cxrlib.show.report.compare_page import write_comparison

        page, changed = write_comparison(folder, other, found)
        print("\n".join([*changed.lines(), *shortened(found.differences), f"all of it: {page}"]))
    else:
        print(f"the same results as {other}")
    if found.provenance:
        print(f"files that differ in their provenance or measured times only: {len(found.provenance)}")
    return code


def shortened(lines: list[str], most: int = 12) -> list[str]:
    """The first lines, and how many more there are."""
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most:,} more files"]


def _manifest(folder: Path) -> Manifest:
    manifest = Manifest(folder)
    if not manifest.notebooks:
        raise Refusal(f"{manifest.path} is missing; run the notebooks first")
    return manifest


def _tell(differences: list[str], none: str) -> int:
    print("\n".join(differences) or none)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
