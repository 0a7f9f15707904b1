"""The report: one HTML file with the answer, a viewer, and all tables and figures of a run, beside the thesis."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import pandas as pd

from cxrlib.data.cohort import read_provenance
from cxrlib.data.provenance import Provenance
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.runtime.files import read_json, whole_file
from cxrlib.runtime.fingerprints import code_fingerprints
from cxrlib.runtime.numerals import number_text
from cxrlib.show.browse.browsed import BrowsedRun, View, load_results
from cxrlib.show.browse.overlay import Look, compose
from cxrlib.show.report.answer import answer
from cxrlib.show.report.contents import Chapter, Item, decided_by, figure_files, sections, study_names
from cxrlib.show.report.coverage import ABSENT, PRESENT, coverage
from cxrlib.show.report.embedded import Embedded, embedded_bytes
from cxrlib.show.report.kept_pictures import PICTURES
from cxrlib.show.report.methods_text import bibtex, limitations, methods_text
from cxrlib.show.report.misses import RULES, best_hit, worst_misses
from cxrlib.show.report.notebook_pages import write_notebook_pages
from cxrlib.show.report.origin import origin
from cxrlib.show.report.study_viewer import viewer_data
from cxrlib.show.report.summary import not_comparable, summary
from cxrlib.show.report.within_budget import embed_all
from cxrlib.thesis.case_tables import load_results as load_case_tables
from cxrlib.thesis.case_tables import read_table
from cxrlib.thesis.claims import check_all
from cxrlib.thesis.errata import errata
from cxrlib.workflow.manifest import Manifest

PARTS = ["report.html.j2", "report.css", "viewer.js", "page.js"]
"""The page's template and what it includes."""


CODE = code_fingerprints(["cxrlib.show.report.page"])
"""What writes the page; taken on loading."""


LARGE, SMALL = 448, 256
"""Sides in pixels of the first radiograph and of a miss."""


QUALITY = 75
"""JPEG quality of these in percent."""


def write_report(folder: Path) -> list[Path]:
    """Write report.html, tables/claims.csv, tables/errata.csv and tables/coverage.csv of a run.

    Args:
        folder: of a run, finished or not. The page names missing items and the commands that make them.

    Returns:
        The paths of the page, of the tables and of the notebooks' pages.
    """
    run = read_json(folder / "params.json")
    provenance = read_provenance(folder / "data")
    pages = write_notebook_pages(folder / "notebooks")
    made = {
        "coverage": coverage(folder, run["profile"]),
        "claims": _claims(folder),
        "errata": _errata(folder, run["parameters"]),
    }
    tables = {folder / "tables" / f"{name}.csv": table for name, table in made.items()}
    for path, table in tables.items():
        with whole_file(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    path = folder / "report.html"
    with whole_file(path) as temporary:
        temporary.write_text(_html(folder, run, provenance, made, pages), encoding="utf-8")
    return [path, *tables, *pages]


def _html(folder: Path, run: dict, provenance: Provenance, made: dict[str, pd.DataFrame], pages: list[Path]) -> str:
    from jinja2 import Environment, PackageLoader

    parameters, caution = run["parameters"], not_comparable(provenance)
    browsed = _browsed(folder)
    names = study_names(browsed.probabilities.index.tolist()) if browsed else {}
    hit = _hit(folder, browsed, parameters)
    viewer = viewer_data(browsed, hit, names) if browsed else None
    pictures = embed_all(figure_files(folder), folder / PICTURES / "report.json")
    shown = sections(folder, made["coverage"], pictures, names, caution)
    methods = methods_text(folder, parameters, provenance)
    environment = Environment(loader=PackageLoader("cxrlib.show.report", "."), autoescape=True, trim_blocks=True)
    return environment.get_template(PARTS[0]).render(
        profile=run["profile"],
        provenance=provenance,
        caution=caution,
        answer=answer(folder, run["profile"]),
        summary=summary(folder, parameters, provenance, made["coverage"], made["claims"]),
        sections=shown,
        ceiling=next((item for item in _figures(shown) if item.artefact == "figure_ceiling"), None),
        hit=_first(browsed, hit, names) if hit else None,
        viewer=viewer,
        viewer_json=json.dumps(viewer, separators=(",", ":")).replace("<", "\\u003c"),
        misses=_misses(browsed, names) if browsed else [],
        limitations=limitations(folder, provenance),
        methods=methods,
        bibtex=bibtex(methods),
        claims=_linked(made["claims"], made["coverage"]),
        errata=made["errata"].to_dict("records"),
        items=made["coverage"].to_dict("records"),
        missing=made["coverage"][made["coverage"]["status"] == ABSENT].to_dict("records"),
        origin=origin(run, Manifest(folder).notebooks),
        pages={page.stem for page in pages},
        parameters=_parameters(run),
    )


def _figures(shown: list[Chapter]) -> Iterator[Item]:
    return (item for part in shown for family in part.figures for _, _, item in family.members)


def _browsed(folder: Path) -> BrowsedRun | None:
    """The run's studies and maps; None before the notebooks that make them."""
    try:
        return load_results(folder, with_network=False)
    except (Refusal, OSError):
        return None


def _hit(folder: Path, run: BrowsedRun | None, parameters: dict) -> View | None:
    try:
        return best_hit(run, read_table(folder, "iou_cases"), parameters["iou"]["threshold"]) if run else None
    except Missing:
        return None


def _first(run: BrowsedRun, view: View, names: dict[str, str]) -> dict[str, object]:
    p = run.probabilities.at[view.image_id, view.class_name]
    caption = (
        f"{names[view.image_id].capitalize()}, {view.class_name} (p = {p:.2f}): {view.method}, its top "
        f"{100 * view.share:g} % of the pixels (purple) and the readers' boxes (green). The best of the sure "
        "cases with most readers, not a typical one."
    )
    return {"picture": _drawn(run, view, LARGE), "caption": caption}


def _misses(run: BrowsedRun, names: dict[str, str]) -> list[tuple[dict, list[dict]]]:
    found = worst_misses(run)
    return [
        (
            {"name": rule, "words": words},
            [
                {
                    "name": f"miss-{number}",
                    "picture": _drawn(run, miss.view, SMALL),
                    "caption": f"{names[miss.view.image_id].capitalize()}, {miss.view.class_name}, "
                    f"p = {miss.probability:.2f}.",
                    "look": json.dumps([miss.view.image_id, miss.view.class_name]),
                }
                for number, miss in enumerate(found)
                if miss.rule == rule
            ],
        )
        for rule, words in RULES.items()
        if any(miss.rule == rule for miss in found)
    ]


def _drawn(run: BrowsedRun, view: View, side: int) -> Embedded:
    picture = compose(run.cohort.images([view.image_id])[0], run.evidence(view), Look(mask=False), side)
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return embedded_bytes(cv2.imencode(".jpg", picture[..., ::-1], quality)[1].tobytes(), "jpeg", side, side)


def _claims(folder: Path) -> pd.DataFrame:
    try:
        return check_all(load_case_tables(folder))
    except Missing:
        return pd.DataFrame(columns=["claim", "statement", "rule", "margin", "low", "high", "verdict", "because"])


def _errata(folder: Path, parameters: dict) -> pd.DataFrame:
    try:
        return errata(folder, parameters)
    except Missing:
        return pd.DataFrame(columns=["point", "thesis", "decision", "parameter", "evidence"])


def _linked(claims: pd.DataFrame, items: pd.DataFrame) -> list[dict]:
    """The claims, each with its margin as text and the present items that decide it."""
    present = items[items["status"] == PRESENT].merge(decided_by())
    found = []
    for row in claims.to_dict("records"):
        margin, low, high = (number_text(row[name], 3, "+") for name in ("margin", "low", "high"))
        shown = present.loc[present["claim"] == row["claim"], ["item", "artefact"]]
        found.append(row | {"margin_text": f"{margin} ({low} to {high})", "shown": shown.to_dict("records")})
    return found


def _parameters(run: dict) -> list[tuple[str, str]]:
    return [
        (f"{section}.{name}", str(value))
        for section, values in run["parameters"].items()
        for name, value in values.items()
    ]
