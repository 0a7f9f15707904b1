import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from torch import nn

from cxrlib.data.annotations import union_labels
from cxrlib.evaluate.localisation import score_cases
from cxrlib.evaluate.method_scores import (
    chosen_shares,
    method_agreement,
    same_maps,
    score_method,
    score_methods,
    with_controls,
    with_falls,
)
from cxrlib.explain.explanations import Explanations

SIZE, CLASSES, SHARES = 8, ["ILD", "Mass"], [0.125, 0.25, 0.5]


@pytest.fixture
def cohort():
    """The upper right quarter of study v and of study a holds an ILD, the left half of b a mass."""
    annotations = annotation_rows(
        ("v", "ILD", "R1", 4, 0, 8, 4), ("a", "ILD", "R1", 4, 0, 8, 4), ("b", "Mass", "R1", 0, 0, 4, 8)
    )
    return small_cohort(CLASSES, annotations, union_labels(annotations, CLASSES), size=SIZE)


def explained(maps, *image_ids, p=0.9):
    index = pd.Index(image_ids, name="image_id")
    return Explanations(pd.DataFrame(p, index, CLASSES), maps, SIZE, identity="")


def quarter():
    """Maps of both classes that are lit in the upper right quarter, most in its upper half."""
    maps = torch.zeros(1, 2, SIZE, SIZE)
    maps[..., :4, 4:] = 1
    maps[..., :2, 4:] = 2
    return maps


def test_shares_are_chosen_on_the_other_split(cohort):
    valid = explained(quarter(), "v")
    scores = score_cases(cohort, valid, pd.DataFrame({"image_id": ["v"], "class_name": ["ILD"]}), SHARES)
    shares = chosen_shares(scores, CLASSES, SHARES)
    assert (shares == 0.25).all(axis=None)  # the quarter itself; a finding without a case takes the best of all
    test = explained(torch.cat([quarter(), quarter()]), "a", "b")
    cases = pd.DataFrame({"image_id": ["a", "b"], "class_name": ["ILD", "Mass"]})
    scored = score_method(cohort, cases, test, shares)
    assert scored[["all_pairs", "best_match", "mask_iou", "hit"]].loc[0].tolist() == [1, 1, 1, 1]
    assert scored["all_pairs"].tolist() == [1, 0] and scored["hit"].tolist() == [1, 0]
    smaller = score_method(cohort, cases, test, shares.replace(0.25, 0.125))
    assert smaller.loc[0, "all_pairs"] == 0.5


def test_each_protocol_and_class_has_its_own_share(cohort):
    scores = pd.DataFrame({"class_name": ["ILD"] * 3 + ["Mass"] * 3, "share": SHARES * 2})
    scores = scores.assign(all_pairs=[1, 0, 0, 0, 1, 0], best_match=[0, 0, 1, 0, 1, 1], mask_iou=0.5)
    assert chosen_shares(scores, CLASSES, SHARES).to_dict("index") == {
        "ILD": {"all_pairs": 0.125, "best_match": 0.5, "mask_iou": 0.125},
        "Mass": {"all_pairs": 0.25, "best_match": 0.25, "mask_iou": 0.125},
    }


def test_without_a_case_the_smallest_share_is_taken(cohort):
    none = score_cases(cohort, explained(quarter()[:0]), pd.DataFrame({"image_id": [], "class_name": []}), SHARES)
    assert (chosen_shares(none, CLASSES, SHARES) == 0.125).all(axis=None)


def test_every_method_has_the_same_cases_and_a_control_of_its_own_form(cohort):
    maps = {"valid": explained(quarter(), "v"), "test": explained(torch.cat([quarter(), quarter()]), "a", "b")}
    small = {split: one.with_maps(one.maps[..., ::4, ::4]) for split, one in maps.items()}
    methods, control = with_controls({"One": maps, "Other": maps, "Small": small}, seed=1)
    assert list(methods) == ["One", "Other", "Small", "Random 8 x 8", "Random 2 x 2"]
    assert [control[title] for title in methods] == ["Random 8 x 8"] * 2 + [
        "Random 2 x 2",
        "Random 8 x 8",
        "Random 2 x 2",
    ]
    assert methods[control["Small"]]["test"].maps.shape == small["test"].maps.shape
    scored = score_methods(cohort, methods, SHARES)
    cases = {title: list(zip(one["image_id"], one["class_name"], strict=True)) for title, one in scored.items()}
    assert all(one == [("a", "ILD"), ("b", "Mass")] for one in cases.values())
    pd.testing.assert_frame_equal(scored["One"], scored["Other"])


def test_the_probability_falls_where_the_class_is_predicted(cohort):
    """The logit is the image's mean; the white pixels, the top of the map, become grey, so that it falls."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    nn.init.ones_(network[2].weight)
    image = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.uint8)
    image[..., :2, 4:] = 255
    test = explained(quarter(), "a")
    test.probabilities["Mass"] = 0.1
    scored = {"One": pd.DataFrame({"image_id": ["a", "a"], "class_name": ["ILD", "Mass"], "hit": 1.0})}
    found = with_falls(scored, {"One": {"test": test}}, network, image, threshold=0.5, batch_size=4)["One"]
    assert found.loc[0, "fall"] > 0 and np.isnan(found.loc[1, "fall"])


def test_maps_that_differ_in_scale_only_are_the_same():
    one, other = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4) - 0.5
    maps = {"A": one, "B": 7 * one, "C": other, "D": torch.where(one > 0.5, one, -0.1), "E": one.clamp(min=0.5)}
    maps |= {"F": 2 * other, "G": other.clamp(min=0), "H": -other, "I": torch.rand(3, 2, 5, 5)}
    assert same_maps({title: explained(one, "x", "y", "z") for title, one in maps.items()}) == {"B": "A", "F": "C"}


def test_methods_agree_as_their_ranks_do():
    grid = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 2, 4, 4)
    maps = {"A": grid, "B": 2 * grid, "C": -grid, "D": torch.zeros(1, 2, 4, 4)}
    cases = pd.DataFrame({"image_id": ["x", "x"], "class_name": CLASSES})
    found = method_agreement(cases, {title: explained(one, "x") for title, one in maps.items()})
    assert found.loc["A", ["A", "B", "C"]].round(6).tolist() == [1, 1, -1]
    assert found["D"].isna().all()


def test_no_case_has_no_agreement():
    found = method_agreement(pd.DataFrame({"image_id": [], "class_name": []}), {"A": explained(quarter(), "x")})
    assert found.isna().all(axis=None)
