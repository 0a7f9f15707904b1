"""How fast is a GPU? Milliseconds of each method, and images per second of training."""

import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.gpu_peers import peers
from benchmarks.gpu_setup import CLASSES, KERNELS, PRECISIONS, SHARES, Size, best_of, build, by_turns, now, pictures
from cxrlib.evaluate.perturbation import perturb
from cxrlib.explain.batched import explain
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.smoothgrad import smoothgrad
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise
from cxrlib.model.training import Recipe, train
from cxrlib.runtime.device import use_device


def speed(size: Size, device: torch.device) -> dict:
    """Milliseconds per image of each method and of its peers, each with its best batch; and of training."""
    found = {"peak": peaks(device, 2048 if size.side == 224 else 256)}
    for precision, dtype in PRECISIONS.items():
        use_device(device.type, precision=precision)
        fast = inference_copy(build(size).to(device), dtype=dtype)
        found[precision] = ours(fast, size, device)
        found[precision]["training_images_per_second"] = training_rate(size, device, precision)
    use_device(device.type)
    found["loader_images_per_second"] = loader_rate(size, device)
    found["peers"] = dict(peers(build(size).to(device), size, device))
    return found


def peaks(device: torch.device, side: int) -> dict[str, float]:
    """What a matrix product of side 4 x `side` reaches here, in TFLOP/s."""
    side *= 4
    reached = {}
    for precision, dtype in PRECISIONS.items():
        use_device(device.type, precision=precision)
        one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        reached[precision] = 2 * side**3 / best_of(lambda one=one, other=other: one @ other, device, 5) / 1e12
    use_device(device.type)
    return reached


def ours(fast: nn.Module, size: Size, device: torch.device) -> dict[str, float]:
    """Milliseconds per image of the forward pass, of all classes' maps, of SmoothGrad and of a perturbed image."""
    images = pictures(size.images, size.side)
    found, best = {}, {}
    for batch in size.batches:
        inputs = normalise(pictures(batch, size.side).to(device))
        forward = torch.inference_mode()(lambda inputs=inputs: fast(inputs))
        times = by_turns([forward, lambda inputs=inputs: gradcam(fast, inputs)], device, size.repeats)
        found[f"batch {batch}"] = {"forward_ms": 1e3 * times[0] / batch, "gradcam_ms": 1e3 * times[1] / batch}
        best[batch] = times[1] / batch
    batch = min(best, key=best.get)
    one = normalise(images[:1].to(device))[0]
    smooth = best_of(lambda: smoothgrad(fast, one, 0.1, size.samples, 0, batch_size=size.samples), device, size.repeats)
    copies = one.expand(size.samples, -1, -1, -1).contiguous()
    floor = best_of(torch.inference_mode()(lambda: fast(copies)), device, size.repeats)
    begun = now(device)
    maps, probabilities = explain(fast, images, "layer4", batch)
    stored = now(device) - begun
    chosen = torch.zeros_like(probabilities)
    chosen[:, :3] = 1.0  # the thesis explains about three classes of an image
    begun = now(device)
    perturb(fast, images, maps, chosen, 0.5, SHARES, KERNELS, batch_size=45)
    found |= {
        "best_batch": batch,
        "gradcam_over_forward": statistics.median(
            found[f"batch {b}"]["gradcam_ms"] / found[f"batch {b}"]["forward_ms"] for b in size.batches
        ),
        "smoothgrad_ms_an_image": 1e3 * smooth,
        "smoothgrad_over_forward": smooth / floor,
        "explanation_of_the_test_split_s": stored,
        "perturbation_of_the_test_split_s": now(device) - begun,
        "images": size.images,
    }
    return found


def training_rate(size: Size, device: torch.device, precision: str) -> float:
    """Images per second of the training loop, with augmentation, from memory of the host."""
    count = 64 * 32 if size.side == 224 else 32
    images, targets = pictures(count, size.side), torch.zeros(count, CLASSES)
    targets[::3] = 1
    network = build(size).to(device, memory_format=torch.channels_last)
    sets = (images, targets), (images[:32], targets[:32])
    for _ in range(2):  # the first epoch chooses kernels and does not count
        begun = now(device)
        train(network, *sets, Recipe(epochs=1, batch_size=32), lambda *_: None, precision)
    return count / (now(device) - begun)


def loader_rate(size: Size, device: torch.device) -> float:
    """Images per second that arrive on the device from a file in random order, in training's batches of 32."""
    count = 256 * 32 if size.side == 224 else 64
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, pictures(64, size.side)[:, 0].repeat(count // 64, 1, 1).numpy())
        stored = StoredInputs(path, np.arange(count))
        batches = torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(32)
        return count / best_of(lambda: [None for _ in load_batches(stored, batches, device)], device, 3)
