import os
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torch
from fixtures import chest_weights
from safetensors.torch import save_file
from torchvision import models

from cxrlib.data.labels import suite_names
from cxrlib.model import weights
from cxrlib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_resnet, normalise
from cxrlib.model.pooling import pooled_at
from cxrlib.model.weights import CHEST_OUTPUTS, CHEST_URL, load_weights, read_state
from cxrlib.params import ParameterError, check_params, load_params
from cxrlib.runtime.errors import Refusal

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
    assert load_weights(build_resnet("resnet18", 3), "own.safetensors", CLASSES) == CLASSES
    assert weights.weights_file("absent.safetensors") is None


# torchvision


@pytest.mark.parametrize("error", [URLError("no network"), OSError("disk full")])
def test_imagenet_weights_offline(monkeypatch, error):
    def offline(*_, **__):
        raise error

    monkeypatch.setattr(models.ResNet50_Weights, "get_state_dict", offline)
    message = r"model\.weights: https://.*resnet50.* could not be downloaded.*give its path as model\.weights, or train"
    with pytest.raises(Refusal, match=message):
        load_weights(build_resnet("resnet50", 3), "imagenet", CLASSES)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
def test_imagenet_weights_of_the_right_depth_fill_all_but_the_head(monkeypatch, architecture):
    torch.manual_seed(1)
    original, network, asked = models.get_model(architecture, weights=None), build_resnet(architecture, 3), []
    head = network.fc.weight.clone()
    for enum in (models.ResNet18_Weights, models.ResNet34_Weights, models.ResNet50_Weights):
        monkeypatch.setattr(
            enum, "get_state_dict", lambda self, **settings: asked.append((self, settings)) or original.state_dict()
        )
    assert load_weights(network, "imagenet", CLASSES) == CLASSES
    assert [chosen.url.split("/")[-1].split("-")[0] for chosen, _ in asked] == [architecture]
    assert asked[0][0].name == "IMAGENET1K_V1"
    assert asked[0][1] == {"check_hash": True}
    assert torch.equal(network.fc.weight, head)
    assert torch.equal(network.layer4[0].conv1.weight, original.layer4[0].conv1.weight)


# a local file


def as_safetensors(state, path):
    save_file(state, path)


def in_a_training_checkpoint(state, path):
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.safetensors", as_safetensors), ("a.pth", torch.save), ("a.pt", in_a_training_checkpoint)],
)
def test_a_local_file_gives_the_same_features(tmp_path, inputs, name, write):
    original = models.resnet18(weights=None)
    original(inputs)  # moves the running statistics of batch norm
    write(original.eval().state_dict(), tmp_path / name)
    network = build_resnet("resnet18", 3)
    assert load_weights(network, str(tmp_path / name), CLASSES) == CLASSES
    network.eval()
    network.fc = original.fc = torch.nn.Identity()
    torch.testing.assert_close(network(inputs), original(inputs), atol=0, rtol=0)


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, save):
    path, trace = tmp_path / "evil.pth", tmp_path / "it ran"
    save({"state_dict": resnet18_state(), "note": RunsCode(trace)}, path)
    with pytest.raises(Refusal, match=r"evil\.pth: refused, .*could run code"):
        read_state(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", "not a readable PyTorch file"),
        ("a.pth", b"no weights at all", "refused, for it is damaged or holds more than tensors"),
        ("a.safetensors", b"no weights at all", "not a readable safetensors file"),
        ("absent.pth", None, "not a readable PyTorch file .*No such file"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Refusal, match=f"{name}: {message}"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("value", [{"epoch": 3}, [1, 2], {"state_dict": {}}])
def test_a_file_without_tensors_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(Refusal, match=r"a\.pth: holds no state_dict of tensors"):
        read_state(tmp_path / "a.pth")


@pytest.mark.parametrize(("stored", "wanted"), [("resnet34", "resnet18"), ("resnet18", "resnet34")])
def test_weights_of_another_architecture_are_refused(tmp_path, stored, wanted):
    path = tmp_path / "backbone.safetensors"
    save_file(models.get_model(stored, weights=None).state_dict(), path)
    with pytest.raises(Refusal, match=r"backbone\.safetensors is not this architecture: layer"):
        load_weights(build_resnet(wanted, 3), str(path), CLASSES)


@pytest.mark.slow
def test_weights_of_other_shapes_are_refused(tmp_path):
    path = tmp_path / "wide.safetensors"
    save_file(models.wide_resnet50_2(weights=None).state_dict(), path)
    with pytest.raises(Refusal, match=r"wide\.safetensors is not this architecture: layer1.*differs, \(128, 64"):
        load_weights(build_resnet("resnet50", 3), str(path), CLASSES)


# torchxrayvision


@pytest.fixture(scope="module")
def chest_folder(tmp_path_factory):
    return chest_weights(tmp_path_factory.mktemp("chest") / "models_data").parent


@pytest.fixture
def chest_network(chest_folder, monkeypatch):
    monkeypatch.setattr(weights, "CHEST_FOLDER", chest_folder)
    classes = ["Nodule/Mass", "No finding", "Pleural effusion"]
    torch.manual_seed(3)
    network = build_resnet("resnet50-xrv", 3)
    head = network.fc.weight.clone()
    assert load_weights(network, "torchxrayvision", classes, suite_names("torchxrayvision")) == ["No finding"]
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
    monkeypatch.setattr(weights, "CHEST_FOLDER", chest_folder)
    network = build_resnet("resnet50-xrv", 2)
    assert load_weights(network, "torchxrayvision", ["Nodule/Mass", "Effusion"]) == ["Nodule/Mass"]
    state = read_state(chest_folder / CHEST_FILE)
    assert torch.equal(network.fc.weight[1], state["fc.weight"][CHEST_OUTPUTS.index("Effusion")])


def test_chest_checkpoint_comes_back(chest_network, tmp_path, inputs):
    checkpoint = Checkpoint("resnet50-xrv", CLASSES, 64, 32, epoch=0, valid_loss=0.5)
    save_checkpoint(chest_network, checkpoint, tmp_path / "chest.safetensors")
    loaded, _ = load_checkpoint(tmp_path / "chest.safetensors", torch.device("cpu"))
    torch.testing.assert_close(loaded(inputs), chest_network(inputs), rtol=1e-4, atol=1e-5)


def test_chest_weights_offline_say_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "CHEST_FOLDER", tmp_path / "models_data")

    def offline(*_):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(Refusal, match=f"could not be downloaded .*put it at .*models_data/{CHEST_FILE}"):
        load_weights(build_resnet("resnet50-xrv", 3), "torchxrayvision", CLASSES)
    assert not list((tmp_path / "models_data").iterdir())


@pytest.mark.parametrize(("weights", "architecture"), [("torchxrayvision", "resnet50"), ("imagenet", "resnet50-xrv")])
def test_weights_that_cannot_fit_are_refused_at_once(weights, architecture):
    values = load_params("smoke").model_dump()
    values["model"] |= {"weights": weights, "architecture": architecture}
    with pytest.raises(ParameterError, match=f"model: weights {weights} do not fit {architecture}"):
        check_params(values, "x")
