"""The list of the thesis's tables and figures, with the notebook that makes each of them."""

from pathlib import Path

import pandas as pd


def thesis_items() -> pd.DataFrame:
    """Every table and figure of the thesis: item, title, notebook, artefact, remark.

    An item that no notebook makes has an empty notebook and artefact, and its remark says why.
    """
    return pd.read_csv(Path(__file__).with_name("items.csv"), keep_default_na=False)
