"""Areas of curves: by hand and against scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc

from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.deletion import area_cases, area_over, area_under
from cxrlib.evaluate.faithfulness import CURVE_COLUMNS, KEPT, MEAN, OWN, RANDOM_REGION


def test_the_area_is_that_of_trapezoids():
    assert area_under(np.array([0.0, 0.1, 0.5, 1.0]), np.array([1.0, 0.6, 0.2, 0.0])) == pytest.approx(
        0.1 * 0.8 + 0.4 * 0.4 + 0.5 * 0.1
    )
    assert np.isnan(area_under(np.array([0.0, 0.5, 1.0]), np.array([1.0, np.nan, 0.0])))


def test_it_equals_scikit_learns_area():
    random = np.random.default_rng(0)
    shares, curves = np.sort(random.random((4, 9)), axis=1), random.random((4, 9))
    found = area_under(shares, curves)
    assert found == pytest.approx([auc(share, curve) for share, curve in zip(shares, curves, strict=True)])


def test_the_area_over_the_curve_counts_the_untouched_image_as_a_step():
    assert area_over(np.array([0.9, 0.5]), np.array([[0.7, 0.5, 0.3], [0.5, 0.5, 0.5]])) == pytest.approx([0.3, 0.0])


def rows(pixels, replacement, covered, after, whole, before=0.8, image_id="a"):
    about = {"image_id": image_id, "class_name": "Mass", "method": "CAM", "replacement": replacement, "pixels": pixels}
    return pd.DataFrame({**about, "share": [0.2, 0.5], "covered": covered, "before": before, "after": after}).assign(
        whole=whole
    )[CURVE_COLUMNS]


@pytest.fixture
def curves():
    return pd.concat(
        [
            rows(OWN, MEAN, [0.2, 0.4], [0.4, 0.2], 0.1),  # sparse: only 40 % of the pixels are positive
            rows(RANDOM_REGION, MEAN, [0.2, 0.4], [0.8, 0.7], 0.1),
            rows(OWN, KEPT, [0.2, 0.4], [0.5, 0.8], 0.3),
            rows(RANDOM_REGION, KEPT, [0.2, 0.4], [0.3, 0.4], 0.3),
        ]
    )


def test_deletion_insertion_and_aopc_by_hand_and_higher_is_better(curves):
    found = area_cases(curves).set_index("measure")
    assert found.columns.tolist() == [name for name in CASE_COLUMNS if name != "measure"]
    assert (found["control"] == RANDOM_REGION).all()
    own = 0.2 * (0.8 + 0.4) / 2 + 0.2 * (0.4 + 0.2) / 2 + 0.6 * (0.2 + 0.1) / 2
    other = 0.2 * (0.8 + 0.8) / 2 + 0.2 * (0.8 + 0.7) / 2 + 0.6 * (0.7 + 0.1) / 2
    assert found.loc["deletion", ["score", "control_score"]].tolist() == pytest.approx([1 - own, 1 - other])
    own = 0.2 * (0.3 + 0.5) / 2 + 0.2 * (0.5 + 0.8) / 2 + 0.6 * (0.8 + 0.8) / 2
    other = 0.2 * (0.3 + 0.3) / 2 + 0.2 * (0.3 + 0.4) / 2 + 0.6 * (0.4 + 0.8) / 2
    assert found.loc["insertion", ["score", "control_score"]].tolist() == pytest.approx([own, other])
    assert found.loc["AOPC", ["score", "control_score"]].tolist() == pytest.approx([(0.4 + 0.6) / 3, 0.1 / 3])
    assert (found["score"] > found["control_score"]).all()


def test_a_control_that_has_not_every_share_has_no_area(curves):
    short = curves[(curves["pixels"] == OWN) | (curves["share"] < 0.5)]
    assert area_cases(short).empty


def test_no_curve_gives_no_case(curves):
    found = area_cases(curves[:0])
    assert found.empty and found.columns.tolist() == CASE_COLUMNS
