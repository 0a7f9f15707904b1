"""The tests draw without a display. Only this process does: a variable would reach the notebooks' kernels too."""

import os

import matplotlib
import pytest
from fixtures import run_all

os.environ.pop("MPLBACKEND", None)
matplotlib.use("agg")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The folder of one run of the smoke profile, shared by every test that reads one."""
    folder = tmp_path_factory.mktemp("smoke")
    done = run_all("smoke", "--out", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
