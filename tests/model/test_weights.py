from urllib.error import URLError

import numpy as np
import pytest
import torch
from fixtures import chest_weights, without_counters
from safetensors.torch import save_file
from torchvision import models

from cxrlib.data.labels import suite_names
from cxrlib.model import published
from cxrlib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network, normalise
from cxrlib.model.pooling import pooled_at
from cxrlib.model.published import CHEST_FILES, CHEST_OUTPUTS, CHEST_URL, weights_identity
from cxrlib.model.weight_files import read_tensors
from cxrlib.model.weights import load_weights, usable
from cxrlib.params import ParameterError, check_params, load_params
from cxrlib.runtime.errors import Refusal

pytestmark = pytest.mark.slow

CLASSES = ["A", "B", "C"]
CHEST_FILE = CHEST_URL.rpartition("/")[2]


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def resnet18_state():
    torch.manual_seed(1)
    return models.resnet18(weights=None).state_dict()


def test_a_path_is_taken_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file(resnet18_state(), "own.safetensors")
    assert load_weights(build_network("resnet18", 3), "resnet18", "own.safetensors", CLASSES) == CLASSES


@pytest.mark.parametrize("path", ["absent.safetensors", "x" * 300, "a\0b", "timm/resnet50.a1_in1k", "ImageNet"])
def test_a_path_without_a_file_is_refused(path):
    assert weights_identity(path, "resnet18") == path
    with pytest.raises(Refusal, match=f"{path}: (no such file|not readable)"):
        load_weights(build_network("resnet18", 3), "resnet18", path, CLASSES)


# a local file


def as_safetensors(state, path):
    save_file(state, path)


def as_published(state, path):
    torch.save(without_counters(state), path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.safetensors", as_safetensors), ("a.pth", torch.save), ("a.pth", as_published)],
)
def test_a_local_file_gives_the_same_features(tmp_path, inputs, name, write):
    original = models.resnet18(weights=None)
    original(inputs)  # moves the running statistics of batch norm
    write(original.eval().state_dict(), tmp_path / name)
    network = build_network("resnet18", 3)
    assert load_weights(network, "resnet18", str(tmp_path / name), CLASSES) == CLASSES
    network.eval()
    network.fc = original.fc = torch.nn.Identity()
    torch.testing.assert_close(network(inputs), original(inputs), atol=0, rtol=0)


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def load_resnet18(path):
    network = build_network("resnet18", 3)
    assert load_weights(network, "resnet18", str(path), CLASSES) == CLASSES
    return network


def lightning(state):
    """As Lightning stores a module that has a backbone and a head."""
    head = {"classifier.weight": torch.zeros(2, 512), "classifier.bias": torch.zeros(2)}
    backbone = {name: value for name, value in state.items() if not name.startswith("fc.")}
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": {"lr": 1e-3, "milestones": (3, 5)},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(64, 3, 7, 7)}}}],
        "state_dict": prefixed("backbone.", backbone) | head,
    }


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda state, path: torch.save({"model": prefixed("module.", state)}, path),
            "read model.module.bn1.bias as bn1.bias",
        ),
        (
            lambda state, path: save_file(prefixed("_orig_mod.net.", state), path),
            "read _orig_mod.net.bn1.bias as bn1.bias",
        ),
        (
            lambda state, path: torch.save(lightning(state), path),
            "read state_dict.backbone.bn1.bias as bn1.bias, and so 120 names; left out 3 more: "
            "state_dict.classifier.weight, state_dict.classifier.bias, optimizer_states.0.state.0.momentum_buffer",
        ),
    ],
    ids=["wrapped", "prefixes in safetensors", "Lightning"],
)
def test_what_is_put_before_the_names_is_taken_away_and_said(tmp_path, write, said):
    state = resnet18_state()
    write(state, tmp_path / "a.ckpt")
    with pytest.warns(UserWarning) as warned:
        network = load_resnet18(tmp_path / "a.ckpt")
    assert len(warned) == 1 and f"a.ckpt: {said}" in str(warned[0].message)
    assert torch.equal(network.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])


@pytest.mark.filterwarnings("error")
def test_a_plain_file_loads_without_a_word_and_counts_from_zero(tmp_path):
    torch.save(without_counters(resnet18_state()), tmp_path / "a.pth")
    assert load_resnet18(tmp_path / "a.pth").bn1.num_batches_tracked == 0


@pytest.mark.parametrize("halved", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_become_float32(tmp_path, halved):
    state = {name: value.to(halved) if value.is_floating_point() else value for name, value in resnet18_state().items()}
    save_file(state, tmp_path / "a.safetensors")
    network = load_resnet18(tmp_path / "a.safetensors")
    assert network.conv1.weight.dtype is torch.float32
    assert torch.equal(network.conv1.weight, state["conv1.weight"].float())


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (torch.tensor([1.0, float("nan")]), "NaN in bn1.running_var (1 of 2)"),
        (torch.tensor([1e300, 1.0], dtype=torch.float64), "infinite values in bn1.running_var (1 of 2)"),
        (torch.tensor([1.0, -1e-6]), "variances below 0 in bn1.running_var"),
        (torch.tensor([1, 2]), "int64 values in bn1.running_var"),
        (torch.tensor([1, 2j]), "complex64 values"),
        (torch.ones(2).to_sparse(), "sparse_coo float32 values"),
        (torch.ones(2, device="meta"), "holds no values in"),
    ],
    ids=["NaN", "too large", "negative", "integers", "complex", "sparse", "empty"],
)
def test_what_is_no_weight_is_named(value, named):
    with pytest.raises(ValueError) as refused:
        usable("bn1.running_var", value)
    assert named in str(refused.value)


def test_a_file_with_nan_is_refused_by_the_name_of_the_weight(tmp_path):
    state = resnet18_state()
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(
        Refusal, match=r"a\.safetensors holds NaN .*layer1\.0\.conv1\.weight \(1 of 36864\); choose other"
    ):
        load_resnet18(tmp_path / "a.safetensors")


def test_of_weights_and_their_moving_average_the_average_is_read(tmp_path):
    average = {name: value + 1 for name, value in resnet18_state().items()}
    halved = {name: value.half() for name, value in resnet18_state().items()}
    torch.save({"state_dict": halved, "state_dict_ema": average}, tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="read state_dict_ema.bn1.bias .*left out 122 more: state_dict.conv1.weight"):
        network = load_resnet18(tmp_path / "a.pth")
    assert torch.equal(network.conv1.weight, average["conv1.weight"])


def test_two_sets_of_weights_are_refused_unless_they_are_equal(tmp_path):
    state = resnet18_state()
    torch.save({"encoder_q": state, "encoder_k": dict(state)}, tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="read encoder_q.bn1"):
        load_resnet18(tmp_path / "a.pth")
    other = state | {"fc.bias": state["fc.bias"] + 1, "bn1.bias": state["bn1.bias"] + 1}
    torch.save({"encoder_q": state, "encoder_k": other}, tmp_path / "a.pth")
    with pytest.raises(Refusal, match="holds 2 sets of weights that fit: encoder_q., encoder_k.; save the one"):
        load_resnet18(tmp_path / "a.pth")


# what does not fit


def shapes_file(network, path):
    """A file of a network's shapes, its values all zero."""
    save_file({name: torch.zeros_like(value) for name, value in network.state_dict().items()}, path)


@pytest.mark.parametrize(
    ("stored", "wanted"), [("resnet34", "resnet18"), ("resnet18", "resnet34"), ("resnet50-xrv", "resnet50")]
)
def test_weights_of_another_architecture_are_refused_with_its_name(tmp_path, stored, wanted):
    shapes_file(build_network(stored, 18), tmp_path / "a.safetensors")
    message = f"a.safetensors holds weights of {stored}, not of {wanted}: --set model.architecture={stored}"
    with pytest.raises(Refusal, match=message):
        load_weights(build_network(wanted, 3), wanted, str(tmp_path / "a.safetensors"), CLASSES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn1.bias": None}, r"bn1\.bias is absent there and \(64,\) here; choose other weights"),
        (
            {"conv1.weight": torch.zeros(64, 4, 7, 7)},
            r"conv1\.weight is \(64, 4, 7, 7\) there and \(64, 3, 7, 7\) here",
        ),
        ({"layer1.2.conv1.weight": torch.zeros(1)}, r"it also holds layer1\.2\.conv1\.weight"),
    ],
    ids=["missing", "misshaped", "too many"],
)
def test_the_first_difference_is_named(tmp_path, change, message):
    state = {name: value for name, value in (resnet18_state() | change).items() if value is not None}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(Refusal, match=f"a.safetensors does not fit resnet18: {message}"):
        load_resnet18(tmp_path / "a.safetensors")


def test_weights_with_other_names_are_refused_with_both_names(tmp_path):
    name = "resnet.embedder.embedder.convolution.weight"  # Hugging Face's
    save_file({name: torch.zeros(64, 3, 7, 7)}, tmp_path / "a.bin")
    with pytest.raises(
        Refusal, match=rf"its tensors have other names \({name}\) than the network's \(conv1.weight, bn1"
    ):
        load_resnet18(tmp_path / "a.bin")


# torchxrayvision


@pytest.fixture(scope="module")
def chest_folder(tmp_path_factory):
    return chest_weights(tmp_path_factory.mktemp("chest") / "models_data").parent


@pytest.fixture
def chest_network(chest_folder, monkeypatch):
    monkeypatch.setattr(published, "CHEST_FOLDER", chest_folder)
    classes = ["Nodule/Mass", "No finding", "Pleural effusion"]
    torch.manual_seed(3)
    network = build_network("resnet50-xrv", 3)
    head = network.fc.weight.clone()
    assert load_weights(network, "resnet50-xrv", "torchxrayvision", classes, suite_names("torchxrayvision")) == [
        "No finding"
    ]
    assert torch.equal(network.fc.weight[1], head[1])
    return network.eval()


@pytest.mark.slow
def test_chest_network_gives_the_logits_of_torchxrayvision(chest_network, chest_folder):
    xrv = pytest.importorskip("torchxrayvision")
    theirs = xrv.models.ResNet(weights="resnet50-res512-all", cache_dir=str(chest_folder))
    assert theirs.weights_dict["weights_url"] == CHEST_URL
    assert theirs.targets == CHEST_OUTPUTS
    images = np.random.default_rng(0).integers(0, 256, (2, 512, 512)).astype(np.uint8)
    scaled = torch.from_numpy(np.stack([xrv.utils.normalize(image, 255) for image in images]))[:, None]
    with torch.inference_mode():
        expected = theirs.model(scaled)[:, [CHEST_OUTPUTS.index("Nodule"), CHEST_OUTPUTS.index("Effusion")]]
        found = chest_network(normalise(torch.from_numpy(images)[:, None]))[:, [0, 2]]
        fast = inference_copy(chest_network)(normalise(torch.from_numpy(images)[:, None]))[:, [0, 2]]
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(fast, expected, rtol=1e-3, atol=1e-4)
    assert pooled_at(chest_network, "layer4") is not None


def test_without_other_names_the_head_follows_torchxrayvisions_own(chest_folder, monkeypatch):
    monkeypatch.setattr(published, "CHEST_FOLDER", chest_folder)
    network = build_network("resnet50-xrv", 2)
    assert load_weights(network, "resnet50-xrv", "torchxrayvision", ["Nodule/Mass", "Effusion"]) == ["Nodule/Mass"]
    state = read_tensors(chest_folder / CHEST_FILE)
    assert torch.equal(network.fc.weight[1], state["fc.weight"][CHEST_OUTPUTS.index("Effusion")])


def test_chest_checkpoint_comes_back(chest_network, tmp_path, inputs):
    checkpoint = Checkpoint("resnet50-xrv", CLASSES, 64, 32, epoch=0, valid_loss=0.5)
    save_checkpoint(chest_network, checkpoint, tmp_path / "chest.safetensors")
    loaded, _ = load_checkpoint(tmp_path / "chest.safetensors", torch.device("cpu"))
    torch.testing.assert_close(loaded(inputs), chest_network(inputs), rtol=1e-4, atol=1e-5)


# torchxrayvision's DenseNet, whose file its own loader makes


def test_chest_densenet_gives_the_logits_of_torchxrayvision(tmp_path, monkeypatch):
    xrv = pytest.importorskip("torchxrayvision")
    monkeypatch.setattr(published, "CHEST_FOLDER", tmp_path)
    assert xrv.models.model_urls["densenet121-res224-all"]["labels"] == CHEST_OUTPUTS
    torch.manual_seed(2)
    theirs = xrv.models.DenseNet(num_classes=18).eval()
    theirs.features.conv0.weight.data /= 1024
    thresholds = {"op_threshs": torch.zeros(18)}  # as in the file that the command makes
    torch.save(theirs.state_dict() | thresholds, tmp_path / CHEST_FILES["densenet121-xrv"])
    network = build_network("densenet121-xrv", 3)
    untrained = load_weights(network, "densenet121-xrv", "torchxrayvision", ["Hernia", "No finding", "Effusion"])
    assert untrained == ["No finding"]
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224)).astype(np.uint8)
    scaled = torch.from_numpy(np.stack([xrv.utils.normalize(image, 255) for image in images]))[:, None]
    with torch.inference_mode():
        expected = theirs(scaled)[:, [CHEST_OUTPUTS.index("Hernia"), CHEST_OUTPUTS.index("Effusion")]]
        found = network.eval()(normalise(torch.from_numpy(images)[:, None]))[:, [0, 2]]
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_without_the_file_of_the_densenet_the_command_that_makes_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "CHEST_FOLDER", tmp_path)
    with pytest.raises(Refusal, match=r"its own loader makes the file: python -c .*DenseNet.*densenet121-res224-all"):
        load_weights(build_network("densenet121-xrv", 3), "densenet121-xrv", "torchxrayvision", CLASSES)


def test_chest_weights_offline_say_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "CHEST_FOLDER", tmp_path / "models_data")

    def offline(*_):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(Refusal, match=f"could not be downloaded .*put it at .*models_data/{CHEST_FILE}"):
        load_weights(build_network("resnet50-xrv", 3), "resnet50-xrv", "torchxrayvision", CLASSES)
    assert not list((tmp_path / "models_data").iterdir())


def test_another_network_in_the_place_of_torchxrayvision_s_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "CHEST_FOLDER", tmp_path)
    torch.save(build_network("resnet50-xrv", 5).state_dict(), tmp_path / CHEST_FILE)
    with pytest.raises(Refusal, match=f"{CHEST_FILE}: has not the 18 outputs of torchxrayvision's network; delete it"):
        load_weights(build_network("resnet50-xrv", 3), "resnet50-xrv", "torchxrayvision", CLASSES)


@pytest.mark.parametrize(("weights", "architecture"), [("torchxrayvision", "resnet50"), ("imagenet", "resnet50-xrv")])
def test_weights_that_cannot_fit_are_refused_at_once(weights, architecture):
    values = load_params("smoke").model_dump()
    values["model"] |= {"weights": weights, "architecture": architecture}
    with pytest.raises(ParameterError, match=f"model: weights {weights} do not fit {architecture}"):
        check_params(values, "x")
