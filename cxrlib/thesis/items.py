"""Every table and figure of the thesis: what it shows, and which notebook makes it."""

from pathlib import Path

import pandas as pd


def thesis_items() -> pd.DataFrame:
    """Every table and figure of the thesis: item, title, notebook, artefact, remark; the notebook that makes it, or why
    none does."""
    return pd.read_csv(Path(__file__).with_name("items.csv"), keep_default_na=False)
