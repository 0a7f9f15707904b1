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

    Args:
        folder: the run's folder.
        manifest: of the run.
        anew: write the report in any case.
    """
    parts = [code_fingerprints(["cxrlib.show.report.page"]), manifest.results(), read_json(folder / "params.json")]
    version = fingerprint(parts)
    written = manifest.commands.get("report", {}).get("version")
    if written == version and not manifest.changed("report") and not anew:
        return
    with timed("report"):
        from cxrlib.show.report.page import write_report

        manifest.keep("report", write_report(folder), version)
