import pandas as pd
import pytest
from import_graph import PACKAGE

from cxrlib.runtime.stored_tables import NAMES, read_stored

ODD = ["NA", "007", "1e5", "TRUE", "None", "null", "nan", "", "N/A", "-", "é ", "a,b"]
"""Names that pandas takes for numbers, truth values or nothing."""


@pytest.mark.parametrize("column", sorted(NAMES))
def test_names_come_back_as_they_were_written(tmp_path, column):
    half = len(ODD) // 2
    written = pd.DataFrame({column: ODD, "value": [0.5, None] * half, "hit": [True, False] * half})
    written.to_csv(tmp_path / "a.csv", index=False)
    read = read_stored(tmp_path / "a.csv")
    assert read[column].tolist() == ODD
    assert read["value"].isna().tolist() == [False, True] * half
    assert read["hit"].dtype == bool
    assert read_stored(tmp_path / "a.csv", index=column).index.tolist() == ODD


def test_digits_alone_stay_text(tmp_path):
    pd.DataFrame({"image_id": ["007", "010"]}).to_csv(tmp_path / "a.csv", index=False)
    assert read_stored(tmp_path / "a.csv")["image_id"].tolist() == ["007", "010"]
    pd.DataFrame({"007": [1], "NA": [0]}, index=pd.Index(["NA"], name="image_id")).to_csv(tmp_path / "a.csv")
    labels = read_stored(tmp_path / "a.csv", index="image_id")
    assert labels.columns.tolist() == ["007", "NA"] and labels.index.tolist() == ["NA"]
    assert labels.astype("uint8").to_numpy().tolist() == [[1, 0]]


def test_no_other_module_lets_pandas_guess_what_a_run_stored():
    guessing = {path.stem for path in PACKAGE.rglob("*.py") if "read_csv(" in path.read_text(encoding="utf-8")}
    packaged = {"reported", "claims", "errata", "items", "labels"}  # read the suite's own CSV files
    assert guessing - packaged == {"stored_tables", "contents", "train"}  # contents: all text; train: losses, no names
