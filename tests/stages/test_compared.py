"""Maps of several methods and networks, of a cohort in memory."""

from dataclasses import replace

import pytest
import torch
from fixtures import SMALL_RESNET, noisy_cohort

from cxrlib.evaluate.method_scores import score_methods
from cxrlib.explain.methods import explain, find, names
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.networks import build_network, normalise
from cxrlib.params import Iou, Methods, Model, ParameterError, Perturbation, load_params
from cxrlib.runtime.store import identity_of
from cxrlib.stages import compared
from cxrlib.stages.compared import (
    check_methods,
    explain_by_methods,
    explained_training,
    first_boxed,
    seconds_by_method,
    studies_to_compare,
)
from cxrlib.stages.controlled import explain_with_controls
from cxrlib.stages.explain import explain_split
from cxrlib.stages.further_networks import OWN, explain_by_networks
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.train import train_experiment

SMOKE = load_params("smoke")
COMPUTE, GRADCAM = SMOKE.compute, SMOKE.gradcam
RECIPE = SMOKE.training.model_copy(update={"epochs": 1})
MODEL = Model(architecture=SMALL_RESNET, weights=None, input_size=32, output_stride=16)
CLASSES = ["Cardiomegaly", "No finding"]
METHODS = Methods(compared={"gradcam": {}, "hirescam": {}, "rise": {"n_masks": 4}}, n_studies=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def cohort(folder):
    """Twenty studies; every second has a boxed finding."""
    return noisy_cohort(folder, (8, 4, 8), CLASSES)


@pytest.fixture(scope="module")
def gradcam(cohort, folder):
    train_experiment(cohort, "main", MODEL, RECIPE, COMPUTE, folder / "models")
    return explain_split(cohort, "test", folder / "models", GRADCAM, COMPUTE, folder / "maps" / "test.npz")


def explained(cohort, gradcam, folder, methods=METHODS):
    return explain_by_methods(cohort, gradcam, methods, GRADCAM, COMPUTE, folder)


def test_the_first_boxed_studies_of_a_split_are_compared(cohort):
    assert studies_to_compare(cohort, 3) == {"valid": ["image08", "image10"], "test": ["image12", "image14", "image16"]}
    unlabelled = replace(cohort, labels=cohort.labels.assign(Cardiomegaly=0))
    assert first_boxed(unlabelled, cohort.of("test"), 3) == []


def test_every_method_explains_the_same_studies_as_the_library_does(cohort, gradcam, folder):
    found = explained(cohort, gradcam, folder)
    assert list(found) == ["Grad-CAM", "HiResCAM", "RISE"]
    network, _ = load_checkpoint(checkpoint_path(folder / "models", "main"), torch.device("cpu"))
    for split, image_ids in studies_to_compare(cohort, 3).items():
        images = normalise(network_inputs(cohort, image_ids, 32)[:])
        for title, name, parameters in [("HiResCAM", "hirescam", {}), ("RISE", "rise", {"n_masks": 4})]:
            assert found[title][split].probabilities.index.tolist() == image_ids
            expected = explain(network, images, method=name, **parameters)
            torch.testing.assert_close(found[title][split].maps, expected, rtol=1e-3, atol=1e-6)
    assert torch.equal(found["Grad-CAM"]["test"].maps, gradcam.of(["image12", "image14", "image16"]).maps)


def test_the_first_training_studies_with_a_finding_are_explained(cohort, gradcam, folder):
    found = explained_training(cohort, 3, gradcam, GRADCAM, COMPUTE, folder)
    assert found.probabilities.index.tolist() == ["image00", "image02", "image04"]
    assert found.maps.shape[1:] == gradcam.maps.shape[1:] and (folder / "maps" / "train.npz").exists()
    healthy = replace(cohort, labels=cohort.labels.assign(Cardiomegaly=0))
    assert explained_training(healthy, 3, gradcam, GRADCAM, COMPUTE, folder).probabilities.empty


def test_what_is_stored_is_not_computed_again(cohort, gradcam, folder, monkeypatch):
    first = explained(cohort, gradcam, folder)
    with monkeypatch.context() as patched:
        patched.setattr(compared, "maps_by", None)
        again = explained(cohort, gradcam, folder)
    assert torch.equal(first["RISE"]["test"].maps, again["RISE"]["test"].maps)
    path = folder / "maps" / "test-RISE.npz"
    seen = [identity_of(path)]
    more = METHODS.model_copy(update={"compared": {"rise": {"n_masks": 5}}})
    explained(cohort, gradcam, folder, more)
    seen.append(identity_of(path))
    monkeypatch.setitem(compared.CODE, "rise", "other code")
    explained(cohort, gradcam, folder, more)
    assert len({*seen, identity_of(path)}) == 3


def test_an_interrupted_method_goes_on_where_it_stopped(cohort, gradcam, folder, monkeypatch):
    methods = METHODS.model_copy(update={"compared": {"gradient": {}}})
    monkeypatch.setattr(compared, "SHARD", 1)
    done, whole = [], compared.maps_by

    def stopped(*arguments):
        if len(done) == 3:  # two of the validation split, one of the test split
            raise KeyboardInterrupt
        done.append(whole(*arguments))
        return done[-1]

    monkeypatch.setattr(compared, "maps_by", stopped)
    with pytest.raises(KeyboardInterrupt):
        explained(cohort, gradcam, folder, methods)
    monkeypatch.setattr(compared, "maps_by", lambda *arguments: done.append(None) or whole(*arguments))
    found = explained(cohort, gradcam, folder, methods)["Gradient"]
    assert len(done) == 5
    assert torch.equal(found["test"].maps[:1], done[2])


def with_controls(cohort, gradcam, folder, *names):
    settings = Perturbation(controls_n_studies=5, controls_methods=list(names))
    return explain_with_controls(cohort, gradcam, settings, Iou(usual_studies=4), METHODS, GRADCAM, COMPUTE, folder)


def test_maps_for_controls_are_gradcams_and_those_of_the_named_methods(cohort, gradcam, folder):
    (own, training), (named, valid) = with_controls(cohort, gradcam, folder, "rise", "lime", "gradcam")
    assert list(own) == list(training) == ["Grad-CAM"]
    assert own["Grad-CAM"].probabilities.index.tolist() == cohort.of("test")[:5]
    assert training["Grad-CAM"].probabilities.index.tolist() == cohort.of("train", cohort.findings)[:4]
    assert list(named) == list(valid) == ["RISE"], "lime is not compared, and Grad-CAM is there already"
    stored = explained(cohort, gradcam, folder)["RISE"]
    assert torch.equal(named["RISE"].maps, stored["test"].maps)
    assert torch.equal(valid["RISE"].maps, stored["valid"].maps)


def test_without_a_named_method_gradcam_stands_alone(cohort, gradcam, folder):
    assert len(with_controls(cohort, gradcam, folder)) == 1


def test_data_without_boxes_have_no_maps_to_compare(cohort, gradcam, folder):
    none = replace(cohort, annotations=cohort.annotations[:0])
    found = explained(none, gradcam, folder)
    assert {title: [len(maps.maps) for maps in one.values()] for title, one in found.items()} == {
        title: [0, 0] for title in ("Grad-CAM", "HiResCAM", "RISE")
    }
    assert all(one.empty for one in score_methods(none, found, [0.1, 0.2]).values())


def test_further_networks_learn_the_same_and_are_stored(cohort, gradcam, folder, monkeypatch):
    other = Model(architecture="shufflenet_v2_x0_5", weights=None, input_size=64)
    methods = METHODS.model_copy(update={"networks": {"small": other}})
    settings = (methods, RECIPE, GRADCAM, COMPUTE, folder)
    found = explain_by_networks(cohort, gradcam, *settings)
    assert list(found) == [OWN, "small"] and found[OWN]["test"] is gradcam
    small = found["small"]["test"]
    assert small.probabilities.index.equals(gradcam.probabilities.index) and small.classes == gradcam.classes
    assert small.input_size == 64 and not small.probabilities.equals(gradcam.probabilities)
    assert found["small"]["valid"].probabilities.index.tolist() == ["image08", "image10"]
    monkeypatch.setattr("cxrlib.stages.train.train", None)
    assert torch.equal(explain_by_networks(cohort, gradcam, *settings)["small"]["test"].maps, small.maps)


def test_every_method_has_a_measured_time(cohort, folder):
    network = build_network("resnet18", 2, 16).eval()
    seconds = seconds_by_method(METHODS, network, torch.rand(2, 3, 32, 32), "layer4")
    assert list(seconds) == ["Grad-CAM", "HiResCAM", "RISE"] and min(seconds.values()) > 0
    assert seconds_by_method(METHODS, network, torch.rand(0, 3, 32, 32), "layer4") == {}


@pytest.mark.parametrize(
    ("architecture", "wanted", "message"),
    [
        ("resnet18", {"gradcan": {}}, "methods.compared: gradcan: no method 'gradcan'; did you mean gradcam, "),
        ("resnet18", {"rise": {"masks": 3}}, "rise has no parameter 'masks', but n_masks, cells, p, seed, batch_size"),
        ("resnet18", {"gradcam": {"layer": "fc"}}, "methods.compared: gradcam: .*fc gives .* no feature map"),
        ("resnet18", {"gradcam": {"layer": "layer9"}}, "methods.compared: gradcam: .*no module 'layer9'"),
        ("resnet18", {"rise": {"n_masks": -3}}, r"methods.compared: rise: .*n_masks=-3"),
        ("resnet18", {"rise": {"n_masks": "abc"}}, "methods.compared: rise: .*n_masks='abc'"),
        ("resnet18", {"integrated_gradients": {"steps": 0}}, "methods.compared: integrated_gradients: .*steps.* 0"),
        ("resnet18", {"smoothgrad": {"samples": 0}}, "methods.compared: smoothgrad: "),
        ("vgg11", {"cam": {}}, "methods.compared: cam: .*average pooling and one linear layer"),
        ("efficientnet_b0", {"guided_backprop": {}}, "methods.compared: guided_backprop: .*SiLU"),
        ("convnext_tiny", {"lrp": {}}, "methods.compared: lrp: "),
    ],
)
def test_a_method_that_cannot_be_had_is_refused(architecture, wanted, message):
    with pytest.raises(ParameterError, match=message):
        check_methods(wanted, build_network(architecture, 2), 64, "auto")


def test_every_method_has_a_fingerprint_of_its_code_and_passes_on_a_resnet():
    assert list(compared.CODE) and set(compared.CODE) == set(names())
    assert compared.CODE["rise"] != compared.CODE["occlusion"]
    check_methods({name: {} for name in names()}, build_network("resnet18", 2, 16), 32, "layer4")


@pytest.mark.parametrize("seed", range(4))
def test_the_check_says_nothing_of_the_maps_of_noise(seed, recwarn):
    torch.manual_seed(seed)
    check_methods({"integrated_gradients": {"steps": 2}}, build_network(SMALL_RESNET, 2), 32, "layer4")
    assert [str(warning.message) for warning in recwarn] == []


FEW = {
    "scorecam": {"max_channels": 4},
    "smooth_gradcam": {"samples": 2},
    "occlusion": {"window": 24, "stride": 24},
    "rise": {"n_masks": 3},
    "lime": {"cells": 2, "samples": 12},
    "kernelshap": {"cells": 2, "samples": 12},
}


@pytest.mark.parametrize("name", names())
def test_every_method_explains_the_copy_that_the_run_prepares_for_it_at_the_layers_own_name(name):
    torch.manual_seed(0)
    network = build_network("resnet18", 3).eval()
    image, method = torch.rand(1, 3, 48, 48), find(name)
    copied = compared.prepared(network, method, "layer4", 48)
    if copied is not network:
        few = FEW.get(name, {})
        one, other = (compared.maps_by(method, few, each, image, "layer4", [1]) for each in (network, copied))
        torch.testing.assert_close(other, one, atol=1e-4 * float(one.abs().max()), rtol=1e-3)
