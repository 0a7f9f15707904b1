"""Copies of a network for inference only: cut before the pooling, with batch norms folded into convolutions."""

import copy
import math

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse

from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.fused import fuse_convolutions
from cxrlib.model.networks import device_of, normalise
from cxrlib.model.pooling import split_at_pooling
from cxrlib.runtime.memory import smaller_batches

CHUNK_PIXELS = 8 * 224 * 224
"""Pixels that go through a CPU at once. The activations of more pixels leave its cache (measured with ResNet50)."""


class _Features(nn.Module):
    """Runs a feature extractor in its own number format and, on a CPU, a few images at a time."""

    def __init__(self, extractor: nn.Module, dtype: torch.dtype, chunk_pixels: int | None) -> None:
        super().__init__()
        self.extractor, self.dtype, self.chunk_pixels = extractor, dtype, chunk_pixels

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inputs = inputs.to(self.dtype, memory_format=torch.channels_last)
        size = len(inputs)
        if self.chunk_pixels:
            size = max(1, self.chunk_pixels // (inputs.shape[2] * inputs.shape[3]))
        parts = inputs.chunk(math.ceil(len(inputs) / size))
        return torch.cat([self.extractor(part) for part in parts]).float()


def inference_copy(network: nn.Module, layer: str = "layer4", dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy that gives the same logits faster and whose `layer` can be explained, but that cannot be trained.

    A network with global average pooling and a linear layer after `layer` (every torchvision ResNet, DenseNet and
    EfficientNet) becomes a `PooledNetwork`: batch norms are folded into convolutions, memory runs channels last and,
    on a CPU, each convolution is one operator with the addition and ReLU after it. Any other is copied as it is.

    Args:
        network: on its device.
        layer: name of the module to explain.
        dtype: number format of the features. torch.bfloat16 needs half the memory and, on devices that have it, about
            half the time. Pooling, logits and maps are always float32.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    pooled = split_at_pooling(copied, layer)
    if pooled is None:
        return copied
    on_cpu = device_of(network).type == "cpu"
    extractor = fuse(pooled.features).to(dtype, memory_format=torch.channels_last)
    if on_cpu:
        extractor = _fused_where_equal(extractor, dtype)
    pooled.features = _Features(extractor, dtype, CHUNK_PIXELS if on_cpu else None)
    return pooled.requires_grad_(False)


@smaller_batches
def predict(network: nn.Module, images: torch.Tensor | StoredInputs, batch_size: int) -> torch.Tensor:
    """Probabilities `sigmoid(logit)` of all labels: one forward pass per image.

    Args:
        network: in evaluation mode, logits (n, classes).
        images: uint8 (n, 1, h, w) in the network's frame.
        batch_size: images per forward pass.

    Returns:
        float32 (n, classes) on the CPU.
    """
    batches = torch.arange(len(images)).split(batch_size)
    with torch.inference_mode():
        loaded = load_batches(images, batches, device_of(network))
        return torch.cat([network(normalise(batch)).sigmoid() for batch in loaded]).cpu()


def _fused_where_equal(extractor: fx.GraphModule, dtype: torch.dtype) -> fx.GraphModule:
    """The extractor with fused convolutions; unchanged where the operators are missing or their result differs."""
    probe = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    with torch.inference_mode():
        expected = extractor(probe)
        try:
            fused = fuse_convolutions(copy.deepcopy(extractor))
            same = torch.allclose(fused(probe), expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())
        except RuntimeError:
            return extractor
    return fused if same else extractor
