"""The names of findings in each data set and each pretrained network, and the suite's names for them."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import VINBIGDATA_CLASSES
from cxrlib.data.keys import list_respelled, respell, respelled

RENAMED = {"Other disease": "Other diseases"}
"""Second spellings of a label that has no counterpart in the suite: spelling -> the label's name."""


def suite_names(source: str) -> dict[str, str]:
    """Label name of `source` -> the suite's name; a label without a counterpart keeps its name.

    >>> suite_names("nih")["Effusion"]
    'Pleural effusion'
    """
    table = label_map()
    own = table[table["source"] == source].set_index("name")["finding"]
    return {name: finding or RENAMED.get(name, name) for name, finding in own.items()}


def suite_classes(source: str) -> list[str]:
    """Classes of `source` under the suite's names: the findings of the suite, the others of `source`, "No finding"."""
    names = set(suite_names(source).values())
    shared = [name for name in VINBIGDATA_CLASSES if name in names]
    return shared[:-1] + sorted(names - set(shared)) + shared[-1:]


def without_counterpart(source: str) -> tuple[list[str], list[str]]:
    """Labels of `source` that the suite lacks, and findings of the suite that `source` lacks."""
    names = set(suite_names(source).values())
    return sorted(names - set(VINBIGDATA_CLASSES)), [name for name in VINBIGDATA_CLASSES if name not in names]


def rename(labels: pd.Series, source: str) -> tuple[pd.Series, pd.DataFrame]:
    """Label names of `source` replaced by the suite's names.

    Names may differ in case and blanks from those of the table. Unknown names stay; `check_annotations` refuses them.

    Returns:
        The suite's names; and which names were read as another spelling, as `list_respelled` lists them.

    >>> names, listed = rename(pd.Series(["effusion", "Mass"]), "nih")
    >>> names.tolist(), listed["reason"].tolist()
    (['Pleural effusion', 'Nodule/Mass'], ["class 'effusion' read as 'Effusion' (rows: 1)"])
    """
    known = suite_names(source)
    changed = respelled(labels, [*known, *VINBIGDATA_CLASSES])
    return respell(respell(labels, changed), known), list_respelled(labels, changed, "class")


def label_map() -> pd.DataFrame:
    """The table of names: source, name (in the source), finding (the suite's name, or empty), note."""
    return pd.read_csv(Path(__file__).with_name("label_map.csv"), keep_default_na=False)
