"""Which class has the map that is most alike, against SciPy."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from cxrlib.explain.explanations import Explanations
from cxrlib.show.likeness import alike_among, alike_in_words, like_in_words, most_alike

CLASSES = ["A", "B", "C", "D"]


@pytest.fixture
def explained():
    maps = torch.rand(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    maps[0, 1] = maps[0, 0] ** 2  # the same order of the cells
    maps[0, 3] = 0
    return Explanations(pd.DataFrame(0.5, ["i", "j"], CLASSES), maps, 8, "")


def test_the_most_alike_class_has_the_highest_rank_correlation(explained):
    assert most_alike(explained, "i", "A") == ("B", pytest.approx(1))
    assert like_in_words(explained, "i", "A") == "r = 1.00 with B"
    found, r = most_alike(explained, "j", "C")
    flat = explained.maps[1].flatten(1).numpy()
    expected = {name: spearmanr(flat[2], one)[0] for name, one in zip(CLASSES, flat, strict=True) if name != "C"}
    assert found == max(expected, key=expected.get) and r == pytest.approx(expected[found])


def test_a_map_of_zeros_is_like_no_other(explained):
    assert most_alike(explained, "i", "D") is None and like_in_words(explained, "i", "D") == ""


def test_maps_of_several_studies_are_compared_in_pairs(explained):
    cases = [("i", "A"), ("i", "C"), ("j", "A")]
    flat = [explained.map(*case).flatten().numpy() for case in cases]
    expected = np.mean([spearmanr(flat[a], flat[b])[0] for a, b in [(0, 1), (0, 2), (1, 2)]])
    assert alike_among(explained, cases) == pytest.approx(expected)
    assert alike_in_words(explained, cases).endswith(f"is {expected:.2f} on average.".replace("-", "−"))
    assert np.isnan(alike_among(explained, [("i", "A"), ("i", "D")]))
    assert alike_in_words(explained, [("i", "A"), ("i", "D")]) == alike_in_words(explained, [("i", "A")]) == ""
