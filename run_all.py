"""Run the study: `python run_all.py [PROFILE]` executes the notebooks in order and fills outputs/<profile>."""

import argparse
import json
import sys
from pathlib import Path

from cxrlib import runner
from cxrlib.command import add_arguments, read_arguments
from cxrlib.page import serve
from cxrlib.params import PROFILES, ParameterError, profile_names


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 all well, 1 a notebook failed, 2 wrong usage or a wrong parameter."""
    options = _parser().parse_args(arguments)
    try:
        if options.list:
            _show_list()
            return 0
        plan = _plan(options)
        if options.browse:
            return serve(plan.folder)
        if options.dry_run:
            _show_plan(plan)
            return 0
        return 0 if runner.run(plan) else 1
    except ParameterError as error:
        print(f"run_all.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun_all.py: interrupted", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run_all.py",
        description="Execute the notebooks of the study in order, with the parameters of a profile.",
        epilog="Exit codes: 0 all well, 1 a notebook failed, 2 wrong usage or a wrong parameter.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    parser.add_argument("--list", action="store_true", help="list the profiles and the notebooks, run nothing")
    parser.add_argument("--browse", action="store_true", help="open a finished run's heatmaps as a page of its own")
    parser.add_argument("--only", metavar="NN,NN", help="run only these notebooks, e.g. 04,06")
    parser.add_argument("--from", dest="first", metavar="NN", help="start with this notebook")
    parser.add_argument("--to", dest="last", metavar="NN", help="stop after this notebook")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and with which parameters")
    return parser


def _plan(options: argparse.Namespace) -> runner.Plan:
    if options.only is not None and (options.first, options.last) != (None, None):
        raise ParameterError("--only cannot be combined with --from or --to")
    params, folder = read_arguments(options)
    return runner.Plan(
        profile=options.profile,
        overrides=options.overrides,
        params=params,
        folder=folder,
        notebooks=runner.select_notebooks(runner.find_notebooks(), options.only, options.first, options.last),
    )


def _show_list() -> None:
    print("Profiles")
    for name in profile_names():
        first_line = (PROFILES / f"{name}.yaml").read_text().partition("\n")[0]
        print(f"  {name:8} {first_line.lstrip('# ')}")
    _show_notebooks(runner.find_notebooks())


def _show_plan(plan: runner.Plan) -> None:
    print(f"Profile {plan.profile} into {plan.folder}")
    _show_notebooks(plan.notebooks)
    print("Parameters")
    for section, values in plan.params.model_dump().items():
        for name, value in values.items():
            print(f"  {section}.{name}={json.dumps(value)}")


def _show_notebooks(notebooks: list[Path]) -> None:
    print("Notebooks")
    for notebook in notebooks:
        print(f"  {notebook.stem:18} {runner.title_of(notebook)}")


if __name__ == "__main__":
    sys.exit(main())
