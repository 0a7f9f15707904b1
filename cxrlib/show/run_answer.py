"""What a run answers, in one sentence, for the end of the command and for notebook 00."""

from pathlib import Path

from cxrlib.runtime.errors import readable

EXPLAINED = "Grad-CAM"
"""The method whose lights make the answer, as in the thesis; another run's first method where it has none."""
MACHINERY = "On rendered radiographs this checks the method; it says nothing about patients."


def answer_of(folder: Path) -> str | None:
    """The headline of the run's verdict; None where notebook 13 has not judged yet.

    Args:
        folder: of the run.
    """
    path = folder / "tables" / "verdict.csv"
    if not path.exists():
        return None
    from cxrlib.evaluate.verdict import headline  # imports pandas, for which the command need not wait
    from cxrlib.runtime.stored_tables import read_stored

    with readable(path):
        table = read_stored(path)
        methods = table["method"].unique().tolist()
        if not methods:
            return None
        said = headline(table, EXPLAINED if EXPLAINED in methods else methods[0])
    return f"{said} {MACHINERY}" if "images" in table and (table["images"] == "rendered").all() else said
