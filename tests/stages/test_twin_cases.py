"""Twins of a run's rendered studies, as its network gets them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cxrlib.data.cohort import load_cohort
from cxrlib.params import load_params
from cxrlib.runtime.errors import Refusal
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.prepare import open_data, prepare_cohort
from cxrlib.stages.twin_cases import twin_cases

pytestmark = pytest.mark.slow

LABELS = "labels.experiments={a: [Cardiomegaly, Aortic enlargement, No finding]}"
PARAMS = load_params("smoke", ["data.n_studies=40", "data.image_size=96", LABELS, "labels.explained=a"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def cohort(folder):
    source = open_data(PARAMS.data, folder / "source", workers=1)
    prepare_cohort(source, folder / "data", PARAMS.data, PARAMS.labels, workers=1)
    return load_cohort(folder / "data")


@pytest.fixture(scope="module")
def image_ids(cohort):
    return [image_id for image_id in cohort.of("train") if len(cohort.boxes(image_id, "Cardiomegaly"))][:2]


def test_the_radiograph_is_the_network_s_input_and_the_twin_differs_at_the_cause_only(cohort, image_ids, folder):
    found = twin_cases(cohort, image_ids, PARAMS.data, 48, 1, folder / "phantom")
    assert set(found.cases["image_id"]) == set(image_ids) and "Cardiomegaly" in set(found.cases["class_name"])
    assert torch.equal(found.images, network_inputs(cohort, found.cases["image_id"].tolist(), 48)[:])
    shares = found.cause.float().mean((1, 2))
    assert ((shares > 0.002) & (shares < 0.4)).all()
    assert all(cohort.labels.at[row.image_id, row.class_name] for row in found.cases.itertuples())


def test_data_that_are_real_or_rendered_otherwise_are_refused(cohort, image_ids, folder):
    settings = (image_ids, PARAMS.data, 48, 1, folder / "phantom")
    real = replace(cohort, provenance=replace(cohort.provenance, rendered=False, description="real radiographs"))
    with pytest.raises(Refusal, match="real radiographs: nobody knows which pixels .*data.source=demo"):
        twin_cases(real, *settings)
    other = replace(cohort, pixels=np.asarray(cohort.pixels) // 2)
    with pytest.raises(Refusal, match="rendered by other code; run notebook 01_data again"):
        twin_cases(other, *settings)


def test_without_studies_there_are_no_cases(cohort, folder):
    assert twin_cases(cohort, [], PARAMS.data, 48, 1, folder / "none").cases.empty
