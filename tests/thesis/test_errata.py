"""The points of errata.csv and the claims of claims.csv belong to the functions that judge them by their keys."""

import importlib
import re

from cxrlib.thesis.claims import CHECKS, thesis_claims
from cxrlib.thesis.errata import EVIDENCE, thesis_errata


def test_every_erratum_has_evidence_under_its_key():
    points = thesis_errata()
    assert sorted(points["key"]) == sorted(EVIDENCE)
    assert points["point"].tolist() == list(range(1, 14))


def test_every_claim_has_a_check_under_its_number():
    assert sorted(thesis_claims()["claim"]) == sorted(CHECKS)


def test_the_functions_that_errata_name_exist():
    names = [found for text in thesis_errata()["parameter"] for found in re.findall(r"cxrlib[.\w]+", text)]
    assert len(names) == 2
    for module, function in (name.rsplit(".", 1) for name in names):
        assert callable(getattr(importlib.import_module(module), function))
