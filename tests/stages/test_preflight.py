"""What is refused before the first notebook runs."""

import pytest
from fixtures import annotation_rows, kaggle_folder
from safetensors.torch import save_file
from torchvision import models

from cxrlib.params import load_params
from cxrlib.runtime.errors import Refusal
from cxrlib.stages import preflight
from cxrlib.stages.preflight import check_before

pytestmark = pytest.mark.slow

ALL = {"data", "model", "methods", "compute", "roar", "transfer"}
TWO = "labels.experiments={two: [Cardiomegaly, No finding]}"


@pytest.fixture
def root(tmp_path):
    """A data set of twelve studies, half of them with a box."""
    classes = ["Cardiomegaly", "No finding"]
    rows = [(f"{i:04}", classes[i % 2], "R1", *[10, 20, 50, 30][: 4 - 4 * (i % 2)]) for i in range(12)]
    return kaggle_folder(tmp_path / "kaggle", annotation_rows(*rows))


def real(root, *overrides):
    own = ["data.source=vinbigdata", f"data.root={root}", TWO, "labels.explained=two"]
    return load_params("smoke", [*own, "data.valid_share=0.2", "data.test_share=0.2", *overrides])


def test_the_profiles_that_need_no_data_set_pass():
    for profile in ("smoke", "demo"):
        check_before(load_params(profile), ALL)


def test_a_real_data_set_passes_without_a_look_at_its_images(root):
    for path in (root / "train").iterdir():
        path.write_bytes(b"no image")
    check_before(real(root), ALL)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["gradcam.layer=nonsense"], "gradcam.layer: the network has no module 'nonsense'; .* layer4, avgpool, fc"),
        (["gradcam.layer=fc"], "gradcam.layer: fc gives .* no feature map"),
        (["gradcam.layer=avgpool"], "gradcam.layer: avgpool gives one cell"),
        (
            ["model.input_size=32", "model.output_stride=32", "gradcam.layer=layer4"],
            "layer4 gives one cell for an image of 32 px",
        ),
        (["model.architecture=resnet19"], "model.architecture: no network 'resnet19'; did you mean resnet18, "),
        (
            ["model.architecture=tf_efficientnet_lite0"],
            "no network 'tf_efficientnet_lite0'; did you mean timm/tf_efficientnet_lite0, ",
        ),
        (["model.architecture=timm/resnet18.x"], "timm does not build timm/resnet18.x .*Invalid pretrained tag"),
        (["model.architecture=squeezenet1_1"], "squeezenet1_1 does not end in one linear layer"),
        (["model.architecture=timm/deit_tiny_distilled_patch16_224"], "distilled_patch16_224 does not end in one lin"),
        (["model.architecture=convnext_tiny"], "model.output_stride: the last stride of convnext_tiny is not that of"),
        (
            ["model.architecture=vit_b_16", "model.output_stride=32"],
            r"model.input_size: the network takes no images of 48 px \(Wrong image height! Expected 224",
        ),
        (["roar.methods={gradcan: {}}"], "roar.methods: gradcan: no method 'gradcan'; did you mean gradcam, "),
        (["methods.compared={gradcan: {}}"], "methods.compared: gradcan: no method 'gradcan'; did you mean gradcam, "),
        (
            ["methods.networks={a: {architecture: resnet19}}"],
            "methods.networks: a: .*no network 'resnet19'; did you me",
        ),
        (
            ["methods.networks={a: {architecture: vit_b_16, weights: null, input_size: 48}}"],
            "methods.networks: a: model.input_size: the network takes no images of 48 px",
        ),
        (["compute.device=mps"], "compute.device: mps is not available"),
        (["model.weights=/nowhere"], "/nowhere"),
        (["transfer.run=/nowhere"], "transfer.run: /nowhere/data holds no cohort"),
        (["data.source=nih", "data.root=/nowhere"], "data.root: /nowhere is neither a folder nor a zip"),
        (["labels.experiments={7 labels: [Cardiomegalyx, No finding]}"], r"unknown label 'Cardiomegalyx'"),
        (["labels.experiments={7 labels: [Pneumothorax, ILD]}", "data.n_studies=20"], "raise data.n_studies"),
    ],
)
def test_what_could_not_be_used_is_refused(overrides, message):
    with pytest.raises(Refusal, match=message):
        check_before(load_params("smoke", ["perturbation.kernels=[5]", *overrides]), ALL)


def test_the_remedy_fits_the_data_set(root):
    with pytest.raises(Refusal, match="no test study .* data.test_share, .*patients in the data set: 12"):
        check_before(real(root, "data.test_share=0.01"), ALL)
    with pytest.raises(Refusal, match="no positive training study for ILD; .*patients in the data set: 12"):
        check_before(real(root, "labels.experiments={two: [Cardiomegaly, ILD, No finding]}"), ALL)


def test_weights_that_bring_no_output_are_refused_where_nothing_is_trained(tmp_path):
    save_file(models.resnet18(weights=None).state_dict(), tmp_path / "own.safetensors")
    own = [f"model.weights={tmp_path / 'own.safetensors'}"]
    check_before(load_params("smoke", own), ALL)
    with pytest.raises(Refusal, match="training.epochs=0 uses model.weights"):
        check_before(load_params("smoke", [*own, "training.epochs=0"]), ALL)


def test_only_what_the_notebooks_declare_is_looked_at(monkeypatch):
    wrong = load_params("thesis", ["data.root=/nowhere", "gradcam.layer=fc", "compute.device=mps"])
    monkeypatch.setattr(preflight, "network_outline", lambda *_: pytest.fail("looked at the network"))
    check_before(wrong, {"iou", "bootstrap"})


def test_shares_that_leave_a_split_empty_are_named_before_anything_is_rendered():
    params = load_params("smoke", ["data.n_studies=12", "data.valid_share=0.01"])
    with pytest.raises(Refusal, match="no valid study"):
        check_before(params, ALL)
