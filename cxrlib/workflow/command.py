"""What all commands of the project share: a profile, changes to its parameters, a folder, and how they end."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from cxrlib.params import Params, did_you_mean, load_params, profile_names, with_absolute_paths
from cxrlib.runtime.errors import EXIT_CODE, Refusal, system_errors_refused
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.runtime.home import ensure_home

EXIT_CODES = (
    "Exit codes: 0 all well, 2 wrong usage or input in one line, 130 interrupted, 1 any other error with its traceback."
)
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended: 128 and the number of the signal, as shells have it."""
EPILOG = f"""\
The command needs what the notebooks before it have made, and the notebooks after it take up what it makes. What is
finished is kept: a command that was stopped goes on where it stopped.

Several processes share the work on several GPUs or machines that see the same folder, for example:
  torchrun --nproc-per-node=4 -m {{name}} thesis
{{array}}
{EXIT_CODES}
"""
ARRAY = """\
So do the tasks of a Slurm job array, whose number they read from their environment.
"""


def exit_code(name: str, work: Callable[[], int | None]) -> int:
    """Do the work of the command `name` and return its exit code: what `work` returns, 0 where that is None.

    A Refusal is one line on standard error and exit code 2, and so is a disk that is full, write-protected or failing.
    A command that Ctrl-C interrupts says that it can go on, with exit code INTERRUPTED. A command whose output nobody
    reads any more has exit code 1. Any other error goes on its way: Python shows its traceback and exits with 1.
    """
    ensure_home()
    try:
        with system_errors_refused():
            return work() or 0
    except Refusal as refusal:
        print(f"{name}: {refusal}", file=sys.stderr)
        return EXIT_CODE
    except BrokenPipeError:  # the reader of the output has seen enough
        return 1
    except KeyboardInterrupt:
        with contextlib.suppress(ValueError):  # not the main thread, which alone gets the signal
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would cut the ending short
        print("\nInterrupted; the same command goes on here", file=sys.stderr)
        return INTERRUPTED


class Arguments(argparse.ArgumentParser):
    """A parser that takes no abbreviation, and that names the option which an unknown one may mean."""

    def __init__(self, **settings: object) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with 2."""
        options = [name for name in self._option_string_actions if name.startswith("--")]
        wrong = [word.partition("=")[0].rstrip(":") for word in message.split() if word.startswith("-")]
        hints = filter(None, (did_you_mean(word, options) for word in wrong if word not in options))
        super().error("; ".join([message, *dict.fromkeys(hints)]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare PROFILE, --set and --out."""
    parser.add_argument(
        "profile", nargs="?", default="demo", help=f"a file of params/: {', '.join(profile_names())} (default: demo)"
    )
    add_overrides(parser)
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="work here instead of in outputs/<profile>")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Declare --set, whose values are `overrides`."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.NAME=VALUE",
        action="append",
        default=[],
        help="change one parameter, e.g. training.epochs=3; may be repeated; paths count from the working folder",
    )


def read_arguments(options: argparse.Namespace) -> tuple[Params, Path]:
    """The validated parameters and the folder of a run; relative paths count from the working folder.

    Raises:
        ParameterError: as `cxrlib.params.load_params`.
    """
    folder = (options.out or PROJECT_ROOT / "outputs" / options.profile).resolve()
    return with_absolute_paths(load_params(options.profile, options.overrides), Path.cwd()), folder


Work = Callable[[Params, Path], list[Path]]
"""A run's parameters and its folder, to the files that were written or found written."""


def run_together(
    work: Work, name: str, description: str, by_array: bool = True, lists: dict[str, Work] | None = None
) -> None:
    """Run `work` with a run's parameters and folder in every process that torchrun started, or in this one alone.

    The first process holds the folder's lock and keeps its manifest, as run_all.py does. Ends this process with the
    `exit_code` of the work.

    Args:
        work: what to do.
        name, description: of the command.
        by_array: whether the tasks of a Slurm job array share the work, too. They hold no lock and keep no manifest. A
            task whose part is done ends while others are still at theirs.
        lists: parts of the work by name, of which --list takes one.
    """
    from cxrlib.runtime.device import use_device
    from cxrlib.runtime.distributed import join_processes, leave_processes
    from cxrlib.runtime.processes import TASK, in_job_array, rank
    from cxrlib.runtime.work_list import Unfinished
    from cxrlib.workflow.lock import locked
    from cxrlib.workflow.manifest import Manifest

    parser = Arguments(
        prog=f"python -m {name}",
        description=description,
        epilog=EPILOG.format(name=name, array=ARRAY if by_array else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    if lists:
        parser.add_argument("--list", choices=lists, help="do this part alone (default: one after the other)")
    options = parser.parse_args()
    only = options.list if lists else None
    chosen, maker = (lists[only], f"{name} --list {only}") if only else (work, name)

    def work_and_record() -> None:
        params, folder = read_arguments(options)
        try:
            join_processes(use_device(params.compute.device, params.compute.threads, params.compute.precision))
            with in_job_array() if by_array else contextlib.nullcontext():
                first = TASK.get()[1] == 1 and rank() == 0
                with locked(folder) if first else contextlib.nullcontext():
                    made = chosen(params, folder)
                    if first:
                        Manifest(folder).claim(maker, made)
        except Unfinished as left:
            if rank() == 0:
                print(f"{name}: {left}", file=sys.stderr)
        finally:
            leave_processes()

    sys.exit(exit_code(name, work_and_record))
