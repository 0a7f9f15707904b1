"""What test modules share. They draw without a display; only this process does, not the notebooks' kernels."""

import os
import shutil
from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch
from fixtures import SLOW_FIXTURES, run_all
from hypothesis import settings
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sharing import ByGroup, in_order

from cxrlib.runtime.device import use_device

os.environ.pop("MPLBACKEND", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # several workers: the commands and kernels that tests start take one core each
    os.environ["OMP_NUM_THREADS"] = "1"
matplotlib.use("agg")
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

PARAMETERS = """\
run_folder = "outputs/smoke"  # relative to the project root
# how boxes meet; a comment with = and brackets (
iou: dict = {
    "union": "areas",  # or "sum"; name == value
    "seed": 1,
}
"""


def pytest_collection_modifyitems(config, items):
    """The notebooks are slow, and so is every test that looks at a finished run or executes a notebook."""
    for item in items:
        if item.path.suffix == ".ipynb" or SLOW_FIXTURES & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):  # in a worker
        items[:] = in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # the groups keep their order
    return ByGroup(config, log)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    """Where a test computes what it compares with the processor, in float32."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return use_device(request.param)


@pytest.fixture
def write_notebook(tmp_path):
    """Write a small notebook: a heading, a parameters cell and code cells."""

    def write(name: str, *code: str, parameters: str = PARAMETERS) -> Path:
        cells = [new_markdown_cell(f"Words first.\n\n# Title of {name}")]
        cells += [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        cells += [new_code_cell(text) for text in code]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = tmp_path / "source" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path)
        return path

    return write


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The folder of a finished smoke run; who changes something in it puts it back."""
    folder = tmp_path_factory.mktemp("smoke")
    done = run_all("smoke", "--out", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def browsed_run(tmp_path_factory):
    """The folder of a small run, for the heatmap browser."""
    from browsable import browsable_run

    return browsable_run(tmp_path_factory.mktemp("outputs") / "first")


@pytest.fixture
def own_run(browsed_run, tmp_path):
    """A copy of that folder, which a test may change."""
    return Path(shutil.copytree(browsed_run, tmp_path / "outputs" / "first"))


@pytest.fixture(scope="session")
def loaded_run(browsed_run):
    from cxrlib.show.browse.browsed import load_results

    return load_results(browsed_run)


@pytest.fixture
def results(loaded_run):
    """What a browser looks at, with a cohort of its own, which a test may change."""
    from cxrlib.data.cohort import load_cohort
    from cxrlib.show.browse.browsed import BrowsedRun

    return BrowsedRun(load_cohort(loaded_run.cohort.folder), loaded_run.methods, loaded_run.network)


@pytest.fixture
def browser(results):
    from cxrlib.show.browse import HeatmapBrowser

    return HeatmapBrowser(results.cohort, results.methods, results.network)
