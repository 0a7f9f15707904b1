"""The values of the thesis's tables, and the public data sets that the thesis lists."""

from pathlib import Path

import pandas as pd

_FOLDER = Path(__file__).parent


def public_data_sets() -> pd.DataFrame:
    """Table 1: public chest radiograph data sets: year, number of findings and of samples, reference."""
    return pd.read_csv(_FOLDER / "public_data_sets.csv")


def thesis_values(artefact: str) -> pd.DataFrame:
    """Values that the thesis reports for one table, e.g. "table_06": columns group, row, column, value."""
    reported = pd.read_csv(_FOLDER / "thesis_reported.csv", dtype={"group": str})
    return reported[reported["artefact"] == artefact.replace("_0", "_")].drop(columns="artefact").reset_index(drop=True)


def thesis_iou(artefact: str) -> pd.DataFrame:
    """Mean IoU that the thesis reports in "table_05" or "table_06": share of pixels by class."""
    values = thesis_values(artefact).rename(columns={"group": "share", "row": "class_name"})
    values["share"] = values["share"].astype(float)
    return values.pivot(index="share", columns="class_name", values="value")


def thesis_labels() -> list[str]:
    """The seven labels of the explained model, in the thesis's order; the last one is "No finding"."""
    values = thesis_values("table_02")
    return values.loc[values["group"] == "class", "row"].tolist()
