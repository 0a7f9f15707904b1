import hashlib
import os
from urllib.error import URLError

import pytest
import torch
from fixtures import without_counters
from torchvision import models

from cxrlib.model import published
from cxrlib.model.networks import build_network
from cxrlib.model.published import imagenet_weights, weights_identity
from cxrlib.model.weight_names import head_of
from cxrlib.model.weights import load_weights
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import file_fingerprint

CLASSES = ["A", "B", "C"]
NOT_THE_PUBLISHED = pytest.mark.filterwarnings("ignore:.*is not the file that torchvision publishes")


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Put a value where torch keeps torchvision's weights of an architecture; no network is needed then."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def put(architecture, value):
        path = (
            tmp_path
            / "hub"
            / "checkpoints"
            / models.get_model_weights(architecture)["IMAGENET1K_V1"].url.split("/")[-1]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(value, path, _use_new_zipfile_serialization=False)
        return path

    return put


@NOT_THE_PUBLISHED
@pytest.mark.parametrize(
    ("architecture", "number"),
    [
        *[("resnet18", 102), ("resnet34", 182), ("resnet50", 267), ("efficientnet_b0", 311)],
        *[("mobilenet_v3_large", 266), ("densenet121", 606), ("googlenet", 305), ("regnet_y_400mf", 331)],
    ],
)
def test_the_files_that_torchvision_publishes_load(put, architecture, number):
    torch.manual_seed(1)
    quick = {"init_weights": False} if architecture == "googlenet" else {}  # its two further outputs are published too
    state = without_counters(models.get_model(architecture, weights=None, **quick).state_dict())
    assert len(state) == number
    put(architecture, state)
    network = build_network(architecture, 3)
    head, before = head_of(network), without_counters(network.state_dict())
    random = torch.get_rng_state()
    assert load_weights(network, architecture, "imagenet", CLASSES) == CLASSES
    assert torch.equal(torch.get_rng_state(), random)  # what follows draws as without these weights
    loaded = network.state_dict()
    expected = {name: (before if name.startswith(head) else state)[name] for name in before}
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert {int(value) for name, value in loaded.items() if name.endswith("num_batches_tracked")} == {0}


@NOT_THE_PUBLISHED
def test_torchvision_s_own_rules_rename_old_names(put):
    torch.manual_seed(1)
    state = without_counters(models.densenet121(weights=None).state_dict())
    put(
        "densenet121",
        {name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): state[name] for name in state},
    )
    _, found = imagenet_weights("densenet121")
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize("error", [URLError("no network"), OSError("disk full"), RuntimeError("invalid hash value")])
def test_offline(put, tmp_path, monkeypatch, error):
    def offline(*_, **__):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    message = (
        r"model\.weights: https://.*resnet50.* could not be downloaded.*put it at .*hub/checkpoints/resnet50.*or train"
    )
    with pytest.raises(Refusal, match=message):
        load_weights(build_network("resnet50", 3), "resnet50", "imagenet", CLASSES)


def test_a_download_is_checked_and_a_file_that_is_there_is_used_with_a_word(put, monkeypatch):
    asked = []

    def download(url, path, digits, progress):
        asked.append(digits)
        torch.save(models.resnet18().state_dict(), path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    put("resnet34", {})
    imagenet_weights("resnet18")
    assert asked == ["f37072fd"]
    with pytest.warns(UserWarning, match="resnet18-f37072fd.pth is not the file .* another checksum"):
        imagenet_weights("resnet18")
    assert len(asked) == 1


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@NOT_THE_PUBLISHED
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"fc.weight": RunsCode()}, "refused, .*could run code.*or delete it"),
        ({"fc.weight": torch.zeros(1)}, "holds other weights than torchvision's of resnet18; delete it"),
    ],
)
def test_another_file_in_its_place_is_refused_and_runs_nothing(put, tmp_path, monkeypatch, value, message):
    monkeypatch.chdir(tmp_path)
    put("resnet18", value)
    with pytest.raises(Refusal, match=rf"resnet18-f37072fd\.pth: {message}"):
        load_weights(build_network("resnet18", 3), "resnet18", "imagenet", CLASSES)
    assert not (tmp_path / "ran").exists()


def test_the_identity_is_the_name_only_of_what_is_published(put, monkeypatch):
    assert weights_identity("imagenet", "resnet18") == "imagenet"
    path = put("resnet18", {})
    assert weights_identity("imagenet", "resnet18") == file_fingerprint(path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(published, "_imagenet_file", lambda _: path.rename(path.with_name(f"resnet18-{digits}.pth")))
    assert weights_identity("imagenet", "resnet18") == "imagenet"
