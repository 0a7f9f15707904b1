"""`python -m cxrlib.show.report [PROFILE]` writes the report of a run anew, from what lies in its folder."""

import sys
from pathlib import Path

from cxrlib.runtime.errors import Refusal
from cxrlib.show.report.keep import keep_report
from cxrlib.workflow.command import EXIT_CODES, Arguments, add_arguments, exit_code, read_arguments
from cxrlib.workflow.lock import locked
from cxrlib.workflow.manifest import Manifest

NAME = "cxrlib.show.report"


def main() -> int:
    """Return the exit code: 0 all well, 2 wrong usage or a run that has not begun."""
    parser = Arguments(prog=f"python -m {NAME}", description=__doc__, epilog=EXIT_CODES)
    add_arguments(parser)
    options = parser.parse_args()
    return exit_code(NAME, lambda: _write(read_arguments(options)[1]))


def _write(folder: Path) -> None:
    if not (folder / "params.json").exists():
        raise Refusal(f"{folder} holds no run; python run_all.py makes one")
    with locked(folder):
        keep_report(folder, Manifest(folder), anew=True)
    print(folder / "report.html")


if __name__ == "__main__":
    sys.exit(main())
