"""`python -m cxrlib.report [PROFILE]` writes the report of a run anew, from what lies in its folder."""

import argparse
import sys

from cxrlib.command import add_arguments, read_arguments
from cxrlib.params import ParameterError
from cxrlib.report.page import write_report


def main() -> int:
    """Return the exit code: 0 all well, 2 wrong usage or a run that has not begun."""
    parser = argparse.ArgumentParser(prog="python -m cxrlib.report", description=__doc__, allow_abbrev=False)
    add_arguments(parser)
    try:
        _, folder = read_arguments(parser.parse_args())
        print(write_report(folder)[0])
    except ParameterError as error:
        print(f"cxrlib.report: {error}", file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"cxrlib.report: {error.filename} is missing; python run_all.py makes it", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
