"""Planted shortcuts: networks that read the cue or the cause alone, and scores by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.shortcut import (
    HIDES,
    NO_PLACE,
    NOTHING,
    SHOWS,
    SOMETIMES,
    UNKNOWN,
    ShortcutModel,
    cue_tests,
    detection,
    score_on_cue,
    touches,
    verdict,
)
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import explain
from cxrlib.model.inference import predict
from cxrlib.model.networks import normalise
from cxrlib.show.shortcut_tables import ANY, cue_tests_table, shortcut_table, verdicts

SIZE, LABEL = 32, "ILD"
CUE, CAUSE = (slice(4, 8), slice(24, 28)), (slice(16, 20), slice(8, 12))
EXACT = {
    "gradient": {},
    "input_x_gradient": {},
    "integrated_gradients": {"steps": 2},
    "lrp": {},
    "occlusion": {"window": 4, "stride": 4},
}
"""Methods that are exact for linear networks."""
NAMES = [f"image{number:02}" for number in range(12)]
WEIGHTS = study_weights(NAMES, 200, seed=0)


def linear_network(place: tuple[slice, slice]) -> nn.Module:
    """Reads the mean grey value of one place and nothing else."""
    weight = torch.zeros(3, SIZE, SIZE)
    weight[:, *place] = 1 / 48
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 1))
    network[1].weight.data = weight.reshape(1, -1)
    network[1].bias.data.zero_()
    return network.eval()


def model_of(network: nn.Module, kind: str = "marker", methods: dict = EXACT) -> ShortcutModel:
    """What a network makes of twelve pictures of grey noise, with the cue and without."""
    plain = torch.randint(0, 100, (12, 1, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    planted = plain.clone()
    planted[:, :, *CUE] = 255
    with_cue, without = (predict(network, pictures, 4)[:, 0].numpy() for pictures in (planted, plain))
    truth = np.arange(12) % 2
    cases = pd.DataFrame({"truth": truth, "healthy": truth == 0, "tied": truth == 1}, NAMES)
    probabilities = pd.DataFrame({LABEL: with_cue}, NAMES)
    maps = {
        name: Explanations(probabilities, explain(network, normalise(planted), name, **settings), SIZE, "")
        for name, settings in methods.items()
    }
    cues = (planted.int() - plain.int()).abs()[:, 0] > 1
    return ShortcutModel(kind, 1.0, LABEL, cases.assign(with_cue=with_cue, without=without), planted, cues, maps)


def test_a_network_that_reads_only_the_cue_is_exposed_by_every_exact_method():
    table = shortcut_table([model_of(linear_network(CUE))], WEIGHTS, seed=3)
    assert table["method"].tolist() == list(EXACT)
    assert (table["verdict"] == SHOWS).all() and (table["shows"] == 1).all()
    pixelwise = table[table["method"] != "occlusion"]
    assert np.allclose(pixelwise["energy"], 1)
    assert (table["random"] < 0.5).all() and np.allclose(table["area"], 16 / SIZE**2)
    assert np.allclose(table["low"], 0.025 ** (1 / 12)) and (table["reliance_low"] > 0.2).all()


def test_a_network_that_reads_only_the_cause_has_nothing_to_show():
    table = shortcut_table([model_of(linear_network(CAUSE))], WEIGHTS, seed=3)
    assert (table["verdict"] == NOTHING).all() and (table["reliance"] == 0).all() and (table["shows"] == 0).all()


def test_a_method_that_looks_elsewhere_hides_the_cue():
    model, blind = model_of(linear_network(CUE)), model_of(linear_network(CAUSE), methods={"gradient": {}})
    table = shortcut_table([ShortcutModel(**{**vars(model), "maps": blind.maps})], WEIGHTS, seed=3)
    assert table["verdict"].tolist() == [HIDES]


def test_a_cue_without_a_place_has_one_row_and_so_has_a_label_that_nothing_predicts():
    noise, unseen = (model_of(linear_network(CUE), kind, {}) for kind in ("noise", "marker"))
    unused = model_of(linear_network(CAUSE), "noise", {})
    table = shortcut_table([noise, unseen, unused], WEIGHTS, seed=3)
    assert table["method"].tolist() == [ANY] * 3 and table["n"].tolist() == [0] * 3
    assert table["verdict"].tolist() == [NO_PLACE, UNKNOWN, NOTHING]


def test_without_models_the_tables_are_empty():
    assert shortcut_table([], WEIGHTS, seed=0).empty and cue_tests_table([], 0.5, WEIGHTS).empty


def test_verdicts_are_those_of_the_greatest_strength():
    strong, weak = (model_of(linear_network(place), methods={"gradient": {}}) for place in (CUE, CAUSE))
    table = shortcut_table([ShortcutModel(**{**vars(weak), "strength": 0.0}), strong], WEIGHTS, seed=3)
    assert verdicts(table).to_dict() == {"marker": {"gradient": SHOWS}}


@pytest.mark.parametrize(
    ("peak_low", "peak_gain_low", "energy_gain_low", "said"),
    [
        (0.51, 0.3, 0.1, SHOWS),
        (0.50, 0.3, 0.1, SOMETIMES),
        (0.90, 0.0, 0.1, SOMETIMES),  # random maps' peaks lie there as often
        (0.10, -0.1, 0.1, SOMETIMES),
        (0.10, -0.1, 0.0, HIDES),
        (0.0, np.nan, np.nan, HIDES),
    ],
)
def test_the_rule(peak_low, peak_gain_low, energy_gain_low, said):
    found = {"n": 20, "peak_low": peak_low, "peak_gain_low": peak_gain_low, "energy_gain_low": energy_gain_low}
    assert verdict(found, 0.1) == said
    assert verdict(found, 0.05) == verdict(found, np.nan) == NOTHING
    assert verdict({**found, "n": 4}, 0.1) == UNKNOWN


def test_the_cue_as_in_training_removed_and_swapped_by_hand():
    cases = pd.DataFrame({"truth": [1, 1, 0, 0], "healthy": [False, False, True, True]}, NAMES[:4])
    cases = cases.assign(tied=[True, False, False, False], with_cue=[0.9, 0.8, 0.7, 0.4], without=[0.3, 0.5, 0.4, 0.1])
    found = cue_tests(cases, 0.5, WEIGHTS).set_index("test")["ours"]
    assert np.isclose(found["reliance"], (0.6 + 0.3 + 0.3 + 0.3) / 4)
    # positives 0.9, 0.5 against 0.4, 0.1; 0.3, 0.5 against 0.4, 0.1; 0.3, 0.8 against 0.7, 0.4
    assert found["as in training"] == 1 and found["removed"] == 0.75 and found["swapped"] == 0.5
    assert found["healthy without cue"] == 0 and found["healthy, cue alone"] == 0.5


def test_a_coarse_map_is_on_a_cue_that_its_strongest_cell_covers():
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[0, 9] = True  # far from the centre of its cell
    raw = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    assert touches(raw, mask) == 1 and touches(raw.flip(1), mask) == 0
    assert touches(-raw, mask) == 0 and touches(torch.zeros(2, 2), mask) == 0


def test_random_maps_have_as_many_cells_as_the_method():
    maps = Explanations(pd.DataFrame({LABEL: 0.9}, NAMES), torch.zeros(12, 1, 1, 1), SIZE, "")
    cues = dict.fromkeys(NAMES, torch.ones(SIZE, SIZE, dtype=torch.bool))
    scores = score_on_cue(maps, LABEL, cues, seed=0)
    assert (scores["random_peak"] == 1).all() and (scores["peak"] == 0).all() and (scores["area"] == 1).all()


def test_rates_of_one_and_of_zero_have_exact_bounds():
    about = {"energy": 0.1, "random_peak": 0.0, "random_energy": 0.1}
    every, none = (detection(pd.DataFrame({"image_id": NAMES, "peak": rate, **about}), WEIGHTS) for rate in (1.0, 0.0))
    assert (every["peak_low"], every["peak_high"]) == (
        pytest.approx(0.7354, abs=1e-4),
        1,
    )  # scipy: beta.ppf(0.025, 12, 1)
    assert (none["peak_low"], none["peak_high"]) == (0, pytest.approx(0.2646, abs=1e-4))
    assert every["peak_gain_low"] == 1 and none["peak_gain_low"] == 0 == every["energy_gain_low"]
