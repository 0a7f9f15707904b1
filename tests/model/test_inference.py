import numpy as np
import pytest
import torch
from fixtures import CountedForwards, SmallNet
from torch import nn
from torchvision import models

from cxrlib.model import inference
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.inference import inference_copy, predict
from cxrlib.model.networks import build_network, normalise, to_input
from cxrlib.model.pooling import PooledNetwork

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def grey():
    return np.random.default_rng(0).integers(0, 256, (5, 80, 80), dtype=np.uint8)


def with_statistics(network: nn.Module) -> nn.Module:
    """Batch norms that do something, as after training."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "layer4"), ("resnet50", "layer4"), ("densenet121", "features"), ("efficientnet_b0", "features")],
)
def test_a_copy_gives_the_same_probabilities(name, layer):
    network = with_statistics(models.get_model(name, num_classes=5))
    inputs = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    copied = inference_copy(network, layer)
    with torch.inference_mode():
        expected = network(inputs)
        torch.testing.assert_close(copied(inputs), expected, atol=2e-5 * float(expected.abs().max()), rtol=1e-4)
    assert isinstance(copied, PooledNetwork)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copied.modules()) or name == "densenet121"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_batch_norms_of_a_resnet_are_folded_into_its_convolutions():
    copied = inference_copy(with_statistics(build_network("resnet50", 3)))
    operations = [type(module).__name__ for module in copied.features.modules()]
    assert operations.count("Conv2d") == 53 and "BatchNorm2d" not in operations


def test_bfloat16_stays_close():
    network, inputs = with_statistics(build_network("resnet18", 3)), torch.randn(2, 3, 64, 64)
    half = inference_copy(network, dtype=torch.bfloat16)
    found = half(inputs)
    assert found.dtype == torch.float32
    assert 0 < (found.sigmoid() - network(inputs).sigmoid()).abs().max() < 0.02


def test_a_batch_goes_through_a_cpu_in_chunks(monkeypatch):
    monkeypatch.setattr(inference, "CHUNK_PIXELS", 2 * 32 * 32)
    network = SmallNet().eval()
    copied, inputs = inference_copy(network, "second"), torch.randn(5, 3, 32, 32)
    with CountedForwards(copied.features.extractor) as forwards:
        torch.testing.assert_close(copied(inputs), network(inputs), atol=1e-5, rtol=1e-4)
    assert [len(batch) for batch in forwards.batches] == [2, 2, 1]


def test_probabilities_do_not_depend_on_the_batch(grey):
    network, small = build_network("resnet18", 4).eval(), to_input(grey, 64)
    expected = torch.cat([1 / (1 + (-network(normalise(image[None]))).exp()) for image in small]).detach()
    for batch_size in (1, 2, 8):
        torch.testing.assert_close(predict(network, small, batch_size), expected, atol=1e-5, rtol=1e-4)


def test_stored_inputs_are_used_like_a_tensor(grey, tmp_path):
    np.save(tmp_path / "inputs.npy", grey)
    stored = StoredInputs(tmp_path / "inputs.npy", np.array([4, 0, 2]))
    tensor = torch.from_numpy(grey[[4, 0, 2]])[:, None]
    assert len(stored) == 3
    for index in (0, 2, slice(None), slice(1, 3), [2, 0], torch.tensor([1]), torch.tensor([2, 1])):
        assert torch.equal(stored[index], tensor[index])
    batches = [torch.tensor([2, 1]), torch.tensor([0])]
    for loaded, batch in zip(load_batches(stored, batches, CPU), batches, strict=True):
        assert torch.equal(loaded, tensor[batch])
    assert list(load_batches(stored, [], CPU)) == []
