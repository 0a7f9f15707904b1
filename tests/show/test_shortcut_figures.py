"""Figures of notebook 12 show what their tables hold."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from cxrlib.evaluate.ladder import NETWORK
from cxrlib.evaluate.shortcut import ShortcutModel
from cxrlib.explain.explanations import Explanations
from cxrlib.show.figures.shortcut_figures import (
    NONE,
    WITHOUT_MAPS,
    cue_examples,
    cue_tests_panels,
    detection_panels,
    ladder_panels,
    spread,
)

NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in [ax.title, *ax.texts]]


def model(kind: str, strength: float, titles: list[str]) -> ShortcutModel:
    cases = pd.DataFrame({"with_cue": [0.5, 0.9, 0.8], "without": [0.5, 0.2, 0.0]}, NAMES)
    cues = torch.zeros(3, 16, 16, dtype=torch.bool)
    cues[:, 2:4, 2:4] = True
    pictures = torch.full((3, 1, 16, 16), 50, dtype=torch.uint8)
    chosen = cases[["with_cue"]].rename(columns={"with_cue": "ILD"}).loc[["a", "b"]]
    maps = {title: Explanations(chosen, torch.rand(2, 1, 4, 4), 16, "") for title in titles}
    return ShortcutModel(kind, strength, "ILD", cases, pictures, cues, maps)


def test_examples_are_of_the_greatest_strength_and_the_highest_explained_rise():
    models = [model("marker", 1.0, ["LRP"]), model("marker", 0.0, ["LRP"]), model("noise", 1.0, [])]
    plain = torch.zeros(3, 1, 16, 16, dtype=torch.uint8)
    shown = texts(cue_examples(models, plain))
    assert "marker\np = 0.90" in shown and "without\np = 0.20" in shown  # b; c rises more but has no map
    assert "noise\np = 0.80" in shown and WITHOUT_MAPS in shown
    assert sum("marker" in text for text in shown) == 1


def test_few_methods_are_all_shown_and_many_from_first_to_last():
    assert [name for name, _ in spread(dict.fromkeys("ab"))] == ["a", "b"] and spread({}) == []
    assert [name for name, _ in spread(dict.fromkeys("abcdefghi"))] == ["a", "c", "e", "g", "i"]


def test_a_run_without_cues_says_so():
    empty = pd.DataFrame(columns=["shows"])
    for figure in (cue_examples([], torch.zeros(0)), cue_tests_panels(empty), detection_panels(empty)):
        assert [text.get_text() for text in figure.texts] == [NONE]


def test_a_panel_per_method_with_reliance_and_control():
    table = pd.DataFrame(
        {
            "method": ["LRP", "LRP", "RISE", "RISE", "any method"],
            "kind": ["marker", "marker", "marker", "marker", "noise"],
            "reliance": [0.6, 0.1, 0.6, 0.1, 0.5],
            "shows": [0.9, 0.2, 0.4, 0.3, np.nan],
            "random": 0.1,
        }
    )
    table = table.assign(**{name: table["shows"] for name in ("low", "high")})
    figure = detection_panels(table.assign(reliance_low=table["reliance"], reliance_high=table["reliance"]))
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title() for ax in shown] == ["LRP", "RISE"]
    control, _, own = shown[0].lines[0], shown[0].containers[0], shown[0].containers[-1]
    assert control.get_ydata().tolist() == [0.1, 0.1]
    assert own[0].get_xdata().tolist() == [0.1, 0.6] and own[0].get_ydata().tolist() == [0.2, 0.9]


def test_the_ladder_has_the_network_first_and_the_control_in_each_method_s_panel():
    rows = [
        (measure, rung, who, metric, rung / 10)
        for measure in ("size", "strength")
        for who, metric in ((NETWORK, "effect"), ("LRP", "average_precision"), ("Random 5 x 5", "average_precision"))
        for rung in (1, 2, 3)
    ]
    table = pd.DataFrame(rows, columns=["measure", "rung", "who", "metric", "ours"])
    figure = ladder_panels(table.assign(low=table["ours"], high=table["ours"], gain=table["ours"] / 2))
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title() for ax in shown] == ["network: true effect", "LRP"]
    controls = [line for line in shown[1].lines if line.get_linestyle() == ":"]
    assert [line.get_ydata().tolist() for line in controls] == [pytest.approx([0.05, 0.1, 0.15])] * 2
    assert not any(line.get_linestyle() == ":" for line in shown[0].lines)
