"""Claims about replaced pixels beside a random region."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.evaluate.bootstrap import ALL
from cxrlib.evaluate.faithfulness import RANDOM_PIXELS, RANDOM_REGION
from cxrlib.thesis.claims import thesis_claims
from cxrlib.thesis.controlled_claims import CLAIMED, FAILS, OPEN, SURVIVES, claims_with_controls, in_sentences


def row(class_name, measure, low, high, method="Grad-CAM", control=RANDOM_REGION):
    gain = {"gain": (low + high) / 2, "gain_low": low, "gain_high": high}
    about = {"method": method, "measure": measure, "control": control, "class_name": class_name}
    return about | {"ours": 0.5, "low": 0.4, "high": 0.6, "control_score": 0.25} | gain | {"n": 9}


@pytest.fixture
def table():
    return pd.DataFrame(
        [
            row("Aortic enlargement", "AOPC", 0.1, 0.3),
            row("Aortic enlargement", "fall blur 11 10 %", -0.3, -0.1),
            row("Cardiomegaly", "AOPC", -0.1, 0.1),
            row("Cardiomegaly", "AOPC", 0.1, 0.3, method="LRP"),
            row("Lung Opacity", "AOPC", 0.1, 0.3, control=RANDOM_PIXELS),
            row("No finding", "AOPC", np.nan, np.nan),
            row(ALL, "fall blur 21 10 %", 0.1, 0.3),
        ]
    )


def test_a_claim_survives_where_the_whole_interval_of_the_gain_is_above_zero(table):
    found = claims_with_controls(table, [11, 21])
    verdicts = found.set_index(["class_name", "measure"])["survives"]
    assert verdicts["Aortic enlargement", "AOPC"] == SURVIVES
    assert verdicts["Aortic enlargement", "fall blur 11 10 %"] == FAILS
    assert verdicts["Cardiomegaly", "AOPC"] == OPEN, "only Grad-CAM's heatmaps are the thesis's"
    assert verdicts["Lung Opacity", "AOPC"] == OPEN, "another control says nothing"
    assert verdicts["No finding", "AOPC"] == OPEN, "no interval"
    assert verdicts[ALL, "fall blur 21 10 %"] == SURVIVES
    assert found.set_index(["class_name", "measure"]).loc[("Pleural effusion", "AOPC"), "n"] == 0


def test_every_claim_about_replaced_pixels_is_there_with_its_labels(table):
    found = claims_with_controls(table, [11, 21])
    assert found["claim"].unique().tolist() == [f"C{number}" for number in range(9, 16)] == list(CLAIMED)
    statements = thesis_claims().set_index("claim")["statement"]
    for claim, names in CLAIMED.items():
        for name in names:
            assert name == ALL or name.split()[0] in statements[claim], f"{claim} does not speak of {name}"
    assert found.loc[found["claim"] == "C15", "measure"].tolist() == ["fall blur 11 10 %", "fall blur 21 10 %"]


def test_another_run_without_findings_cannot_decide(table):
    found = claims_with_controls(table[:0], [11])
    assert (found["survives"] == OPEN).all() and (found["n"] == 0).all()
    assert in_sentences(found)[0] == "C9, Aortic enlargement, AOPC: no heatmap to measure"
