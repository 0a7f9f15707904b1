"""One process and two that torchrun starts, over Gloo on the CPU, must train and explain alike."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("two_processes.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    for name, command in {"one": [sys.executable], "two": TORCHRUN}.items():
        done = subprocess.run([*command, SCRIPT, folder / name], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    return json.loads((folder / "one").read_text()), json.loads((folder / "two").read_text())


def test_two_processes_did_the_work_of_one(found):
    assert [each["processes"] for each in found] == [1, 2]


@pytest.mark.parametrize("loss", ["train_loss", "valid_loss"])
def test_the_losses_are_the_same(found, loss):
    one, two = found
    assert len(one[loss]) == 3 and len(set(one[loss])) == 3
    np.testing.assert_allclose(two[loss], one[loss], rtol=1e-6)


def test_the_explanations_are_the_same_in_the_same_order(found):
    one, two = (np.array(each["maps"]) for each in found)
    assert one.shape == (45, 3, 2, 2)
    assert one.max() > 0
    np.testing.assert_allclose(two, one, atol=1e-6 * one.max())
    one, two = (np.array(each["probabilities"]) for each in found)
    np.testing.assert_allclose(two, one, atol=1e-6)
