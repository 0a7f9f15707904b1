"""The sentence on replaced pixels: its numbers and its verdict."""

import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from cxrlib.show.figures.perturbation_figures import fall_in_words, replaced_grid

P = pd.DataFrame({"A": [0.8, 0.6], "B": [0.5, 0.5]}, ["x", "y"])


def drops(*falls: float) -> pd.DataFrame:
    """Of class A on study x at 2, 10 and 50 %, with rows that the sentence must leave alone."""
    rows = [("x", "A", "mean", share, fall, -9.0) for share, fall in zip((0.02, 0.1, 0.5), falls, strict=True)]
    rows += [("x", "A", "blur 11", 0.1, 9.0, 9.0), ("y", "A", "mean", 0.1, 9.0, 9.0), ("x", "B", "mean", 0.1, 9.0, 9.0)]
    return pd.DataFrame(rows[::-1], columns=["image_id", "heatmap_class", "transform", "share", "A", "B"])


@pytest.mark.parametrize(
    ("fall", "after", "said"),
    [
        (0.5, "0.30", "these pixels matter."),
        (0.4, "0.40", "these pixels matter."),
        (0.3, "0.50", "these pixels matter, but not alone."),
        (0.04, "0.76", "the network does without these pixels."),
        (-0.04, "0.84", "the network does without these pixels."),
        (-0.15, "0.95", "the network is surer without them."),
    ],
)
def test_the_sentence_says_the_numbers_of_its_case_and_what_they_mean(fall, after, said):
    sentence = fall_in_words(drops(0.0, fall, 0.0), P, "x", "A", 0.1)
    assert sentence == f"Replacing the top 10 % by the mean grey takes p from 0.80 to {after}: {said}"


def test_the_nearest_share_is_taken_and_a_case_that_was_not_looked_at_says_nothing():
    assert "top 50 %" in fall_in_words(drops(0.0, 0.1, 0.2), P, "x", "A", 0.4)
    assert fall_in_words(drops(0.0, 0.1, 0.2), P, "y", "B", 0.1) == ""


def test_titles_say_the_share_that_was_replaced():
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    figure = replaced_grid(image, {"mean": image, "blur 11": image}, "Mass", 0.5)
    assert [ax.get_title().split(":")[0] for ax in figure.axes[1:3]] == ["top 50 % replaced"] * 2
    plt.close(figure)
