"""`python -m cxrlib.show.report [PROFILE]` writes the report of a run anew, from what lies in its folder."""

import argparse
import sys

from cxrlib.params import ParameterError
from cxrlib.show.report.keep import keep_report
from cxrlib.workflow.command import add_arguments, read_arguments
from cxrlib.workflow.lock import locked
from cxrlib.workflow.manifest import Manifest


def main() -> int:
    """Return the exit code: 0 all well, 2 wrong usage or a run that has not begun."""
    parser = argparse.ArgumentParser(prog="python -m cxrlib.show.report", description=__doc__, allow_abbrev=False)
    add_arguments(parser)
    try:
        _, folder = read_arguments(parser.parse_args())
        if not (folder / "params.json").exists():
            raise ParameterError(f"{folder} holds no run; python run_all.py makes one")
        with locked(folder):
            keep_report(folder, Manifest(folder), anew=True)
        print(folder / "report.html")
    except ParameterError as error:
        print(f"cxrlib.show.report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
