"""A notebook that somebody opens before notebook 01 has run: one line that says what to run, and no folder."""

import json

import matplotlib
import pytest

from cxrlib.runtime.errors import RENDERED, Missing
from cxrlib.workflow.filelog import RUN_ID
from cxrlib.workflow.notebooks import cells_of, find_notebooks, source_of

pytestmark = pytest.mark.slow

NEEDS_DATA = [path for path in find_notebooks() if path.name[:2] != "01"]


@pytest.mark.parametrize("path", NEEDS_DATA, ids=lambda path: path.stem)
def test_a_notebook_opened_before_the_first_says_what_to_run(path, tmp_path, monkeypatch):
    monkeypatch.delenv(RUN_ID, raising=False)
    folder, names = tmp_path / "new run", {}
    stopped = []
    with matplotlib.rc_context():
        for cell in cells_of(path, "code"):
            source = source_of(cell)
            if "NBVAL_CHECK_OUTPUT" in source:  # an example by hand, which needs no data
                continue
            if "parameters" in cell["metadata"].get("tags", []):
                source = source.replace('"outputs/smoke"', json.dumps(str(folder)))
            try:
                exec(source, names)
            except Missing as missing:
                assert stopped or not folder.exists()  # where "Run all" ends
                assert missing._render_traceback_() == [f"{RENDERED}{missing}"]  # what the notebook shows: one line
                stopped.append(str(missing))
            except NameError:  # of what an earlier cell would have made
                assert stopped
    assert stopped[0].startswith(f"{folder} holds no data yet; run notebook 01_data first")
    assert "python run_all.py smoke --only 01" in stopped[0]
    made = [place for place in folder.rglob("*") if place.is_dir() and not any(place.iterdir())]
    assert not made, "empty folders"
