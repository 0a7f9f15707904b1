import pytest
import torch
from fixtures import annotation_rows, kaggle_folder

from cxrlib.evaluate import removal
from cxrlib.explain.methods import find, names
from cxrlib.model.architectures import TESTED
from cxrlib.model.networks import network_outline
from cxrlib.params import load_params
from cxrlib.runtime.errors import Refusal
from cxrlib.stages import estimate
from cxrlib.stages.estimate import describe
from cxrlib.stages.prepare import planned_source

ROWS = annotation_rows(("a", "ILD", "R1", 1, 2, 3, 4), ("b", "No finding", "R1"), ("b", "No finding", "R1"))


def test_it_tells_what_it_would_read_and_writes_nothing(tmp_path):
    root = kaggle_folder(tmp_path / "kaggle", ROWS)
    params = load_params("thesis", [f"data.root={root}"])
    before = sorted(tmp_path.rglob("*"))
    lines = describe(params, tmp_path / "not" / "there", planned_source(params.data))
    assert lines[0].startswith("reads 2 images and 2 annotation rows of VinBigData")
    assert lines[0].endswith("sets aside 1 x duplicated row; dropped")
    assert sorted(tmp_path.rglob("*")) == before


def test_disk_and_time_follow_from_the_number_of_images(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_look", lambda source, data: (15_000, "15,000 images", 0.8, 0))
    _, disk, preparation, networks = describe(load_params("thesis"), tmp_path, None)
    assert disk.startswith(
        "disk: 5.1 GB (3.9 GB for images of 512 px, 0.8 GB for the network's input of 224 px, 0.4 GB for models); "
    )
    assert "about 50 min with 4 processes" in preparation  # 15,000 x 0.8 s / 4
    hours = int(networks.split("about ")[1].split(" h")[0])
    assert 60 <= hours <= 75  # 80 epochs of 12,000 images at 4.6 images/s, and the explanations by all methods


@pytest.mark.parametrize("architecture", TESTED)
def test_what_a_network_costs_is_what_its_layers_hold_and_compute(architecture):
    network, pairs = network_outline(architecture, 7).eval(), []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda layer, _, out: pairs.append(out.numel() * layer.weight[0].numel()))
    network(torch.zeros(1, 3, 224, 224, device="meta"))
    assert sum(pairs) / 1e9 == pytest.approx(estimate.GIGAFLOPS[architecture], abs=0.006)
    numbers = sum(parameter.numel() for parameter in network.parameters())
    assert 4 * numbers == pytest.approx(estimate.WEIGHT_BYTES[architecture], abs=0.6e6)


@pytest.mark.parametrize("name", names())
def test_what_a_method_costs_is_what_it_says(name):
    method = find(name)
    count = next((count for count in estimate.COUNTS if count in method.parameters), None)
    for parameters in ({}, {count: 10}) if count else ({},):
        cost = method.passes(7, (224, 224), **(method.parameters | {"channels": 2048} | parameters))
        expected = cost.forward + estimate.BACKWARD_COST * cost.backward
        assert estimate._passes(name, parameters, 7) == pytest.approx(expected, rel=0.3)


def test_further_networks_and_methods_take_their_time(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_look", lambda source, data: (15_000, "15,000 images", 0.8, 0))
    few = "methods.compared={gradcam: {}}"
    more = "methods.networks={other: {architecture: resnet50, weights: null}}"
    hours = [
        int(describe(load_params("thesis", overrides), tmp_path, None)[3].split("about ")[1].split(" h")[0])
        for overrides in ([], [few], [few, more])
    ]
    assert hours[1] < hours[0] and hours[2] == pytest.approx(1.25 * hours[1], abs=2)  # five trainings instead of four


def test_what_is_not_known_of_a_network_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_look", lambda source, data: (100, "100 images", 0.8, 0))
    _, disk, _, networks = describe(load_params("thesis", ["model.architecture=resnet152"]), tmp_path, None)
    assert "; without the models of resnet152, whose size is not known here; " in disk
    assert networks == "time of the networks: not known"


def test_the_demo_is_drawn_but_not_rendered(tmp_path):
    params = load_params("smoke")
    lines = describe(params, tmp_path / "out", planned_source(params.data))
    assert "renders 80 images" in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("root", "message"), [("nowhere", "nowhere is neither a folder nor a zip"), ("", r"holds no train\.csv; expected")]
)
def test_data_that_cannot_be_read_are_refused_before_anything_runs(tmp_path, root, message):
    with pytest.raises(Refusal, match=message):
        planned_source(load_params("thesis", [f"data.root={tmp_path / root}"]).data)


def test_the_trainings_of_notebook_11_are_those_of_its_list(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "_look", lambda source, data: (15_000, "15,000 images", 0.8, 0))
    assert len(removal.CONTROLS) == estimate.CONTROLS
    params = load_params("thesis")
    # five seeds of four whole ones, and of three controls and five methods in three modes at five shares
    assert estimate.trainings_again(params.roar) == 5 * (4 + 8 * 3 * 5) == 620
    assert len(describe(params, tmp_path, None)) == 4
    last = describe(params, tmp_path, None, with_roar=True)[-1]
    # 620 x 3,000 studies x 20 epochs at 4.9 images a second
    assert last.startswith("time of notebook 11: 620 trainings of 60,000 images each, about ")
    assert 2000 < int(last.split("about ")[1].split(" h")[0]) < 2200
