"""Tables for reading: words for column names, equal decimals, intervals in one column, and the thesis's own grids."""

import re
from dataclasses import dataclass, field

import pandas as pd

from cxrlib.runtime.numerals import number_text, signed
from cxrlib.runtime.stored_tables import NAMES

INTERVALS = {"": "95 %", "range": "range"}
"""Headers of two bounds, by what stands before "low" and "high"; of any other name they are "NAME, 95 %"."""


OVERALL = "micro avg"
"""The row of all labels together, which comes last."""


WORDED = ("protocol", "metric", "measure", "score", "meet_by")
"""Columns whose cells are names of the code."""


WORDS = {
    "all_pairs": "IoU, all pairs of boxes",
    "best_match": "IoU, best match",
    "mask_iou": "IoU of the masks",
    "iobb": "overlap / predicted box (IoBB)",
    "iou": "IoU",
    "otsu_iou": "IoU, mask by Otsu",
    "r_squared": "R²",
    "share": "top pixels",
    "control_score": "control's score",
    "hit": "peak inside a box",
    "class_name": "finding",
    "heatmap_class": "heatmap of",
    "image_id": "study",
    "n": "n",
    "random_heatmap": "random heatmap",
    "real_annotations": "all real annotations",
    "average_precision": "average precision",
    "energy": "share of the map inside",
    "learned_from": "learned from (studies)",
    "over_random": "over random",
    "because": "why",
}
"""What stands for a name of the code, in headers and cells."""


NARROW = 7
"""Most columns of a table of numbers that a phone shows as a table."""


NUMBER = re.compile(r"[+−]?[\d,.]+( (to|\() ?[+−]?[\d,.]+\)?)?|\([\d.]+\)")


@dataclass(frozen=True)
class TextTable:
    """A table as text.

    Attributes:
        header: of the columns.
        rows: cells.
        right: whether a column holds numbers, which are aligned at the right.
    """

    header: list[str]
    rows: list[list[str]]
    right: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        columns = [[row[at] for row in self.rows] for at in range(len(self.header))]
        self.right.extend(is_numbers(column) for column in columns)

    @property
    def narrow(self) -> bool:
        """Whether the columns fit beside each other on a phone: few, and numbers but for the first."""
        return len(self.header) <= NARROW and all(self.right[1:])


def table_cells(table: pd.DataFrame, caution: str = "") -> TextTable:
    """A table as text: numbers with equal decimals, intervals in one column.

    Args:
        table: strings, as in the CSV file.
        caution: if not empty, the column `difference` is marked: its values are no comparison.
    """
    table = table.drop(columns="images", errors="ignore")
    lows = [name for name in table if name == "low" or name.endswith("_low")]
    bounds = [(name, f"{name.removesuffix('low')}high") for name in lows if f"{name.removesuffix('low')}high" in table]
    fractions = {name for both in bounds if _has_fractions(table[list(both)]) for name in both}
    table = table.apply(lambda column: _readable(column, column.name in fractions))
    for low, high in bounds:
        both = [f"{a} to {b}" if a and b else "" for a, b in zip(table[low], table[high], strict=True)]
        about = low.removesuffix("low").removesuffix("_")
        table.insert(table.columns.get_loc(low), INTERVALS.get(about, f"{words_for(about)}, 95 %"), both)
        table = table.drop(columns=[low, high])
    header = [f"{words_for(name)} †" if name == "difference" and caution else words_for(name) for name in table]
    return TextTable(header, table.to_numpy().tolist())


def thesis_grid(table: pd.DataFrame, row: str, column: str, digits: int) -> TextTable:
    """A table in the thesis's own shape, in each cell "ours (thesis)".

    Args:
        table: ours and thesis, and the columns named below.
        row, column: whose values become rows and columns, in the order of the table.
        digits: after the decimal point.
    """
    cells = [
        " ".join(
            filter(None, [number_text(ours, digits), f"({number_text(thesis, digits)})" if pd.notna(thesis) else ""])
        )
        for ours, thesis in zip(table["ours"], table["thesis"], strict=True)
    ]
    wide = table.assign(cell=cells).pivot(index=row, columns=column, values="cell").fillna("")
    wide = wide.loc[sorted(table[row].unique(), key=lambda name: name == OVERALL), table[column].unique()]
    names = [f"{100 * value:g} %" if row == "share" else str(value) for value in wide.index]
    header = [words_for(row), *map(str, wide.columns)]
    return TextTable(header, [[name, *line] for name, line in zip(names, wide.to_numpy().tolist(), strict=True)])


def words_for(name: str) -> str:
    """Words for a name of the code.

    >>> words_for("all_pairs_sum"), words_for("usual_place"), words_for("3 labels")
    ('IoU, all pairs of boxes; union as a sum', 'usual place', '3 labels')
    """
    if name in WORDS:
        return WORDS[name]
    if name.endswith("_sum") and name.removesuffix("_sum") in WORDS:
        return f"{WORDS[name.removesuffix('_sum')]}; union as a sum"
    return name.replace("_", " ")


def is_numbers(cells: list[str]) -> bool:
    """Whether a column of text holds numbers, and at least one."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(NUMBER.fullmatch(cell) for cell in filled)


def _has_fractions(cells: pd.DataFrame) -> bool:
    return bool(cells.apply(lambda column: column.str.contains(".", regex=False)).any(axis=None))


def _readable(column: pd.Series, fractions: bool = False) -> pd.Series:
    """A column of numbers as text with equal decimals; names of the code and truth in words; other text unchanged."""
    if column.name in NAMES or column.eq("").all():
        return column
    if column.isin(["True", "False", ""]).all():
        return column.replace({"True": "yes", "False": "no"})
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().sum() > (column == "").sum():
        return column.map(words_for) if column.name in WORDED else column
    if column.name == "share":
        return numbers.map(lambda value: f"{100 * value:g} %")
    fractions = fractions or column.str.contains(".", regex=False).any()
    style = "{:.3f}" if fractions else "{:d}" if column.name == "year" else "{:,d}"
    whole = style.endswith("d}")
    return numbers.map(lambda value: "" if pd.isna(value) else signed(style.format(int(value) if whole else value)))
