"""`python -m cxrlib twins FOLDER`: rendered radiographs, the same without each finding, and every finding's cause."""

import argparse
import sys
from pathlib import Path

from cxrlib.runtime.errors import Refusal
from cxrlib.workflow.command import EXIT_CODES, Arguments, exit_code


def main() -> int:
    """Return the exit code: 0 all well, 2 wrong usage or input."""
    parser = Arguments(
        prog="python -m cxrlib", description="What the project makes for use elsewhere.", epilog=EXIT_CODES
    )
    commands = parser.add_subparsers(dest="command", required=True)
    twins = commands.add_parser(
        "twins",
        help=__doc__.partition(": ")[2],
        description="Render radiographs that fit real VinBigData annotations, each with all findings and without each "
        "of them. Writes twins.csv, for each study twins/STUDY.npz, and the same as PNG in png/. "
        "docs/phantom.md describes the files. A command that was stopped goes on where it stopped.",
        epilog=EXIT_CODES,
    )
    twins.add_argument("folder", metavar="FOLDER", type=Path, help="where to write; made if it is not there")
    twins.add_argument("--studies", metavar="N", type=_positive, default=20, help="how many studies (default: 20)")
    twins.add_argument("--size", metavar="PX", type=_positive, default=512, help="side of the pictures (default: 512)")
    twins.add_argument("--seed", type=_not_negative, default=2023, help="seeds the choice of studies and all drawing")
    twins.add_argument("--workers", metavar="N", type=_positive, default=2, help="processes that render (default: 2)")
    options = parser.parse_args()
    return exit_code("cxrlib twins", lambda: _write_twins(options))


def _write_twins(options: argparse.Namespace) -> None:
    from cxrlib.data.render.studies import draw_studies
    from cxrlib.data.render.twin_files import export_twins
    from cxrlib.data.sources.demo import public_annotations

    if in_the_way := [
        path for path in (options.folder, *options.folder.parents) if path.exists() and not path.is_dir()
    ]:
        raise Refusal(f"{in_the_way[0]} is a file; name another folder")
    annotations, _ = public_annotations()
    drawn = draw_studies(annotations, options.studies, 0.0, options.seed)
    image_ids = sorted(drawn["image_id"].unique())
    table = export_twins(annotations, options.folder, image_ids, options.seed, options.size, options.workers)
    print(f"{len(table)} twins of {len(image_ids)} rendered studies in {options.folder}")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _not_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
