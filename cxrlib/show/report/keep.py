"""The report, written when it is out of date, and recorded in the run's manifest."""

import contextlib
import importlib
from pathlib import Path

from cxrlib.runtime.files import fingerprint, read_json
from cxrlib.runtime.fingerprints import code_fingerprints
from cxrlib.workflow.console import timed
from cxrlib.workflow.manifest import Manifest


def import_report() -> None:
    """Import what writes a report, seconds ahead of its need; whoever writes it reports what goes wrong."""
    with contextlib.suppress(Exception):
        importlib.import_module("cxrlib.show.report.page")


def keep_report(folder: Path, manifest: Manifest, anew: bool = False) -> None:
    """Write the report and record it, unless the stored report shows the same results and was written by the same code.

    Where code was edited since this process loaded it, the next report is written in any case.

    Args:
        folder: the run's folder.
        manifest: of the run.
        anew: write the report in any case.
    """
    shown = [manifest.results(), read_json(folder / "params.json")]
    written = manifest.commands.get("report", {}).get("version")
    version = fingerprint([code_fingerprints(["cxrlib.show.report.page"]), *shown])
    if written == version and not manifest.changed("report") and not anew:
        return
    with timed("report"):
        from cxrlib.show.report import page

        manifest.keep("report", page.write_report(folder), fingerprint([page.CODE, *shown]))
