"""The report: one HTML file with all tables and figures of a run, beside the values of the thesis."""

import base64
import io
import re
from itertools import chain
from pathlib import Path

import pandas as pd

from cxrlib.data.cohort import read_provenance
from cxrlib.runtime.errors import Missing
from cxrlib.runtime.files import read_json, whole_file
from cxrlib.runtime.stored_tables import NAMES
from cxrlib.show.report.coverage import coverage, others
from cxrlib.show.report.notebook_pages import write_notebook_pages
from cxrlib.show.report.summary import not_comparable, summary
from cxrlib.thesis.case_tables import load_results
from cxrlib.thesis.claims import check_all
from cxrlib.thesis.errata import errata

MADE = {"coverage", "claims", "errata"}
"""Tables that the report itself makes."""


LONGEST_TABLE = 60
"""Rows of the longest table that the page shows; it links to longer tables."""


NUMBER = re.compile(r"−?[\d,.]+( to −?[\d,.]+)?")


INTERVALS = [
    ("low", "high", "95 %"),
    ("gain_low", "gain_high", "gain, 95 %"),
    ("of_ceiling_low", "of_ceiling_high", "of ceiling, 95 %"),
    ("beyond_low", "beyond_high", "beyond, 95 %"),
    ("range_low", "range_high", "range"),
]


BESIDE = {
    "table_03": ["reader_f1"],
    "table_06": ["table_06_best", "reader_agreement"],
    "figure_22": ["auroc"],
    "figure_30": ["figure_ceiling", "grid_ceiling", "probe", "localisation"],
}
"""Artefacts that the thesis does not have, shown beside one of the thesis's items: item -> artefacts."""


COUNTED = {"table_02"}
"""Tables that compare the thesis with all real annotations; they do not depend on the run's images."""


def write_report(folder: Path) -> list[Path]:
    """Write report.html, tables/claims.csv, tables/errata.csv and tables/coverage.csv of a run.

    Args:
        folder: of a run, finished or not. The page names missing items and the commands that make them.

    Returns:
        The paths of the page, of the tables and of the notebooks' pages.
    """
    from jinja2 import Environment, PackageLoader

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
    environment = Environment(loader=PackageLoader("cxrlib.show.report", "."), autoescape=True, trim_blocks=True)
    environment.tests["number_text"] = lambda text: bool(NUMBER.fullmatch(text))
    html = environment.get_template("report.html.j2").render(
        profile=run["profile"],
        provenance=provenance,
        caution=not_comparable(provenance),
        summary=summary(folder, run["parameters"], provenance, made["coverage"], made["claims"]),
        **_artefacts(folder, made["coverage"], not_comparable(provenance)),
        claims=made["claims"].to_dict("records"),
        errata=made["errata"].to_dict("records"),
        pages={page.stem for page in pages},
        parameters=_parameters(run),
    )
    path = folder / "report.html"
    with whole_file(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return [path, *tables, *pages]


def _artefacts(folder: Path, items: pd.DataFrame, caution: str) -> dict[str, object]:
    """The thesis's items, the artefacts that are shown beside each item, and all other artefacts."""
    further = {
        row["artefact"]: _item(folder, row | {"remark": ""}, caution) for row in others(folder).to_dict("records")
    }
    beside = {name: [further[other] for other in found if other in further] for name, found in BESIDE.items()}
    shown = {*MADE, *chain(*BESIDE.values())}
    return {
        "items": [_item(folder, row, caution) for row in items.to_dict("records")],
        "beside": beside,
        "beyond": [row for name, row in further.items() if name not in shown],
    }


def _claims(folder: Path) -> pd.DataFrame:
    try:
        return check_all(load_results(folder))
    except Missing:
        return pd.DataFrame(columns=["claim", "statement", "rule", "margin", "low", "high", "verdict", "because"])


def _errata(folder: Path, parameters: dict) -> pd.DataFrame:
    try:
        return errata(folder, parameters)
    except Missing:
        return pd.DataFrame(columns=["point", "thesis", "decision", "parameter", "evidence"])


def _item(folder: Path, row: dict, caution: str) -> dict:
    """The values of one artefact that the template shows."""
    if not row["file"]:
        return row
    path = folder / row["file"]
    sidecar = path.with_suffix(".json")
    said = read_json(sidecar) if sidecar.exists() else {"caption": "", "notebook": "", "data": {}}
    row = row | {"caption": said["caption"], "notebook": said["notebook"], "data": said["data"]}
    if path.suffix == ".png":
        return row | {"picture": _picture(path)}
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) == ["code"]:
        return row | {"code": "\n".join(table["code"])}
    if len(table) > LONGEST_TABLE:
        return row | {"rows": len(table)}
    caution = "" if row["artefact"] in COUNTED or "difference" not in table else caution
    return row | {"table": table_cells(table, caution), "caution": caution}


def table_cells(table: pd.DataFrame, caution: str = "") -> dict[str, list]:
    """Header and rows of a table as text: numbers with three decimals, intervals in one column.

    Args:
        table: strings, as in the CSV file.
        caution: if not empty, the column `difference` is marked: its values are no comparison.
    """
    table = table.drop(columns="images", errors="ignore").apply(_readable)
    for low, high, name in INTERVALS:
        if {low, high} <= set(table.columns):
            both = [f"{a} to {b}" if a and b else "" for a, b in zip(table[low], table[high], strict=True)]
            table.insert(table.columns.get_loc(low), name, both)
            table = table.drop(columns=[low, high])
    names = [name.replace("_", " ") for name in table.columns]
    header = [f"{name} †" if name == "difference" and caution else name for name in names]
    return {"header": header, "rows": table.to_numpy().tolist()}


def _readable(column: pd.Series) -> pd.Series:
    """A column of numbers as text with equal decimals; a column of names or other text unchanged."""
    if column.name in NAMES:
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().sum() > (column == "").sum():
        return column
    style = "{:.3f}" if column.str.contains(".", regex=False).any() else "{:d}" if column.name == "year" else "{:,d}"
    whole = style.endswith("d}")
    texts = ["" if pd.isna(value) else style.format(int(value) if whole else value) for value in numbers]
    return pd.Series(texts, column.index).str.replace("-", "−")


def _picture(path: Path) -> dict[str, object]:
    """A figure as a small WebP picture inside the page, with its size in pixels."""
    from PIL import Image

    with Image.open(path) as image:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "WEBP", quality=88, method=4)
        return {"data": base64.b64encode(buffer.getvalue()).decode(), "width": image.width, "height": image.height}


def _parameters(run: dict) -> list[tuple[str, str]]:
    return [
        (f"{section}.{name}", str(value))
        for section, values in run["parameters"].items()
        for name, value in values.items()
    ]
