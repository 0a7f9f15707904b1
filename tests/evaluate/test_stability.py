"""Agreement of smoothed maps with the plain ones, by name."""

import pandas as pd
import pytest
import torch

from cxrlib.evaluate.stability import map_agreement, mean_agreement, smoothing_agreement
from cxrlib.explain.explanations import Explanations

COLUMNS = ["image_id", "class_name", "noise_level", "rank_correlation", "kept", "outside"]


@pytest.fixture
def plain():
    probabilities = pd.DataFrame({"A": [0.9, 0.1, 0.5], "B": [0.2, 0.3, 0.8]}, pd.Index(["x", "y", "z"]))
    maps = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    return Explanations(probabilities, maps, 8, "")


def test_each_smoothed_map_is_compared_with_its_own_plain_map(plain):
    """At level 0.1 the maps of z and x are those of the plain store, at 0.2 they are turned around."""
    same = plain.with_maps(plain.maps[[2, 0]], ["z", "x"])
    found = smoothing_agreement(plain, {0.1: same, 0.2: same.with_maps(1 - same.maps)}, threshold=0.5)
    assert found.columns.tolist() == COLUMNS
    named = list(found[["noise_level", "image_id", "class_name"]].itertuples(index=False, name=None))
    cases = [("z", "A"), ("z", "B"), ("x", "A")]
    assert named == [(level, *case) for level in (0.1, 0.2) for case in cases]
    assert found["rank_correlation"].tolist() == pytest.approx([1, 1, 1, -1, -1, -1])
    assert found["kept"][:3].tolist() == [1, 1, 1] and (found["kept"][3:] == 0).all()
    by_hand = map_agreement(plain.maps[[2, 0]], 1 - same.maps, torch.tensor([[True, True], [True, False]]), 8)
    assert found["outside"][3:].tolist() == by_hand["outside"].tolist()


def test_nothing_predicted_gives_tables_of_no_rows(plain):
    found = smoothing_agreement(plain, {0.1: plain}, threshold=0.95)
    assert found.empty and found.columns.tolist() == COLUMNS
    assert mean_agreement(found).empty


def test_means_are_taken_per_level_and_class():
    rows = [("x", "A", 0.1, 1.0, 0.5, 0.0), ("y", "A", 0.1, 0.0, 0.3, 0.2), ("y", "B", 0.2, 0.4, 0.6, 0.1)]
    means = mean_agreement(pd.DataFrame(rows, columns=COLUMNS))
    assert means.index.tolist() == [(0.1, "A"), (0.2, "B")]
    assert means.loc[(0.1, "A")].tolist() == pytest.approx([0.5, 0.4, 0.1, 2])
    assert means.loc[(0.2, "B"), "n"] == 1


def test_a_map_of_zeros_has_no_rank_correlation_and_warns_of_nothing(plain, recwarn):
    zeros = torch.zeros_like(plain.maps)
    found = map_agreement(plain.maps, zeros, torch.tensor([[True, False]] * 3), size=8)
    assert found["rank_correlation"].isna().all() and (found["kept"] == 0).all()
    assert [str(warning.message) for warning in recwarn] == []  # a notebook would show it on red
