"""One process and two that torchrun starts must train and explain alike: over Gloo on the CPU, or sharing one GPU."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from browsable import STUDIES, browsable_run

from cxrlib.explain.explanations import load_explanations
from cxrlib.runtime.files import read_json

SCRIPT = Path(__file__).with_name("two_processes.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def run(request, tmp_path_factory):
    """A run's folder after one process and two have written 1.json, 2.json, maps/1.npz and maps/2.npz there."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    folder = browsable_run(tmp_path_factory.mktemp("processes") / "run")
    for command in ([sys.executable], TORCHRUN):
        done = subprocess.run([*command, SCRIPT, folder, request.param], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_command_fills_the_store_that_notebooks_read(run):
    store = run / "maps" / "test.npz"
    expected = store.read_bytes()
    store.unlink()
    command = [*TORCHRUN, "-m", "cxrlib.stages.explain", "smoke", "--out", run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert store.read_bytes() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--set", "compute.device=cuda"],
            "compute.device: cuda is not available here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
        (["--set", "gradcam.layer=layer9"], "gradcam.layer: the network has no module 'layer9'"),
        (["--out", __file__], "File exists"),
    ],
)
def test_the_command_refuses_in_one_line(run, arguments, message):
    command = [sys.executable, "-m", "cxrlib.stages.explain", "smoke", "--out", run, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.parametrize("loss", ["train_loss", "valid_loss"])
def test_the_losses_are_the_same(run, loss):
    one, two = (read_json(run / f"{processes}.json")[loss] for processes in (1, 2))
    assert len(one) == 3 and len(set(one)) == 3
    np.testing.assert_allclose(two, one, rtol=1e-6)


def test_the_explanations_are_the_same_in_the_same_order(run):
    one, two, whole = (load_explanations(run / "maps" / f"{name}.npz") for name in ("1", "2", "test"))
    assert len(one.maps) == STUDIES and one.maps.max() > 0
    assert (run / "maps" / "1.npz").read_bytes() == (run / "maps" / "2.npz").read_bytes()
    assert one.probabilities.index.equals(whole.probabilities.index)
    np.testing.assert_allclose(one.maps, whole.maps, atol=1e-5 * whole.maps.max())
    names = sorted(path.name for path in (run / "maps").iterdir() if path.is_file())
    assert names == [".1.npz.made.json", ".2.npz.made.json", ".test.npz.made.json", "1.npz", "2.npz", "test.npz"]


def test_a_process_alone_is_the_first_of_one(monkeypatch):
    from cxrlib.runtime import processes as runtime

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "barrier", None)  # nobody waits
    with runtime.alone():
        assert (runtime.rank(), runtime.world_size()) == (0, 1)
        runtime.wait_for_all()
    assert (runtime.rank(), runtime.world_size()) == (1, 2)


@pytest.mark.parametrize(("cards", "processes", "backend"), [(2, 2, "nccl"), (1, 2, "gloo"), (4, 1, "nccl")])
def test_processes_that_share_a_card_talk_over_gloo(monkeypatch, cards, processes, backend):
    from cxrlib.runtime.distributed import backend_for

    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    assert backend_for(torch.device("cuda", 0)) == backend
    assert backend_for(torch.device("cpu")) == "gloo"


def test_processes_take_the_cards_by_turns(monkeypatch):
    from cxrlib.runtime.device import pick_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for number, card in enumerate([0, 1, 0, 1]):
        monkeypatch.setenv("LOCAL_RANK", str(number))
        assert pick_device("cuda") == torch.device("cuda", card)
