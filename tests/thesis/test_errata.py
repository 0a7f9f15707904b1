"""The errata and their evidence belong together by key."""

from pathlib import Path

from cxrlib.thesis import errata
from cxrlib.thesis.claims import CHECKS, thesis_claims
from cxrlib.thesis.errata import EVIDENCE, Ground, blur, thesis_errata


def test_every_point_has_one_evidence_and_every_evidence_one_point():
    assert sorted(thesis_errata()["key"]) == sorted(EVIDENCE)


def test_every_claim_has_one_check_and_every_check_one_claim():
    assert sorted(thesis_claims()["claim"]) == sorted(CHECKS)


def test_evidence_follows_its_point_to_another_row(monkeypatch):
    monkeypatch.setattr(errata, "thesis_errata", lambda: thesis_errata()[::-1])
    monkeypatch.setattr(errata, "EVIDENCE", {key: lambda _, key=key: f"on {key}" for key in EVIDENCE})
    found = errata.errata(Path("run"), {})
    assert found["point"].tolist() == list(range(13, 0, -1))
    assert found["evidence"].tolist() == [f"on {key}" for key in thesis_errata()["key"][::-1]]
    assert found.columns.tolist() == ["point", "thesis", "decision", "parameter", "evidence"]


def test_the_standard_deviation_is_that_of_the_replaced_pixels():
    ground = Ground(Path("run"), {"perturbation": {"kernels": [11, 21]}}, None, None)
    assert blur(ground) == "kernel 11: 2.0 pixels; kernel 21: 3.5 pixels."
