"""On a GPU: is everything right there, and how fast is it beside its peers?

    python -m benchmarks.gpu correct speed               # on a machine with an NVIDIA GPU
    python -m benchmarks.gpu correct speed --size small  # the same code on a CPU, on small networks and images

`correct` compares maps, SmoothGrad and perturbation with the CPU in float64, `speed` times them beside pytorch-grad-cam
and captum. Results go to outputs/gpu.json, or to the file that --to names. `benchmarks.full_scale` times the whole
thesis.
"""

import argparse
import contextlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cxrlib.evaluate.perturbation import perturb
from cxrlib.explain.batched import explain
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.smoothgrad import smoothgrad
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network, normalise
from cxrlib.model.training import Recipe, train
from cxrlib.runtime.device import pick_device, use_device
from cxrlib.runtime.files import PROJECT_ROOT, read_json, write_json

CLASSES = 7
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
SHARES, KERNELS = [0.02, 0.05, 0.1, 0.2, 0.5], [11, 21]


@dataclass(frozen=True)
class Size:
    """How large the measurement is: network, side of the input in pixels, images, SmoothGrad's samples, repeats."""

    architecture: str
    side: int
    images: int
    samples: int
    repeats: int
    batches: tuple[int, ...]


SIZES = {
    "full": Size("resnet50", 224, 1480, 50, 7, (32, 128, 256, 512)),
    "small": Size("resnet18", 48, 8, 4, 2, (4, 8)),
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


def correct(size: Size, device: torch.device) -> dict:
    """Differences from the CPU in float64, per precision; determinism; what happens when memory does not suffice."""
    network, images = build(size), pictures(8, size.side)
    exact = build(size).double()
    reference, logits = gradcam(exact, normalise(images).double())
    probabilities = logits.sigmoid()
    drops = perturb(inference_copy(network), images, reference.float(), probabilities.float(), 0.0, SHARES, KERNELS, 15)
    found = {}
    for precision, dtype in PRECISIONS.items():
        use_device(device.type, precision=precision)
        fast = inference_copy(network.to(device), dtype=dtype)
        maps, answers = gradcam(fast, normalise(images.to(device)))
        again, _ = gradcam(fast, normalise(images.to(device)))
        still = smoothgrad(fast, normalise(images[:1].to(device))[0], 1e-9, 4, seed=0, batch_size=3)
        noisy = [smoothgrad(fast, normalise(images[:1].to(device))[0], 0.1, 8, 0, batch_size=size) for size in (3, 8)]
        there = perturb(fast, images, reference.float(), probabilities.float(), 0.0, SHARES, KERNELS, 15)
        columns = list(range(CLASSES))
        found[precision] = {
            "maps": distance(maps, reference),
            "probabilities": float((answers.double().cpu().sigmoid() - probabilities).abs().max()),
            "smoothgrad_without_noise": distance(still, reference[0]),
            "smoothgrad_with_other_batches": distance(noisy[0], noisy[1]),
            "perturbation": float(np.abs(there[columns].to_numpy() - drops[columns].to_numpy()).max()),
            "same_bytes_twice": bool(torch.equal(maps, again)),
        }
        network.cpu()
    use_device(device.type)
    found["out_of_memory"] = out_of_memory(size, device)
    return found


def out_of_memory(size: Size, device: torch.device) -> str:
    """What is said when a batch does not fit; the maps must come all the same."""
    if device.type != "cuda":
        return "not tried: no CUDA device"
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(2 * 1024**3 / total, device)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            maps, _ = explain(inference_copy(build(size).to(device)), pictures(1024, size.side), "layer4", 1024)
        assert len(maps) == 1024
        return str(said[0].message) if said else "1,024 images fit into 2 GiB"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()


def speed(size: Size, device: torch.device) -> dict:
    """Milliseconds per image of each method and of its peers, each with its best batch; and of training."""
    found = {"peak": peaks(device, 2048 if size.side == 224 else 256)}
    for precision, dtype in PRECISIONS.items():
        use_device(device.type, precision=precision)
        fast = inference_copy(build(size).to(device), dtype=dtype)
        found[precision] = ours(fast, size, device)
        found[precision]["training_images_per_second"] = training_rate(size, device, precision)
    use_device(device.type)
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


def peers(network: nn.Module, size: Size, device: torch.device) -> Iterator[tuple[str, dict]]:
    """Milliseconds per image of pytorch-grad-cam and captum, each with its best batch, float32; maps checked first."""
    from captum.attr import LayerGradCam, NoiseTunnel
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    warnings.filterwarnings("ignore")  # the peers' own
    fast = inference_copy(network)  # before the peers hang their hooks on the network
    layer, explainer = LayerGradCam(network, network.layer4), GradCAM(network, [network.layer4])

    def captum(inputs: torch.Tensor) -> torch.Tensor:
        maps = [layer.attribute(inputs, target=c, relu_attributions=True)[:, 0].detach() for c in range(CLASSES)]
        return torch.stack(maps, 1)

    def pytorch_grad_cam(inputs: torch.Tensor) -> np.ndarray:
        return np.stack([explainer(inputs, [ClassifierOutputTarget(c)] * len(inputs)) for c in range(CLASSES)], 1)

    inputs = normalise(pictures(size.batches[0], size.side).to(device))
    difference = distance(captum(inputs), gradcam(fast, inputs)[0])
    assert difference < 1e-3, f"captum computes something else: {difference}"
    for name, method in {"captum": captum, "pytorch_grad_cam": pytorch_grad_cam}.items():
        times = {}
        for batch in size.batches:
            inputs = normalise(pictures(batch, size.side).to(device))
            with contextlib.suppress(torch.OutOfMemoryError):
                times[batch] = 1e3 * best_of(lambda inputs=inputs, method=method: method(inputs), device, 3) / batch
        yield name, {"gradcam_ms": min(times.values()), "best_batch": min(times, key=times.get)}
    tunnel, one = NoiseTunnel(layer), normalise(pictures(1, size.side).to(device))

    def smooth() -> None:
        for c in range(CLASSES):
            tunnel.attribute(one, target=c, nt_type="smoothgrad", nt_samples=size.samples, stdevs=0.1)

    yield "captum_smoothgrad", {"ms_an_image": 1e3 * best_of(smooth, device, 3)}


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


PARTS = {"correct": correct, "speed": speed}


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts asked for, print and store each as it is done."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them without an argument")
    parser.add_argument("--size", choices=SIZES, default="full", help="full (default) needs a CUDA device")
    parser.add_argument(
        "--to",
        type=Path,
        default=PROJECT_ROOT / "outputs" / "gpu.json",
        metavar="FILE",
        help="default: outputs/gpu.json",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part {min(unknown)!r}; choose {', '.join(PARTS)}")
    device = pick_device("auto")
    if options.size == "full" and device.type != "cuda":
        parser.error("--size full needs a CUDA device; --size small runs anywhere")
    results = read_json(options.to) if options.to.exists() else {}
    for name in options.parts or PARTS:
        begun = time.perf_counter()
        results[name] = PARTS[name](SIZES[options.size], device) | {"seconds": time.perf_counter() - begun}
        results["machine"] = machine(device)
        write_json(options.to, results)
        show(name, results[name])
    return 0


def show(name: str, found: object, depth: int = 0) -> None:
    """Print nested results, a value a line."""
    if isinstance(found, dict):
        print(f"{'  ' * depth}{name}", flush=True)
        for key, value in found.items():
            show(key, value, depth + 1)
    else:
        print(
            f"{'  ' * depth}{name:40} {found:.4g}" if isinstance(found, float) else f"{'  ' * depth}{name:40} {found}"
        )


if __name__ == "__main__":
    sys.exit(main())
