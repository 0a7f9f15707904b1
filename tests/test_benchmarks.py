"""The benchmarks' arithmetic; the measurements themselves are never part of a test."""

import pytest

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
