"""A page that shows how two runs differ."""

from pathlib import Path

from cxrlib.runtime.files import whole_file
from cxrlib.runtime.numerals import number_text
from cxrlib.show.report.changes import Changes, changes
from cxrlib.show.report.contents import figure_files, study_names, titles, without_machine_names
from cxrlib.show.report.within_budget import embed_all
from cxrlib.thesis.items import thesis_items
from cxrlib.workflow.compare import Comparison

PAIRS = 16
"""Most figures beside each other; the page names the others."""


PARTS = ["compare.html.j2", "report.css"]
"""The page's template and what it includes."""


def write_comparison(ours: Path, theirs: Path, found: Comparison) -> tuple[Path, Changes]:
    """Write compare.html into `ours`.

    Args:
        ours, theirs: folders of runs.
        found: from `cxrlib.workflow.compare`.

    Returns:
        The page, and what changed.
    """
    from jinja2 import Environment, PackageLoader

    changed = changes(ours, theirs)
    differ = {line.partition(":")[0] for line in found.differences}
    both = [path for path in figure_files(ours) if f"figures/{path.name}" in differ]
    both = [path for path in both if (theirs / "figures" / path.name).is_file()]
    shown = both[:PAIRS]
    pictures = embed_all([*shown, *(theirs / "figures" / path.name for path in shown)])
    names = dict(thesis_items()[["artefact", "title"]].to_numpy().tolist()) | titles()
    studies = study_names(list(dict.fromkeys(_test_studies(ours))))
    cases = [
        row
        | {
            "study": studies.get(row["image_id"], without_machine_names(row["image_id"], studies)),
            "change": number_text(row["change"], 3),
            "ours": number_text(row["ours"], 3),
            "theirs": number_text(row["theirs"], 3),
        }
        for row in changed.cases.to_dict("records")
    ]
    environment = Environment(loader=PackageLoader("cxrlib.show.report", "."), autoescape=True, trim_blocks=True)
    html = environment.get_template(PARTS[0]).render(
        ours=ours.name,
        theirs=theirs.name,
        flips=changed.flips,
        scores=[row | {"change": number_text(row["change"], 3)} for row in changed.scores.to_dict("records")],
        claims=changed.claims.to_dict("records"),
        lights=changed.lights.to_dict("records"),
        cases=cases,
        figures=[
            {
                "name": path.stem,
                "title": names.get(path.stem, path.stem.replace("_", " ").capitalize()),
                "ours": pictures[path],
                "theirs": pictures[theirs / "figures" / path.name],
            }
            for path in shown
        ],
        left_out=[names.get(path.stem, path.stem.replace("_", " ")) for path in both[PAIRS:]],
        differences=found.differences,
        provenance=len(found.provenance),
    )
    page = ours / "compare.html"
    with whole_file(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return page, changed


def _test_studies(folder: Path) -> list[str]:
    from cxrlib.runtime.stored_tables import read_stored

    path = folder / "tables" / "predictions.csv"
    return read_stored(path)["image_id"].tolist() if path.exists() else []
