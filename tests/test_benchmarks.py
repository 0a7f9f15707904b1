"""The benchmarks' arithmetic; the measurements themselves are never part of a test."""

import json

import pytest

from benchmarks import full_scale, gpu
from benchmarks.__main__ import GOALS
from benchmarks.timing import by_turns, entry, overhead, speedup


def test_both_sides_take_turns_after_one_call_that_does_not_count():
    calls = []
    ours, peer = by_turns(lambda: calls.append("ours"), lambda: calls.append("peer"), repeats=3)
    assert calls == ["ours", "peer"] * 4
    assert len(ours) == len(peer) == 3


def test_ratios_are_taken_repeat_by_repeat():
    times = [1.0, 2.0, 4.0], [10.0, 10.0, 12.0]
    faster, slower = speedup(times, 2, "ms", "peer"), overhead(times, 2, "ms", "peer")
    assert faster["ratio"] == 5 and faster["spread"]["ratio"] == {"min": 3, "median": 5, "max": 10}
    assert slower["ratio"] == pytest.approx(0.2)
    assert (faster["ours"], faster["peer"], faster["repeats"]) == (1000, 5000, 3)
    assert entry([1.0], [2.0], [3.0], "s", "torch")["against"] == "torch"


def test_every_goal_has_a_direction():
    assert len(GOALS) == 13
    assert {sign for sign, _ in GOALS.values()} == {">=", "<="}


@pytest.mark.slow
def test_what_a_gpu_is_compared_by_agrees_on_the_cpu(tmp_path):
    assert gpu.main(["correct", "--size", "small", "--to", str(tmp_path / "gpu.json")]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())["correct"]
    exact, coarse = found["float32"], found["bfloat16"]
    assert exact["same_bytes_twice"] and max(exact["maps"], exact["probabilities"], exact["perturbation"]) < 1e-5
    assert exact["maps"] < coarse["maps"] < 0.05


@pytest.mark.slow
def test_the_whole_analysis_runs_on_few_rendered_studies(tmp_path):
    small = {
        "model.architecture": "resnet18",
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
