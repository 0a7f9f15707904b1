"""Sanity checks on networks in miniature: which maps, beside which others, and how verdicts are read."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import CountedForwards, SmallNet

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.controls import beside_controls
from cxrlib.evaluate.invariance import Shifted, whole_range
from cxrlib.evaluate.randomisation import layers_in_order, random_weights, stops
from cxrlib.evaluate.sanity import (
    beside_other_images,
    explain_cases,
    likeness_cases,
    places_of,
    similarity_over_layers,
    with_verdicts,
    without_score,
)
from cxrlib.evaluate.similarity import MEASURES, rank_correlation, similarities
from cxrlib.explain import explain
from cxrlib.model.networks import normalise

IDS, CLASSES = ["a", "b", "c"], ["A", "B", "C"]
IMAGES = normalise(torch.randint(0, 256, (3, 1, 24, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8))
CASES = pd.DataFrame({"image_id": ["c", "a", "c", "x"], "class_name": ["B", "B", "A", "A"]})


@pytest.fixture
def network():
    return SmallNet().eval()


def by(method):
    return lambda network, images, classes: explain(network, images, method=method, classes=classes)


@pytest.mark.parametrize("at_once", [True, False])
def test_every_case_gets_the_map_of_its_own_class(network, at_once):
    places = places_of(CASES, IDS, CLASSES)
    assert places.cases["image_id"].tolist() == ["c", "a", "c"]  # x is not explained
    whole = explain(network, IMAGES, method="gradient")
    with CountedForwards(network) as counted:
        found = explain_cases(by("gradient"), network, IMAGES, places, at_once)
    torch.testing.assert_close(found, whole[[2, 0, 2], [1, 1, 0]])
    assert len(counted.images) == (2 if at_once else 3)  # images, or cases


def test_others_are_the_same_class_of_other_images():
    maps = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    places = places_of(CASES, IDS, CLASSES)
    assert torch.equal(places.of(maps, 1), maps[[0, 1, 0], [1, 1, 0]])
    found = beside_other_images(places.of(maps), maps, places, 48)["rank correlation", "raw"]
    pairs = [similarities(maps[[2]][:, 1], maps[[other]][:, 1], 48)["rank correlation", "raw"] for other in (0, 1)]
    assert found[0].item() == pytest.approx(torch.cat(pairs).mean().item())
    alone = places_of(CASES[:1], ["c"], CLASSES)
    assert beside_other_images(maps[:1, 0], maps[2:], alone, 48)["ssim", "raw"].isnan().all()


def test_the_map_changes_with_the_layers_and_the_network_returns(network):
    before_state = {name: value.clone() for name, value in network.state_dict().items()}
    places = places_of(CASES, IDS, CLASSES)
    order = layers_in_order(network, IMAGES)
    assert order == ["first", "norm", "second", "fc"]
    maps = explain_cases(by("gradient"), network, IMAGES, places, False)
    calls = []

    def explain_these(changed):
        calls.append(
            {name for name, value in changed.state_dict().items() if not torch.equal(value, before_state[name])}
        )
        return explain_cases(by("gradient"), changed, IMAGES, places, False)

    counts = stops(order, 3)
    rows, last = similarity_over_layers(explain_these, network, random_weights(network, 0), order, counts, maps, 24)
    table = pd.DataFrame(rows)
    assert counts == [1, 2, 4] and len(table) == 3 * 2 * len(MEASURES) and len(calls) == 5
    assert calls[0] == {"fc.weight", "fc.bias"} and calls[2] == {"second.weight", "second.bias"}
    assert calls[3] >= {"first.weight", "second.weight", "fc.weight"} and calls[4] == {"first.weight", "first.bias"}
    assert table.groupby("layers")["layer"].first().to_dict() == {1: "fc", 2: "second", 4: "first"}
    assert all(torch.equal(value, before_state[name]) for name, value in network.state_dict().items())
    own = table[(table["similarity"] == "ssim") & (table["form"] == "raw") & (table["how"] == "cascade")]
    assert own["mean"].iloc[-1] == pytest.approx(last["ssim", "raw"].mean().item()) and own["mean"].max() < 0.99


def test_a_map_that_ignores_the_network_fails_and_one_of_noise_passes():
    """Twelve images: an edge detector, whose map stays, and a map that is drawn anew for each network."""
    generator = torch.Generator().manual_seed(2)
    ids = [f"image{number}" for number in range(12)]
    places = places_of(pd.DataFrame({"image_id": ids, "class_name": "A"}), ids, ["A"])
    weights = study_weights(ids, 100, 0)
    edges, noise, after = (torch.rand(12, 1, 24, 24, generator=generator) for _ in range(3))
    verdicts = {}
    for name, before, later in (("edges", edges, edges), ("noise", noise, after)):
        smooth = [torch.nn.functional.avg_pool2d(one, 7, 1, 3) for one in (before, later)]
        found = similarities(smooth[0][:, 0], smooth[1][:, 0], 48)
        beside = beside_other_images(smooth[0][:, 0], smooth[0], places, 48)
        cases = likeness_cases("parameters randomised", places, found, beside, alike=False).assign(method=name)
        table = with_verdicts(beside_controls(cases, ["A"], weights))
        verdicts[name] = set(table["verdict"])
    assert verdicts["edges"] == {"fail"} and "fail" not in verdicts["noise"]


def test_measures_are_named_after_the_check_the_similarity_and_the_form():
    places = places_of(CASES, IDS, CLASSES)
    found = {measure: torch.full((3,), float(number)) for number, measure in enumerate(MEASURES)}
    cases = likeness_cases("seeds", places, found, found, alike=True)
    assert cases["measure"].unique().tolist() == [
        "seeds (ssim)",
        "seeds (rank correlation)",
        "seeds (hog)",
        "seeds (ssim, absolute)",
        "seeds (rank correlation, absolute)",
        "seeds (hog, absolute)",
    ]
    assert cases["score"].tolist() == np.repeat(range(6), 3).tolist()


@pytest.mark.parametrize(("method", "agrees"), [("gradient", True), ("input_x_gradient", False), ("gradcam", True)])
def test_a_shift_that_is_taken_back_changes_only_methods_that_read_the_input(network, method, agrees):
    shift = whole_range()
    parameters = ({"layer": "second"}, {"layer": "network.second"}) if method == "gradcam" else ({}, {})
    before = explain(network, IMAGES, method=method, classes=[1], **parameters[0])[:, 0]
    after = explain(Shifted(network, shift), IMAGES + shift, method=method, classes=[1], **parameters[1])[:, 0]
    torch.testing.assert_close(Shifted(network, shift)(IMAGES + shift), network(IMAGES), atol=1e-4, rtol=1e-4)
    assert bool((rank_correlation(before, after) > 0.99).all()) == agrees


def test_a_verdict_needs_the_whole_interval():
    rows = {"gain": [0.2, -0.2, 0.1, -0.1], "gain_low": [0.1, -0.3, -0.1, -0.3], "gain_high": [0.3, -0.1, 0.3, 0.1]}
    assert with_verdicts(pd.DataFrame(rows).assign(n=9))["verdict"].tolist() == ["pass", "fail", "open", "open"]


def test_verdicts_of_intervals_that_do_not_exist():
    rows = {"gain": [0.3, 0.3, -0.1, np.nan], "gain_low": np.nan, "gain_high": np.nan, "n": [9, 3, 9, 0]}
    assert with_verdicts(pd.DataFrame(rows))["verdict"].tolist() == ["pass", "open", "fail", "open"]


def test_cases_without_a_score_are_counted_with_their_reason():
    about = {"image_id": "a", "class_name": "A", "measure": "input shifted", "control_score": 0.99}
    rows = [
        {**about, "method": "LRP", "score": np.nan, "because": "no rule"},
        {**about, "method": "CAM", "score": np.nan, "because": np.nan},
        {**about, "method": "CAM", "score": 1.0, "because": np.nan},
    ]
    found = without_score(pd.DataFrame(rows))
    assert found[["method", "n"]].values.tolist() == [["LRP", 1], ["CAM", 1]]
    assert found["because"].tolist() == ["no rule", "a constant map, or no other one to compare"]
    assert without_score(pd.DataFrame(rows[2:])).empty
