"""What every command of the project understands: a profile, changes to its parameters, and a folder."""

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path

from cxrlib.params import ParameterError, Params, load_params
from cxrlib.runtime.files import PROJECT_ROOT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare PROFILE, --set and --out."""
    parser.add_argument("profile", nargs="?", default="demo", help="one of params/*.yaml (default: demo)")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.NAME=VALUE",
        action="append",
        default=[],
        help="change one parameter, e.g. training.epochs=3; may be repeated",
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="work here instead of in outputs/<profile>")


def read_arguments(options: argparse.Namespace) -> tuple[Params, Path]:
    """The validated parameters and the absolute folder of a run.

    Raises:
        ParameterError: as `cxrlib.params.load_params`.
    """
    folder = (options.out or PROJECT_ROOT / "outputs" / options.profile).resolve()
    return load_params(options.profile, options.overrides), folder


def run_together(work: Callable[[Params, Path], list[Path]], name: str, description: str) -> None:
    """Run `work` with a run's parameters and folder in every process that torchrun started, or in this one alone.

    The first process holds the folder's lock and keeps its manifest, as run_all.py does. Exit codes: 0 all well, 2 an
    error, in one line.

    Args:
        work: returns the files that it wrote or found written.
    """
    from cxrlib.runtime.device import use_device
    from cxrlib.runtime.distributed import join_processes, leave_processes, rank
    from cxrlib.workflow.lock import locked
    from cxrlib.workflow.manifest import Manifest

    parser = argparse.ArgumentParser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_arguments(parser)
    try:
        params, folder = read_arguments(parser.parse_args())
        join_processes(use_device(params.compute.device, params.compute.threads, params.compute.precision))
        with locked(folder) if rank() == 0 else contextlib.nullcontext():
            made = work(params, folder)
            if rank() == 0:
                Manifest(folder).claim(name, made)
    except (ParameterError, ValueError, ArithmeticError, OSError, RuntimeError) as error:
        parser.exit(2, f"{name}: {' '.join(str(error).split())}\n")
    finally:
        leave_processes()
