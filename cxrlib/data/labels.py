"""One name per finding: what each data set and each pretrained network calls the suite's findings."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import VINBIGDATA_CLASSES

RENAMED = {"Other disease": "Other diseases"}
"""Spellings of one label within one data set that has no counterpart in the suite."""


def suite_names(source: str) -> dict[str, str]:
    """Every label name of `source` and what the suite calls it; a label without a counterpart keeps its name."""
    table = label_map()
    own = table[table["source"] == source].set_index("name")["finding"]
    return {name: finding or RENAMED.get(name, name) for name, finding in own.items()}


def suite_classes(source: str) -> list[str]:
    """Classes of `source` under the suite's names: the suite's findings, then its own, "No finding" last."""
    names = set(suite_names(source).values())
    shared = [name for name in VINBIGDATA_CLASSES if name in names]
    return shared[:-1] + sorted(names - set(shared)) + shared[-1:]


def without_counterpart(source: str) -> tuple[list[str], list[str]]:
    """Labels of `source` that the suite lacks, and findings of the suite that `source` lacks."""
    names = set(suite_names(source).values())
    return sorted(names - set(VINBIGDATA_CLASSES)), [name for name in VINBIGDATA_CLASSES if name not in names]


def rename(labels: pd.Series, source: str) -> pd.Series:
    """Label names of `source` to the suite's; unknown ones stay as they are, for the check of classes to refuse."""
    return labels.replace(suite_names(source))


def label_map() -> pd.DataFrame:
    """What data sets and pretrained networks call the suite's findings: source, name, finding (or empty), note."""
    return pd.read_csv(Path(__file__).with_name("label_map.csv"), keep_default_na=False)
