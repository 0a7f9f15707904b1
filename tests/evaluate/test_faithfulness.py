"""Falls beside controls, on a linear network whose probabilities are computed by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import CountedForwards, annotation_rows, small_cohort
from torch import nn

from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.controls import CASE_COLUMNS, beside_controls
from cxrlib.evaluate.deletion import area_cases
from cxrlib.evaluate.faithfulness import (
    CONTROLS,
    CURVE_COLUMNS,
    INPAINTED,
    KEPT,
    LEAST,
    MEAN,
    MEAN_HEATMAP,
    OWN,
    RANDOM_PIXELS,
    RANDOM_REGION,
    READERS,
    ROAD,
    CurveSettings,
    fall_cases,
    perturbation_curves,
)
from cxrlib.evaluate.perturbation import blurred_image, mean_image
from cxrlib.evaluate.phantom import TWIN, TwinCases
from cxrlib.explain.explanations import Explanations
from cxrlib.model.inference import predict
from cxrlib.model.networks import normalise

SIZE, CLASSES, SHARES = 8, ["ILD", "Mass"], [0.125, 0.5]
HOW = CurveSettings(threshold=0.6, shares=SHARES, kernels=[3, 5], batch_size=4, seed=1)


class Reader(nn.Module):
    """Logits: the mean of the upper left quarter, and of the whole image, less that of a grey image."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, inputs):
        bright = inputs.mean(1) - float(normalise(torch.full((1, 1, 1, 1), 100, dtype=torch.uint8)).mean())
        return torch.stack([bright[:, :4, :4].mean((1, 2)), bright.mean((1, 2))], 1) * self.scale


@pytest.fixture(scope="module")
def network():
    return Reader().eval()


@pytest.fixture(scope="module")
def images():
    """Two dark studies whose upper left quarter is bright, and one that is dark throughout."""
    images = torch.full((3, 1, SIZE, SIZE), 60, dtype=torch.uint8)
    images[:2, :, :4, :4] = 220
    return images


@pytest.fixture(scope="module")
def cohort():
    boxes = [("a", "ILD", "R1", 0, 0, 4, 4), ("b", "Mass", "R1", 0, 0, 1, 1)]
    labels = pd.DataFrame({"ILD": [1, 1, 1, 0], "Mass": [0, 0, 0, 0]}, list("abxy"))
    return small_cohort(CLASSES, annotation_rows(*boxes), labels=labels, size=SIZE)


def explained(network, images, quarter, ids):
    """Maps of distinct values, highest in the upper left quarter; the reverse where not `quarter`."""
    row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    values = 1000.0 - 100 * torch.maximum(row, column) - SIZE * row - column
    maps = (values if quarter else 1237 - values).expand(len(ids), 2, SIZE, SIZE).clone()
    probabilities = predict(network, images, 4)
    return Explanations(pd.DataFrame(probabilities.numpy(), pd.Index(ids, name="image_id"), CLASSES), maps, SIZE, "")


@pytest.fixture(scope="module")
def methods(network, images):
    return {
        "right": explained(network, images, True, list("abc")),
        "wrong": explained(network, images, False, list("abc")),
    }


@pytest.fixture(scope="module")
def others(network, images):
    return {"right": explained(network, images[:2], True, list("xy"))}


@pytest.fixture(scope="module")
def twins():
    image = torch.full((1, 1, SIZE, SIZE), 60, dtype=torch.uint8)
    return TwinCases(pd.DataFrame({"image_id": ["a"], "class_name": ["ILD"]}), image + 160, image)


@pytest.fixture(scope="module")
def curves(network, images, cohort, methods, others, twins):
    return perturbation_curves(network, images, cohort, methods, others, twins, HOW)


def probability(network, image, column):
    with torch.no_grad():
        return float(network(normalise(image[None]))[0, column].sigmoid())


def test_only_predicted_classes_are_replaced(curves):
    assert curves.columns.tolist() == CURVE_COLUMNS
    assert set(zip(curves["image_id"], curves["class_name"], strict=True)) == {("a", "ILD"), ("b", "ILD")}
    assert set(curves["method"]) == {"right", "wrong"}


def test_the_fall_of_the_top_pixels_is_that_of_a_plain_loop(curves, network, images, methods):
    for title, share, count in [("right", 0.125, 8), ("right", 0.5, 32), ("wrong", 0.5, 32)]:
        top = methods[title].maps[0, 0].flatten().argsort(descending=True, stable=True)[:count]
        changed = images[0].flatten().clone()
        changed[top] = round(float(images[0].float().mean()))
        known = (curves["method"] == title) & (curves["share"] == share) & (curves["pixels"] == OWN)
        found = curves[known & (curves["replacement"] == MEAN)].set_index("image_id").loc["a"]
        assert found["after"] == pytest.approx(probability(network, changed.reshape(1, SIZE, SIZE), 0), abs=1e-6)
        assert found["before"] == pytest.approx(probability(network, images[0], 0), abs=1e-6)
        assert found["covered"] == count / SIZE**2


def test_every_control_has_as_many_pixels_as_the_heatmap(curves):
    assert set(curves["pixels"]) == {OWN, *CONTROLS}
    assert (curves["covered"] == curves["share"]).all()


def test_the_least_important_pixels_of_the_reverse_are_the_most_important_ones(curves):
    falls = fall_cases(curves).query("measure == 'fall mean 50 %' and image_id == 'a'")
    least = falls[falls["control"] == LEAST].set_index("method")
    assert least.loc["wrong", "control_score"] == pytest.approx(least.loc["right", "score"], abs=0.02)
    assert least.loc["right", "score"] > least.loc["right", "control_score"] + 0.3


def test_the_readers_boxes_are_left_out_where_they_hold_fewer_pixels(curves):
    boxed = curves[curves["pixels"] == READERS]
    assert set(zip(boxed["image_id"], boxed["share"], strict=True)) == {("a", 0.125)}  # 16 pixels; b's is another class


def test_inside_the_boxes_every_pixel_is_bright(curves, network, images):
    found = curves[(curves["pixels"] == READERS) & (curves["replacement"] == MEAN)].iloc[0]
    changed = images[0].clone()
    changed[0].view(-1)[torch.arange(8) % 4 + 8 * (torch.arange(8) // 4)] = round(float(images[0].float().mean()))
    assert found["after"] == pytest.approx(probability(network, changed, 0), abs=1e-6)  # whichever 8 of the 16


def test_the_mean_heatmap_chooses_what_the_others_share(curves):
    usual = curves[curves["pixels"] == MEAN_HEATMAP]
    assert set(usual["method"]) == {"right"}, "the other method has no other studies"
    own = curves[(curves["method"] == "right") & (curves["pixels"] == OWN) & (curves["replacement"] != KEPT)]
    both = own.merge(usual, on=["image_id", "class_name", "method", "replacement", "share"])
    assert len(both) == len(own)
    np.testing.assert_allclose(both["after_x"], both["after_y"], atol=1e-6)


def test_every_replacement_is_tried_at_the_share_nearest_to_a_tenth(curves):
    own = curves[(curves["pixels"] == OWN) & (curves["image_id"] == "a") & (curves["method"] == "right")]
    names = own.groupby("share")["replacement"].agg(set)
    assert names[0.125] == {MEAN, "blur 3", "blur 5", INPAINTED, ROAD, TWIN, KEPT}
    assert names[0.5] == {MEAN, KEPT}
    assert TWIN not in set(curves.loc[curves["image_id"] == "b", "replacement"]), "b has no twin"


def test_the_twin_lends_its_own_pixels(curves, network, images):
    found = curves[(curves["replacement"] == TWIN) & (curves["pixels"] == READERS)].iloc[0]
    changed = images[0].clone()
    changed[0, :2, :4] = 60
    assert found["after"] == pytest.approx(probability(network, changed, 0), abs=1e-6)


def test_the_ends_of_the_curves_are_the_grey_and_the_blurred_image(curves, network, images):
    own = curves[(curves["pixels"] == OWN) & (curves["image_id"] == "a")].groupby("replacement")["whole"].first()
    assert own[MEAN] == pytest.approx(probability(network, mean_image(images[0]), 0), abs=1e-6)
    assert own[KEPT] == pytest.approx(probability(network, blurred_image(images[0], 5), 0), abs=1e-6)


def test_a_right_map_gains_and_a_wrong_one_loses_by_every_area(curves):
    cases = area_cases(curves)
    assert set(cases["measure"]) == {"deletion", "insertion", "AOPC"}
    gains = cases.assign(gain=cases["score"] - cases["control_score"])
    gains = gains[gains["control"] == RANDOM_PIXELS].groupby(["measure", "method"])["gain"].mean().unstack()
    assert (gains["right"] > 0.01).all() and (gains["wrong"] < 0).all()


def test_pictures_that_are_alike_are_predicted_once(network, images, cohort, methods, others):
    right, passes = methods["right"], []
    for given in ({"right": right}, {"right": right, "again": right}):
        with CountedForwards(network) as forwards:
            perturbation_curves(network, images, cohort, given, others, None, HOW)
        passes.append(len(forwards.images))
        assert max(map(len, forwards.batches)) <= HOW.batch_size
    s, k, t = len(SHARES), len(HOW.kernels), 0
    a_class, boxes, shared = 4 * s + 4 * (k + 2 + t) + 2 * s, s + k + 2 + t, 2 * s + k + 4
    assert passes[0] == passes[1] <= 2 * (a_class + boxes + shared)  # two studies with one class each
    # the mean heatmap is the map itself, and no mask of 32 pixels fits into the boxes of 16, which one study lacks
    saved = 2 * (s + k + 2) + (s + k + 2) + 1
    assert passes[0] == 2 * (a_class + boxes + shared) - saved


def test_a_study_has_the_same_controls_in_another_list(network, images, cohort, methods, others, curves):
    alone = {title: one.of(["b"]) for title, one in methods.items()}
    found = perturbation_curves(network, images[1:2], cohort, alone, others, None, HOW)
    expected = curves[curves["image_id"] == "b"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, atol=1e-6)


def test_other_seeds_draw_other_pixels(network, images, cohort, methods, others, curves):
    other = CurveSettings(HOW.threshold, SHARES, HOW.kernels, HOW.batch_size, seed=2)
    found = perturbation_curves(network, images, cohort, methods, others, None, other)
    known = curves[curves["replacement"] != TWIN].reset_index(drop=True)
    drawn = (found["after"] - known["after"]).abs().groupby(found["pixels"]).max()
    assert drawn[RANDOM_REGION] > 0.01 and drawn[RANDOM_PIXELS] > 0.01 and drawn[OWN] < 0.03  # ROAD's noise alone


def without(methods, value):
    one = methods["right"]
    return {"flat": one.with_maps(torch.full_like(one.maps, value))}


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, float("nan")])
def test_a_map_that_chooses_nothing_has_no_row(network, images, cohort, methods, value):
    found = perturbation_curves(network, images, cohort, without(methods, value), {}, None, HOW)
    assert found.empty and found.columns.tolist() == CURVE_COLUMNS
    both = pd.concat([fall_cases(found), area_cases(found)], ignore_index=True)
    assert both.empty and both.columns.tolist() == CASE_COLUMNS
    assert beside_controls(both, CLASSES, study_weights(list("abc"), 100, 0)).empty


def test_a_map_with_a_value_that_is_no_number_has_no_row(network, images, cohort, methods):
    maps = methods["right"].maps.clone()
    maps[..., 5, 5] = float("nan")
    broken = {"broken": methods["right"].with_maps(maps)}
    assert perturbation_curves(network, images, cohort, broken, {}, None, HOW).empty


def test_a_sparse_map_is_compared_with_as_few_pixels(network, images, cohort, methods):
    maps = methods["right"].maps.clone()
    maps[..., 2:, :] = 0
    sparse = {"sparse": methods["right"].with_maps(maps)}
    found = perturbation_curves(network, images, cohort, sparse, {}, None, HOW)
    largest = found[(found["share"] == 0.5) & (found["replacement"] == MEAN)]
    assert largest["covered"].nunique() == 1 and largest["covered"].iloc[0] < 0.5


def test_nothing_predicted_and_no_method_give_an_empty_table(network, images, cohort, methods, others):
    never = CurveSettings(1.1, SHARES, HOW.kernels, HOW.batch_size, seed=1)
    for given in (methods, {}):
        found = perturbation_curves(network, images, cohort, given, others, None, never)
        assert found.empty and found.columns.tolist() == CURVE_COLUMNS


def test_the_falls_are_in_the_common_form(curves):
    cases = fall_cases(curves)
    assert cases.columns.tolist() == CASE_COLUMNS
    assert {"fall mean 12.5 %", "fall mean 50 %", "fall ROAD 12.5 %", "fall twin 12.5 %"} <= set(cases["measure"])
    assert not cases["measure"].str.contains(KEPT).any()
    assert not cases.duplicated(["image_id", "class_name", "method", "measure", "control"]).any()
