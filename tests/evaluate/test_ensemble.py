"""Networks trained again: their mean, and how alike their maps are."""

import pandas as pd
import pytest
import torch

from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.ensemble import ENSEMBLE, agreements, mean_explanations, trained_again_cases, with_ensemble
from cxrlib.evaluate.similarity import rank_correlation
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale

CASES = pd.DataFrame({"image_id": ["b", "a"], "class_name": ["A", "B"]})


def explained(maps, probability=0.5):
    return Explanations(pd.DataFrame(probability, ["a", "b"], ["A", "B"]), maps, 48, "")


def random_maps(seed, cells=3):
    return explained(torch.rand(2, 2, cells, cells, generator=torch.Generator().manual_seed(seed)))


def test_members_count_alike_whatever_their_scale_and_their_cells():
    """The second member has the larger values and the finer cells; each is divided by its maximum."""
    coarse = explained(torch.tensor([[[[1.0]], [[0.0]]]] * 2), 0.25)
    fine = explained(torch.tensor([[[[0.0, 50.0], [100.0, 0.0]]] * 2] * 2), 0.75)
    mean = mean_explanations([coarse, fine])
    assert mean.maps[0, 0].tolist() == [[0.5, 0.75], [1.0, 0.5]]
    assert mean.maps[0, 1].tolist() == [[0.0, 0.25], [0.5, 0.0]]
    assert (mean.probabilities == 0.5).all(axis=None) and mean.input_size == 48


def test_one_network_is_no_ensemble_and_an_empty_split_stays_empty():
    one, other = random_maps(0), random_maps(1, cells=2)
    assert list(with_ensemble({"first": {"test": one}})) == ["first"]
    maps = {"valid": one.of([]), "test": one}, {"valid": other.of([]), "test": other}
    mean = with_ensemble(dict(zip(["first", "second"], maps, strict=True)))[ENSEMBLE]
    assert mean["valid"].maps.shape == (0, 2, 3, 3) and mean["test"].maps.shape == (2, 2, 3, 3)


def test_the_mean_is_compared_with_the_network_that_it_does_not_hold():
    networks = {name: random_maps(seed) for seed, name in enumerate(["first", "second", "third"])}
    found = agreements(networks, CASES)
    large = {name: upscale(one.maps_of(CASES), 48) for name, one in networks.items()}
    first = (rank_correlation(large["first"], large["second"]) + rank_correlation(large["first"], large["third"])) / 2
    assert found["first"]["agreement"].tolist() == pytest.approx(first.tolist())
    without = [
        rank_correlation(
            upscale(mean_explanations([one for other, one in networks.items() if other != name]).maps_of(CASES), 48),
            large[name],
        )
        for name in networks
    ]
    assert found[ENSEMBLE]["agreement"].tolist() == pytest.approx(torch.stack(without).mean(0).tolist())
    assert (
        ENSEMBLE not in agreements(dict(list(networks.items())[:2]), CASES) and agreements({"one": large}, CASES) == {}
    )


def test_maps_of_another_training_stand_beside_its_maps_of_other_images():
    own, again = random_maps(0), random_maps(1, cells=4)
    cases = trained_again_cases("seeds", "Grad-CAM", own, [again, own], CASES)
    assert cases.columns.tolist() == [*CASE_COLUMNS, "because"] and len(cases) == 6 * len(CASES)
    ranked = cases[cases["measure"] == "seeds (rank correlation)"].set_index("image_id")
    large = [upscale(one.maps_of(CASES), 48) for one in (own, again)]
    assert ranked.loc["b", "score"] == pytest.approx((rank_correlation(*large)[0].item() + 1) / 2)
    others = [upscale(one.map("a", "A")[None], 48) for one in (again, own)]
    beside = [rank_correlation(large[0][:1], other).item() for other in others]
    assert ranked.loc["b", "control_score"] == pytest.approx(sum(beside) / 2)
    assert trained_again_cases("seeds", "Grad-CAM", own, [], CASES).columns.tolist() == [*CASE_COLUMNS, "because"]
