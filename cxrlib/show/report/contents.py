"""What the report shows, in order: a section for each notebook with its figures and tables, and their titles."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd

from cxrlib.runtime.errors import readable
from cxrlib.runtime.files import read_json, shown_files
from cxrlib.runtime.stored_tables import read_stored
from cxrlib.show.report.coverage import PRESENT, others
from cxrlib.show.report.embedded import Embedded
from cxrlib.show.report.readable import TextTable, table_cells, thesis_grid
from cxrlib.workflow.notebooks import title_of

LONGEST_TABLE = 60
"""Rows of the longest table that the page shows; it links to longer tables."""


PART = 100_000
"""Rows of a table that are read at once to count them."""


SHEET = re.compile(r"browser_\d+")
"""Still pictures of the browser; the page has sliders instead."""


GRIDS = {"table_03": ("label", "experiment", 2), "table_05": ("share", "class_name", 3)}
GRIDS["table_06"] = GRIDS["table_05"]
"""Tables in the thesis's own shape: rows, columns, digits."""


COUNTED = {"table_02"}
"""Tables that compare the thesis with all real annotations; they do not depend on the run's images."""


MADE = {"coverage", "claims", "errata"}
"""Tables that the report itself makes."""


SHORT = 12
"""Rows of the longest table of the thesis that is shown without a fold."""


WIDE = 2.9
"""Width over height from which a figure has a line of its own."""


MACHINE_NAME = re.compile(r"\b[0-9a-f]{32}\b")


LETTERED = re.compile(r"(\w+ \d+) ([a-z])")
"""One of several figures with the same number in the thesis: "Figure 32 a"."""


SENTENCE = re.compile(r"(?<=[.:)]) (?=[A-Z])")
"""Between two sentences of a caption."""


@dataclass
class Item:
    """One figure or table of a run.

    Attributes:
        artefact, file, notebook, caption: as saved.
        title: for people.
        item: "Figure 22", the place in the thesis; empty for what goes beyond it.
        rendered: whether it shows rendered radiographs.
        picture: of a figure.
        sentence: why a figure shows nothing; empty where it does.
        grid: of a table in the thesis's own shape.
        table: all rows of a short table.
        code: lines of a table of code.
        rows: of a table that is too long for the page.
        caution: what the mark † says.
        claims: that this item decides.
    """

    artefact: str
    file: str
    notebook: str
    title: str
    caption: str
    item: str = ""
    rendered: bool = False
    picture: Embedded | None = None
    sentence: str = ""
    grid: TextTable | None = None
    table: TextTable | None = None
    code: str = ""
    rows: int = 0
    caution: str = ""
    claims: list[str] = field(default_factory=list)

    @property
    def short(self) -> bool:
        """Whether the thesis has this table and all rows are shown without a fold."""
        return bool(self.item) and self.grid is None and self.table is not None and self.rows <= SHORT

    @property
    def wide(self) -> bool:
        """Whether the figure needs the whole width."""
        return self.picture is not None and self.picture.width / self.picture.height > WIDE


@dataclass
class Family:
    """Figures that have one number in the thesis and a letter each; any other figure alone.

    Attributes:
        item, title: of all of them.
        caption: the sentences that all of their captions have.
        members: letter, what its caption says beside these sentences, and the figure.
    """

    item: str
    title: str
    caption: str
    members: list[tuple[str, str, Item]]


@dataclass
class Chapter:
    """What one notebook made: its name and question, figures, those that show nothing, tables of the thesis, others."""

    name: str
    title: str
    figures: list[Family]
    undrawn: list[Item]
    tables: list[Item]
    further: list[Item]


def figure_files(folder: Path) -> list[Path]:
    """The figures that the page shows."""
    return [path for path in shown_files(folder, "figures/*.png") if not SHEET.fullmatch(path.stem)]


def sections(
    folder: Path, items: pd.DataFrame, pictures: dict[Path, Embedded], studies: dict[str, str], caution: str
) -> list[Chapter]:
    """A section for each notebook that made something, in order of the notebooks.

    Args:
        folder: the run's folder.
        items: from `coverage`.
        pictures: of `figure_files`.
        studies: name of each study for people, by image id.
        caution: why the run's data cannot be compared with the thesis; empty where they can.

    Raises:
        Refusal: a table, or what is said of a figure or table, is damaged.
    """
    found = [_item(folder, row, pictures, studies, caution) for row in _rows(folder, items)]
    parts = []
    for notebook in sorted({item.notebook for item in found}, key=lambda name: (not name, name)):
        own = [item for item in found if item.notebook == notebook]
        figures = families([item for item in own if item.picture and not item.sentence])
        undrawn = [item for item in own if item.sentence]
        tables = [item for item in own if not item.picture and (item.item or item.grid)]
        further = [item for item in own if not item.picture and item not in tables]
        path = folder / "notebooks" / f"{notebook}.ipynb"
        title = title_of(path) if path.exists() else notebook.replace("_", " ") or "Further results"
        parts.append(Chapter(notebook or "further", title, figures, undrawn, tables, further))
    return parts


def families(figures: list[Item]) -> list[Family]:
    """The figures of a chapter, those with one number in the thesis together."""
    groups: dict[str, list[Item]] = {}
    for figure in figures:
        lettered = LETTERED.fullmatch(figure.item)
        groups.setdefault(lettered[1] if lettered else figure.artefact, []).append(figure)
    found = []
    for number, members in groups.items():
        if len(members) == 1:
            found.append(Family(members[0].item, members[0].title, "", [("", members[0].caption, members[0])]))
            continue
        caption, own = said_once([member.caption for member in members])
        title = members[0].title.partition(":")[0]
        letters = [LETTERED.fullmatch(member.item)[2] for member in members]
        found.append(Family(number, title, caption, list(zip(letters, own, members, strict=True))))
    return found


def said_once(captions: list[str]) -> tuple[str, list[str]]:
    """The sentences that all captions have, and what each of them says besides.

    >>> said_once(["Of A. Bands: 95 %.", "Of B. Bands: 95 %."])
    ('Bands: 95 %.', ['Of A.', 'Of B.'])
    """
    split = [SENTENCE.split(caption) for caption in captions]
    common = [sentence for sentence in split[0] if all(sentence in sentences for sentences in split)]
    own = [" ".join(sentence for sentence in sentences if sentence not in common) for sentences in split]
    return " ".join(common), own


def rows_of(path: Path) -> int:
    """How many rows a CSV file has, read a part at a time."""
    with pd.read_csv(path, usecols=[0], dtype=str, keep_default_na=False, chunksize=PART) as parts:
        return sum(len(part) for part in parts)


def study_names(image_ids: list[str]) -> dict[str, str]:
    """A short name for each test study: its number in the order of the test split.

    >>> study_names(["9f", "07"])
    {'9f': 'study 1', '07': 'study 2'}
    """
    return {image_id: f"study {number}" for number, image_id in enumerate(image_ids, 1)}


def without_machine_names(text: str, studies: dict[str, str]) -> str:
    """A text with image ids of 32 digits replaced by the study's short name, or by their first 6 digits."""
    return MACHINE_NAME.sub(lambda found: studies.get(found[0], f"study {found[0][:6]}…"), text)


@cache
def titles() -> dict[str, str]:
    """The title of every artefact beyond the thesis."""
    return dict(pd.read_csv(Path(__file__).with_name("titles.csv")).to_numpy().tolist())


@cache
def decided_by() -> pd.DataFrame:
    """Which artefact shows what decides a claim: claim and artefact."""
    return pd.read_csv(Path(__file__).with_name("decided_by.csv"))


def _rows(folder: Path, items: pd.DataFrame) -> list[dict]:
    present = items[items["status"] == PRESENT]
    beyond = [row for row in others(folder).to_dict("records") if row["artefact"] not in MADE]
    beyond = [row for row in beyond if not SHEET.fullmatch(row["artefact"])]
    return present.to_dict("records") + beyond


def _item(folder: Path, row: dict, pictures: dict[Path, Embedded], studies: dict[str, str], caution: str) -> Item:
    path = folder / row["file"]
    caption, notebook, sentence, rendered = _said(path.with_suffix(".json"))
    name = row["artefact"]
    claims = decided_by()
    item = Item(
        artefact=name,
        file=row["file"],
        notebook=notebook or row.get("notebook", ""),
        title=row.get("title") or titles().get(name) or name.replace("_", " ").capitalize(),
        caption=without_machine_names(caption, studies),
        item=row.get("item", ""),
        sentence=sentence,
        rendered=rendered,
        claims=claims.loc[claims["artefact"] == name, "claim"].tolist(),
    )
    if path.suffix == ".png":
        item.picture = pictures[path]
        return item
    _add_table(item, path, studies, caution)
    return item


def _said(sidecar: Path) -> tuple[str, str, str, bool]:
    """What the file beside a figure or table says: caption, notebook, why it shows nothing, whether it is rendered."""
    if not sidecar.exists():
        return "", "", "", False
    said = read_json(sidecar)
    with readable(sidecar):
        return said["caption"], said["notebook"], said.get("sentence", ""), bool(said["data"].get("rendered"))


def _add_table(item: Item, path: Path, studies: dict[str, str], caution: str) -> None:
    with readable(path):
        table = pd.read_csv(path, dtype=str, keep_default_na=False, nrows=LONGEST_TABLE + 1)
        if list(table.columns) == ["code"]:
            item.code = "\n".join(pd.read_csv(path, dtype=str, keep_default_na=False)["code"])
            return
        if item.artefact in GRIDS:
            item.grid = thesis_grid(read_stored(path), *GRIDS[item.artefact])
        item.rows = len(table) if len(table) <= LONGEST_TABLE else rows_of(path)
    if item.rows <= LONGEST_TABLE:
        item.caution = "" if item.artefact in COUNTED or "difference" not in table else caution
        named = table.map(lambda cell: without_machine_names(cell, studies))
        item.table = table_cells(named, item.caution)
