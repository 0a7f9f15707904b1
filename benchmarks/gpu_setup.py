"""What the measurements on a GPU share: sizes, network, pictures, and times taken when the device is done."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from cxrlib.model.networks import build_network

CLASSES = 7
SHARES, KERNELS = [0.02, 0.05, 0.1, 0.2, 0.5], [11, 21]
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Size:
    """How large the measurement is.

    Attributes:
        architecture, side: the network, and the side of its input in pixels.
        images: of the test split.
        samples: of SmoothGrad.
        channels, steps: of Score-CAM and of integrated gradients.
        repeats: of what is timed.
        batches: of which the fastest counts.
    """

    architecture: str
    side: int
    images: int
    samples: int
    channels: int
    steps: int
    repeats: int
    batches: tuple[int, ...]


SIZES = {
    "full": Size("resnet50", 224, 1480, 50, 512, 50, 7, (32, 128, 256, 512)),
    "small": Size("resnet18", 48, 8, 4, 16, 4, 2, (4, 8)),
}


def build(size: Size) -> nn.Module:
    """A network with random weights, and batch statistics that do something."""
    torch.manual_seed(0)
    network = build_network(size.architecture, CLASSES)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(0, 0.1)
    return network.eval()


def pictures(count: int, side: int) -> torch.Tensor:
    """Smooth 8-bit pictures (count, 1, side, side)."""
    coarse = torch.randint(0, 256, (count, 1, 14, 14), generator=torch.Generator().manual_seed(0)).float()
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear").to(torch.uint8)


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, as a fraction of the largest expected value."""
    expected = expected.double().cpu()
    return float((found.double().cpu() - expected).abs().max() / expected.abs().max())


def now(device: torch.device) -> float:
    """Seconds, when all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def best_of(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of `repeats` calls, after one that does not count."""
    return by_turns([work], device, repeats)[0]


def by_turns(works: list[Callable[[], object]], device: torch.device, repeats: int) -> list[float]:
    """Median seconds of each piece of work, called by turns, after one call of each that does not count."""
    times = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, taken in zip(works, times, strict=True):
            begun = now(device)
            work()
            if turn:
                taken.append(now(device) - begun)
    return [statistics.median(taken) for taken in times]


def machine(device: torch.device) -> dict:
    """What measured."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "peak_memory_GiB": torch.cuda.max_memory_allocated(device) / 1024**3 if cuda else None,
    }
