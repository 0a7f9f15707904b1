"""The ladder of difficulty, by hand."""

import numpy as np
import pandas as pd
import torch

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.ladder import NETWORK, climb, difficulty, fails_first, rungs
from cxrlib.evaluate.phantom import TwinCases

NAMES = [f"image{number:02}" for number in range(12)]
WEIGHTS = study_weights(NAMES, 200, seed=0)


CONTROL = "Random 5 x 5"


def twins_with(blocks: list[tuple[int, int]]) -> TwinCases:
    """Cases of 10 x 10 pixels whose twin differs in a square of (side, grey levels)."""
    images = torch.full((len(blocks), 1, 10, 10), 100, dtype=torch.uint8)
    twins = images.clone()
    for row, (side, grey) in enumerate(blocks):
        images[row, 0, :side, :side] += grey
        images[row, 0, -1, -1] += 1  # a grey level does not count
    cases = pd.DataFrame({"image_id": NAMES[: len(blocks)], "class_name": "ILD"})
    return TwinCases(cases, images, twins)


def test_size_and_strength_of_a_cause():
    table = difficulty(twins_with([(2, 51), (3, 102), (0, 0), (2, 1)]))
    assert table["image_id"].tolist() == NAMES[:2]  # the others do not differ by more than a grey level
    assert np.allclose(table["size"], [0.04, 0.09]) and np.allclose(table["strength"], [0.2, 0.4])


def test_rungs_hold_as_many_values_as_each_other():
    values = np.random.default_rng(0).normal(size=11)
    rung = rungs(values, 3)
    assert np.bincount(rung).tolist() == [0, 4, 4, 3]
    assert values[rung == 1].max() < values[rung == 2].min() <= values[rung == 2].max() < values[rung == 3].min()
    assert rungs(np.ones(4), 2).tolist() == [1, 1, 2, 2] and rungs(np.ones(0), 2).tolist() == []


def climbed() -> pd.DataFrame:
    """Twelve causes of growing size and falling strength; the network uses all, the method finds the larger half."""
    key = pd.DataFrame({"image_id": NAMES, "class_name": "ILD"})
    cases = key.assign(size=np.arange(1, 13) / 100, strength=np.arange(12, 0, -1) / 100)
    effects = key.assign(p_with=np.arange(12) / 12 + 0.05, effect=0.2 + np.arange(12) / 100)
    jitter = np.arange(12) % 3 / 100
    scores = {CONTROL: 0.1 + jitter, "LRP": np.where(np.arange(12) < 6, 0.1 - jitter, 0.8 + jitter)}
    scored = {
        title: pd.concat(
            [
                key.assign(against="cause", hit=0.0, average_precision=values),
                key.assign(against="boxes", hit=1.0, average_precision=1.0),
            ]
        )
        for title, values in scores.items()
    }
    shuffled = effects.sample(frac=1, random_state=0)  # rows are found by their names, not by their order
    return climb(cases, shuffled, scored, dict.fromkeys(scored, CONTROL), 0.5, 2, WEIGHTS)


def test_network_and_method_on_each_rung():
    table = climbed().set_index(["measure", "who", "metric", "rung"]).sort_index()
    assert table.loc[("size", NETWORK, "predicted"), "ours"].tolist() == [0, 1]  # p of 0.05 to 0.47, and 0.55 to 0.97
    assert np.allclose(table.loc[("size", NETWORK, "effect"), "ours"], [0.225, 0.285])
    assert np.allclose(table.loc[("size", "LRP", "average_precision"), "gain"], [-0.02, 0.7])
    assert np.allclose(
        table.loc[("size", "LRP", "average_precision"), ["lowest", "highest"]], [[0.01, 0.06], [0.07, 0.12]]
    )
    assert (table["n"] == 6).all() and table.loc[("size", "LRP", "hit"), "ours"].tolist() == [0, 0]
    assert table.loc[("size", NETWORK, "effect"), "gain"].isna().all()


def test_where_the_map_fails_and_the_network_does_not():
    assert fails_first(climbed()).values.tolist() == [["size", "LRP", 2, 1, "1"], ["strength", "LRP", 2, 1, "2"]]
    unused = climbed()
    unused.loc[(unused["who"] == NETWORK) & (unused["rung"] == 1), "low"] = -0.1
    assert fails_first(unused)["fails"].tolist() == ["none", "2"]


def test_a_method_without_maps_of_a_case_is_scored_on_the_others():
    key = pd.DataFrame({"image_id": NAMES, "class_name": "ILD"})
    scores = key.assign(against="cause", hit=1.0, average_precision=0.5)
    cases, effects = key.assign(size=0.1, strength=0.1), key.assign(p_with=0.5, effect=0.1)
    table = climb(cases, effects, {"LRP": scores[:7]}, {"LRP": "LRP"}, 0.5, 1, WEIGHTS)
    assert set(table.loc[table["who"] == "LRP", "n"]) == {7} and set(table.loc[table["who"] == NETWORK, "n"]) == {12}
