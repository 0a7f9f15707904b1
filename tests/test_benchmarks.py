"""The benchmarks' arithmetic; the measurements themselves are never part of a test."""

import copy
import errno
import json
import platform
import sys
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import SMALL_RESNET, files_of_at_most

from benchmarks import full_scale, gpu, gpu_setup, rehearsal
from benchmarks.__main__ import GOALS
from benchmarks.page import page_of, processor
from benchmarks.rehearsal import draw, draw_images, watched
from benchmarks.timing import by_turns, entry, overhead, speedup
from cxrlib.runtime.errors import Refusal


def test_both_sides_take_turns_after_one_call_that_does_not_count():
    calls = []
    ours, peer = by_turns(lambda: calls.append("ours"), lambda: calls.append("peer"), repeats=3)
    assert calls == ["ours", "peer"] * 4
    assert len(ours) == len(peer) == 3


def test_more_than_two_take_turns_and_none_twice_before_where_all_are_warm():
    calls = []
    times = by_turns(*(lambda name=name: calls.append(name) for name in "abc"), repeats=2, warm=True)
    assert calls == ["a", "b", "c"] * 2 and [len(one) for one in times] == [2, 2, 2]


def test_ratios_are_taken_repeat_by_repeat():
    times = [1.0, 2.0, 4.0], [10.0, 10.0, 12.0]
    faster, slower = speedup(times, 2, "ms", "peer"), overhead(times, 2, "ms", "peer")
    assert faster["ratio"] == 5 and faster["spread"]["ratio"] == {"min": 3, "median": 5, "max": 10}
    assert slower["ratio"] == pytest.approx(0.2)
    assert (faster["ours"], faster["peer"], faster["repeats"]) == (1000, 5000, 3)
    assert entry([1.0], [2.0], [3.0], "s", "torch")["against"] == "torch"


def test_a_processor_without_a_record_has_python_s_own_name():
    assert processor("") == (platform.processor() or platform.machine())
    assert processor("model name\t: M1\n") == "M1"


def test_the_page_says_what_is_not_met_and_on_which_machines():
    one = entry([1.2, 1.4], [2.0, 2.0], [2.4, 2.8], "ms", "captum") | {
        "goal": ">= 2",
        "met": False,
        "measured": "today",
    }
    one |= {"processor": "P", "cores": 2, "versions": {"torch": "2.14"}}
    page = page_of({"a_b": one, "c": one | {"processor": "Q"}})
    assert page.startswith("# Measured on P; 2 cores and on Q; 2 cores\n") and "torch 2.14." in page
    assert "| a b | 1.30 (1.20 to 1.40) | >= 2, **not met** | 2 | 2.6 | ms | captum | today |" in page


def test_every_goal_has_a_direction():
    assert len(GOALS) == 28
    assert {sign for sign, _ in GOALS.values()} == {">=", "<="}


def test_a_peer_that_computes_something_else_is_found():
    methods = pytest.importorskip("benchmarks.methods")
    maps = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert methods.same_maps(maps, 3 * maps + 1, "it") == pytest.approx(1)
    with pytest.raises(AssertionError, match="it computes something else"):
        methods.same_maps(maps, maps.flip(1), "it")
    with pytest.raises(AssertionError, match="the inference copy has other maps"):
        methods.same_on_the_copy(maps, maps + 0.01)


def test_a_network_with_relus_of_its_own_at_each_place_is_the_same():
    methods = pytest.importorskip("benchmarks.methods")
    network = methods.resnet_with_statistics()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    distinct = methods.distinct_relus(network)
    with torch.no_grad():
        torch.testing.assert_close(distinct(images), network(images))
    relus = [module for module in distinct.modules() if isinstance(module, torch.nn.ReLU)]
    assert len(relus) == 49 and not any(relu.inplace for relu in relus)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["score_cam", "occlusions", "rises", "kernelshaps", "guided", "integrated"])
def test_each_method_is_measured_beside_the_same_maps(part, monkeypatch):
    methods = pytest.importorskip("benchmarks.methods")
    for name, few in {"CHANNELS": 4, "STRIDE": 64, "MASKS": 4, "GUIDED": 1, "STEPS": 4, "FEW_STEPS": 4}.items():
        monkeypatch.setattr(methods, name, few)
    network = methods.resnet_with_statistics()
    found = getattr(methods, part)(network, methods.inference_copy(network), size=64, repeats=1)
    assert set(found) <= set(GOALS) and len(found) == 2
    assert all(entry["ratio"] > 0 for entry in found.values())
    assert next(iter(found.values()))["least_rank_correlation"] > methods.SAME


def test_scores_of_the_peer_are_compared_where_both_have_one():
    trust = pytest.importorskip("benchmarks.trust")
    scores = np.array([0.5, -0.25, np.nan])
    assert trust.same_scores(scores, scores + 1e-4) == pytest.approx(1e-4)
    with pytest.raises(AssertionError, match="a score differs by 0.01"):
        trust.same_scores(scores, scores + 0.01)
    with pytest.raises(AssertionError, match="scores of other maps"):
        trust.same_scores(scores, np.array([0.5, np.nan, np.nan]))


def test_a_reset_of_the_peers_copy_sets_our_weights_and_keeps_the_statistics():
    trust = pytest.importorskip("benchmarks.trust")
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    network[1].running_mean.fill_(3)
    weights = {name: torch.full_like(one, 7) for name, one in network.named_parameters()}
    again = copy.deepcopy(trust.with_weights(network, weights))
    again[1].reset_parameters()
    assert (again[1].weight == 7).all() and (again[1].running_mean == 3).all()
    assert torch.equal(again[0].weight, network[0].weight) and (network[1].weight == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["max_sensitivity", "randomisation"])
def test_each_measure_of_trust_is_timed_beside_the_same_scores(part, monkeypatch):
    trust = pytest.importorskip("benchmarks.trust")
    monkeypatch.setattr(trust, "SAMPLES", 2)
    ((name, found),) = getattr(trust, part)(trust.resnet_with_statistics("resnet18"), 64, 3, repeats=1).items()
    assert name in GOALS
    for one in (found, found["one_class"]):
        assert one["ratio"] > 0 and one["with_our_maps"] > 0 and one["greatest_difference"] <= trust.SAME


@pytest.mark.slow
def test_memory_is_measured_without_the_images_and_their_maps():
    methods = pytest.importorskip("benchmarks.methods")
    assert methods.memory_of(2, size=64) > 0


@pytest.mark.slow
def test_what_a_gpu_is_compared_by_agrees_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setitem(gpu_setup.SIZES, "small", replace(gpu_setup.SIZES["small"], architecture=SMALL_RESNET))
    assert gpu.main(["correct", "--size", "small", "--to", str(tmp_path / "gpu.json")]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())["correct"]
    exact, coarse = found["float32"], found["bfloat16"]
    assert exact["same_bytes_twice"] and max(exact["maps"], exact["probabilities"], exact["perturbation"]) < 1e-5
    assert exact["maps"] < coarse["maps"] < 0.05


@pytest.mark.slow
def test_the_whole_analysis_runs_on_few_rendered_studies(tmp_path):
    small = {
        "model.architecture": SMALL_RESNET,
        "model.input_size": 48,
        "data.image_size": 128,
        "training.epochs": 1,
        "training.batch_size": 16,
        "iou.threshold": 0.3,
        "perturbation.threshold": 0.5,
        "compute.workers": 2,
    }
    changes = [word for name, value in small.items() for word in ("--set", f"{name}={value}")]
    assert full_scale.main([str(tmp_path / "run"), "--studies", "80", *changes]) == 0
    found = json.loads((tmp_path / "run" / "full_scale.json").read_text())
    assert found["studies"] == {"train": 64, "valid": 8, "test": 8} and found["perturbed_images"] > 0
    assert 0 <= found["scores_on_rendered_radiographs"]["macro_auroc"] <= 1


def test_a_size_that_needs_a_gpu_is_refused_without_one(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--size", "full", "correct"])
    assert "needs a CUDA device" in capsys.readouterr().err


SERVER = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        held = bytearray(os.urandom(1)) * (200 * 2**20)
    time.sleep(1.5)
    os._exit(0)
time.sleep(2)
print("done")
"""
"""A command, its server, and a kernel that holds 200 MiB and that nobody waits for."""


WITHOUT_SERVER = """
import subprocess, sys
kernel = "import os, time; held = bytearray(os.urandom(1)) * (200 * 2**20); time.sleep(2)"
subprocess.run([sys.executable, "-c", kernel], start_new_session=True)
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a living process is read from /proc")
def test_the_memory_of_a_forked_kernel_is_seen(tmp_path):
    code, peaks = watched([sys.executable, "-c", SERVER], tmp_path / "log.txt")
    assert code == 0 and (tmp_path / "log.txt").read_text() == "done\n"
    assert 200 <= peaks[True] < 260 and peaks[False] < 60
    assert watched([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log.txt")[0] == 3


def test_where_the_system_keeps_no_peak_the_memory_of_a_look_is_taken(tmp_path, monkeypatch):
    """There a kernel is the command's own child: no server forks it."""
    monkeypatch.setattr(rehearsal, "LINUX", False)
    code, peaks = watched([sys.executable, "-c", WITHOUT_SERVER], tmp_path / "log.txt")
    assert code == 0 and 200 <= peaks[True] < 260 and 0 < peaks[False] < 60


def test_a_picture_of_the_rehearsal_that_does_not_fit_on_the_disk_is_refused(tmp_path):
    boxes = np.array([[10, 10, 20, 20, 30]])
    draw(tmp_path / "a.png", boxes)
    picture = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (64, 64) and picture.dtype == np.uint8
    with files_of_at_most(1000), pytest.raises(Refusal, match="free space there"):
        draw(tmp_path / "b.png", boxes)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_list_of_pictures_that_is_cut_short_is_not_taken_for_a_whole_one(tmp_path, monkeypatch):
    to_csv = pd.DataFrame.to_csv

    def cut_short(table, path, **options):
        to_csv(table, path, **options)
        if "train_meta" in path.name:
            path.write_text(path.read_text()[:30])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(rehearsal, "WORKERS", 1)
    monkeypatch.setattr(pd.DataFrame, "to_csv", cut_short)
    with pytest.raises(Refusal, match="No space left on device"):
        draw_images(tmp_path, 2)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".png", ".png"]
    assert not (tmp_path / "train_meta.csv").exists()
