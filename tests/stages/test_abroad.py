"""A model on the test studies of another run."""

import shutil

import pandas as pd
import pytest
import torch
from browsable import browsable_run

from cxrlib.explain.explanations import load_explanations
from cxrlib.params import load_params
from cxrlib.runtime.errors import Missing
from cxrlib.stages.abroad import explain_home_and_abroad


@pytest.fixture(scope="module")
def abroad_run(tmp_path_factory):
    """Another run: other radiographs, another model, and one label that the first run does not know."""
    folder = browsable_run(tmp_path_factory.mktemp("abroad") / "second", seed=1)
    labels = pd.read_csv(folder / "data" / "labels.csv", index_col="image_id")
    labels.rename(columns={"Aortic enlargement": "Rib fracture"}).to_csv(folder / "data" / "labels.csv")
    return folder


def test_one_model_explains_both_test_sets_over_the_shared_labels(browsed_run, abroad_run):
    smoke = load_params("smoke")
    home, abroad = explain_home_and_abroad(browsed_run, abroad_run, smoke.gradcam, smoke.compute)
    for tested in (home, abroad):
        assert tested.cohort.explained == ["Cardiomegaly", "No finding"]
        assert tested.explanations.probabilities.index.tolist() == tested.cohort.of("test")
    assert home.cohort.folder == browsed_run / "data" and abroad.cohort.folder == abroad_run / "data"
    own = load_explanations(browsed_run / "maps" / "test.npz")  # by the same model
    torch.testing.assert_close(home.explanations.maps, own.maps)
    assert not torch.allclose(abroad.explanations.maps, load_explanations(abroad_run / "maps" / "test.npz").maps)
    for place, tested in (("home", home), ("abroad", abroad)):
        assert torch.equal(
            load_explanations(abroad_run / "maps" / f"transfer_{place}.npz").maps, tested.explanations.maps
        )


def test_a_run_without_data_is_named(browsed_run, tmp_path):
    smoke = load_params("smoke")
    shutil.copytree(browsed_run / "models", tmp_path / "models")
    with pytest.raises(Missing, match="holds no cohort; run notebook 01_data first"):
        explain_home_and_abroad(tmp_path, browsed_run, smoke.gradcam, smoke.compute)
