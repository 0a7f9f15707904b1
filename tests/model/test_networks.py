from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models, transforms

from cxrlib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cxrlib.model.networks import build_network, denormalise, feature_map_shape, normalise, to_input
from cxrlib.runtime.errors import Refusal

CPU = torch.device("cpu")
CHECKPOINT = Checkpoint("resnet18", ["A", "B", "C"], 64, 16, epoch=4, valid_loss=0.25)


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def grey():
    return np.random.default_rng(0).integers(0, 256, (3, 50, 70)).astype(np.uint8)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
def test_only_the_head_differs_from_torchvisions(architecture):
    network, original = build_network(architecture, 7), models.get_model(architecture, weights=None)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    expected = {name: value.shape for name, value in original.state_dict().items()}
    width = original.fc.in_features
    assert shapes == expected | {"fc.weight": (7, width), "fc.bias": (7,)}


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("stride", "side"), [(32, 224), (16, 112)])
def test_both_strides_give_seven_by_seven_cells(architecture, stride, side):
    network, shapes = build_network(architecture, 2, stride).eval(), []
    network.layer4.register_forward_hook(lambda *arguments: shapes.append(arguments[2].shape[1:]))
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, side, side)).shape == (1, 2)
    assert shapes == [(network.fc.in_features, 7, 7)]
    assert feature_map_shape(network, "layer4", side) == shapes[0]


def test_asking_for_a_shape_leaves_the_network_as_it_was():
    network = build_network("resnet18", 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert feature_map_shape(network, "layer2", 64) == (128, 8, 8)
    assert network.training and not network.layer2._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_checkpoint_comes_back_whole(tmp_path, inputs):
    network = build_network("resnet18", 3, 16).to(memory_format=torch.channels_last)
    network(inputs)  # moves the running statistics of batch norm, which must be stored too
    path = tmp_path / "models" / "best.safetensors"
    save_checkpoint(network, CHECKPOINT, path)
    loaded, checkpoint = load_checkpoint(path, CPU)
    assert checkpoint == CHECKPOINT
    assert not loaded.training
    torch.testing.assert_close(loaded(inputs), network.eval()(inputs), atol=1e-5, rtol=1e-4)
    expected = network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert [file.name for file in path.parent.iterdir()] == ["best.safetensors"]
    save_checkpoint(network, replace(CHECKPOINT, epoch=5), path)
    assert load_checkpoint(path, CPU)[1].epoch == 5


def test_missing_truncated_and_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "best.safetensors"
    with pytest.raises(Refusal, match="no such checkpoint; run notebook 02_training first"):
        load_checkpoint(path, CPU)
    save_checkpoint(build_network("resnet18", 3), CHECKPOINT, path)
    for damaged in (path.read_bytes()[:-1000], path.read_bytes()[:20], b""):
        path.write_bytes(damaged)
        with pytest.raises(Refusal, match=r"best\.safetensors: not a readable safetensors file"):
            load_checkpoint(path, CPU)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(Refusal, match="holds weights but no description"):
        load_checkpoint(path, CPU)


def test_input_equals_the_thesis_pipeline(grey):
    """Resize, ToTensor and Normalize on PIL images, as the thesis has them."""
    pipeline = transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    expected = torch.stack([pipeline(Image.fromarray(image).convert("RGB")) for image in grey])
    small = to_input(grey, 32)
    assert small.dtype == torch.uint8
    assert small.shape == (3, 1, 32, 32)
    found = normalise(small)
    one_grey_level = 1 / 255 / 0.224
    assert (found - expected).abs().max() <= one_grey_level * 1.05
    assert float((found - expected).abs().mean()) < one_grey_level / 4
    for image, tensor in zip(small, found, strict=True):
        exact = transforms.functional.normalize(
            transforms.functional.to_tensor(Image.fromarray(image[0].numpy()).convert("RGB")),
            [0.485, 0.456, 0.406],
            [0.229, 0.224, 0.225],
        )
        torch.testing.assert_close(tensor, exact)


def test_denormalising_undoes_normalising(grey):
    small = to_input(grey, 16)
    torch.testing.assert_close(denormalise(normalise(small)), (small / 255).expand(-1, 3, -1, -1))
