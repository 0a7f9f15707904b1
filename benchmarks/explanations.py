"""Forward pass, Grad-CAM, SmoothGrad and perturbation beside their peers: ResNet50, 224 px, 7 classes."""

import copy
import statistics
from collections.abc import Iterator

import cv2
import numpy as np
import quantus
import torch
from captum.attr import LayerGradCam, NoiseTunnel
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.resources import run_fresh
from benchmarks.timing import by_turns, entry, overhead, seconds, speedup
from cxrlib.evaluate.perturbation import perturb
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.smoothgrad import smoothgrad
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network, normalise

CLASSES, SIZE, IMAGES, SAMPLES, NOISE = 7, 224, 16, 50, 0.1
FEW = 4  # images of a measurement that is repeated more often
FLIPPED, STEPS = 64, 6  # images in one batch, the default of Quantus, and its steps; it counts channels one by one
MEMORY_KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}  # glibc gives none back to the system
SHARES = [0.02, 0.05, 0.1, 0.2, 0.5]


FORWARD_RATIO = "from benchmarks.explanations import forward_ratio; print(forward_ratio())"


def resnet_with_statistics(architecture: str = "resnet50") -> nn.Module:
    """A ResNet with random weights and batch statistics that do something."""
    torch.manual_seed(0)
    network = build_network(architecture, CLASSES)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(0, 0.1)
    return network.eval()


def grey_images(count: int, size: int = SIZE) -> torch.Tensor:
    """Smooth 8-bit pictures (n, 1, size, size)."""
    coarse = torch.randint(0, 256, (count, 1, 14, 14), generator=torch.Generator().manual_seed(0)).float()
    return nn.functional.interpolate(coarse, (size, size), mode="bilinear").to(torch.uint8)


def forward_passes(network: nn.Module, fast: nn.Module) -> dict[str, dict]:
    """The inference copy against torchvision's own forward pass, and against a matrix product."""
    inputs = normalise(grey_images(IMAGES))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(inputs[:1])
    operations, left, right = counter.get_total_flops() * len(inputs), torch.randn(2048, 2048), torch.randn(2048, 2048)
    plain = torch.no_grad()(lambda: network(inputs))
    ours = torch.inference_mode()(lambda: fast(inputs))
    half = inference_copy(network, dtype=torch.bfloat16)
    with torch.no_grad():
        before = plain().sigmoid()
        change = {
            "change_of_probabilities": float((ours().sigmoid() - before).abs().max()),
            "change_of_probabilities_in_bfloat16": float((half(inputs).sigmoid() - before).abs().max()),
        }
    times = by_turns(ours, plain)
    found = {"forward_vs_torchvision": speedup(times, len(inputs), "ms per image", "eval, NCHW, no_grad") | change}
    found["forward_vs_torchvision"]["where_malloc_keeps_memory"] = run_fresh(FORWARD_RATIO, **MEMORY_KEPT)
    times = by_turns(ours, lambda: [left @ right for _ in range(8)])
    reached = [operations / value / 1e9 for value in times[0]]
    peak = [8 * 2 * 2048**3 / value / 1e9 for value in times[1]]
    ratios = [one / other for one, other in zip(reached, peak, strict=True)]
    found["forward_of_gemm_peak"] = entry(ratios, reached, peak, "GFLOP/s", "torch.mm of 2048 x 2048, float32")
    return found


def forward_ratio() -> float:
    """How many times faster than torchvision's the forward pass of the inference copy is."""
    network, inputs = resnet_with_statistics(), normalise(grey_images(IMAGES))
    fast = inference_copy(network)
    with torch.inference_mode():
        return speedup(by_turns(lambda: fast(inputs), lambda: network(inputs)), IMAGES, "", "")["ratio"]


def gradcam_maps(network: nn.Module, fast: nn.Module) -> dict[str, dict]:
    """Raw maps of seven classes for one batch of images."""
    inputs = normalise(grey_images(IMAGES))
    half = inference_copy(network, dtype=torch.bfloat16)  # before the peers hang their hooks on it
    explainer, layer = GradCAM(network, [network.layer4]), LayerGradCam(network, network.layer4)

    def pytorch_grad_cam() -> np.ndarray:
        return np.stack([explainer(inputs, [ClassifierOutputTarget(c)] * len(inputs)) for c in range(CLASSES)], 1)

    def captum() -> torch.Tensor:
        maps = [layer.attribute(inputs, target=c, relu_attributions=True)[:, 0].detach() for c in range(CLASSES)]
        return torch.stack(maps, 1)

    def ours() -> torch.Tensor:
        return gradcam(fast, inputs)[0]

    maps = ours()
    assert (captum() - maps).abs().max() <= 1e-4 * maps.max(), "captum computes something else"
    for theirs, mine in zip(pytorch_grad_cam().reshape(-1, SIZE, SIZE), maps.flatten(0, 1).numpy(), strict=True):
        scaled = _min_max(cv2.resize(_min_max(mine), (SIZE, SIZE)))  # it scales before and after resizing
        assert np.abs(scaled - theirs).max() < 0.001, "pytorch-grad-cam computes something else"
    change = (gradcam(half, inputs)[0] - maps).abs().max() / maps.max()
    unit, forward = "ms per image, 7 classes", torch.inference_mode()(lambda: fast(inputs))
    gradcams = speedup(by_turns(ours, pytorch_grad_cam), IMAGES, unit, "pytorch-grad-cam")
    in_bfloat16 = statistics.median(by_turns(lambda: gradcam(half, inputs), ours)[0]) * 1000 / IMAGES
    return {
        "gradcam_vs_pytorch_grad_cam": gradcams
        | {"in_bfloat16": gradcams["peer"] / in_bfloat16, "change_of_maps_in_bfloat16": float(change)},
        "gradcam_vs_captum": speedup(by_turns(ours, captum), IMAGES, unit, "captum LayerGradCam"),
        "gradcam_over_forward": overhead(
            by_turns(ours, forward, repeats=15), IMAGES, unit, "the same copy's forward pass"
        ),
    }


def _min_max(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (np.ptp(values) + 1e-7)


def smoothgrad_maps(network: nn.Module, fast: nn.Module) -> dict[str, dict]:
    """Fifty noisy copies of one image, seven classes."""
    image = normalise(grey_images(1))[0]
    tunnel = NoiseTunnel(LayerGradCam(network, network.layer4))

    def captum(noise: float = NOISE, at_once: int | None = 10) -> torch.Tensor:
        sigma = float(noise * (image.max() - image.min()))
        settings = {"nt_type": "smoothgrad", "nt_samples": SAMPLES, "nt_samples_batch_size": at_once, "stdevs": sigma}
        maps = [
            tunnel.attribute(image[None], target=c, relu_attributions=True, **settings)[0, 0] for c in range(CLASSES)
        ]
        return torch.stack(maps).detach()

    def ours(noise: float = NOISE) -> torch.Tensor:
        return smoothgrad(fast, image, noise, SAMPLES, seed=0, batch_size=16)

    copies = image.expand(SAMPLES, -1, -1, -1).contiguous()
    forward = torch.inference_mode()(lambda: [fast(part) for part in copies.split(16)])
    still = ours(0.0)
    assert (captum(1e-9) - still).abs().max() <= 1e-4 * still.max(), "captum computes something else"
    unit = "ms per image, 7 classes, n = 50"
    in_tens = speedup(by_turns(ours, captum), 1, unit, "NoiseTunnel over LayerGradCam, 10 at once")
    as_it_comes = 1000 * seconds(lambda: captum(at_once=None)) / in_tens["ours"]
    return {
        "smoothgrad_vs_captum": in_tens | {"all_samples_at_once_as_it_comes": as_it_comes},
        "smoothgrad_over_forward": overhead(by_turns(ours, forward), 1, unit, "50 forward passes of the same copy"),
    }


def perturbations(network: nn.Module, fast: nn.Module) -> dict[str, dict]:
    """One class of each image; time per perturbed image."""
    images = grey_images(FLIPPED)
    inputs = normalise(images)
    maps, _ = gradcam(fast, inputs)
    first_class = torch.eye(CLASSES)[[0] * IMAGES]
    flipping = quantus.PixelFlipping(
        features_in_step=3 * SIZE * SIZE // STEPS,
        perturb_baseline="mean",
        disable_warnings=True,
        display_progressbar=False,
    )
    heat = nn.functional.interpolate(maps[:, :1], (SIZE, SIZE), mode="bilinear").numpy()
    settings = {"x_batch": inputs.numpy(), "y_batch": np.zeros(FLIPPED, int), "a_batch": heat, "device": "cpu"}

    def theirs() -> list:
        return flipping(model=network, softmax=False, **settings)

    def ours(count: int = IMAGES) -> object:
        chosen = images[:count], maps[:count], first_class[:count]
        return perturb(fast, *chosen, 0.5, SHARES, [11, 21], batch_size=15)

    _check_flipping(network, inputs, heat, theirs())
    variants = normalise(images[:1].expand(15, -1, -1, -1).contiguous())
    forward = torch.inference_mode()(lambda: [fast(variants) for _ in range(FEW)])
    times = by_turns(ours, theirs)
    counts = len(variants) * IMAGES, STEPS * FLIPPED
    per_ours, per_theirs = ([1000 * v / n for v in values] for values, n in zip(times, counts, strict=True))
    ratios = [theirs / mine for mine, theirs in zip(per_ours, per_theirs, strict=True)]
    unit, floor = "ms per perturbed image", by_turns(lambda: ours(FEW), forward, repeats=15)
    return {
        "perturbation_vs_quantus": entry(
            ratios, per_ours, per_theirs, unit, "Quantus PixelFlipping, mean, no softmax, 64 images at once"
        ),
        "perturbation_over_forward": overhead(floor, len(variants) * FEW, unit, "as many plain forward passes"),
    }


def _check_flipping(network: nn.Module, inputs: torch.Tensor, heat: np.ndarray, scores: list) -> None:
    """Quantus's first step replaces the top 1/STEPS by a mean and reads the same class's logit, as ours does."""
    top = torch.from_numpy(heat).flatten(2).argsort(dim=-1, descending=True)[..., : SIZE * SIZE // STEPS]
    changed = inputs.flatten(2).clone()
    changed.scatter_(2, top.expand(-1, 3, -1), inputs.mean((1, 2, 3))[:, None, None].expand(-1, 3, top.shape[-1]))
    with torch.no_grad():
        expected = network(changed.view_as(inputs))[:, 0].numpy()
    assert np.allclose([one[0] for one in scores], expected, atol=0.05), "Quantus computes something else"


def measure() -> Iterator[tuple[str, dict]]:
    """All entries of this module, as they are measured."""
    network = resnet_with_statistics()
    fast = inference_copy(copy.deepcopy(network))
    for part in (forward_passes, gradcam_maps, smoothgrad_maps, perturbations):
        yield from part(network, fast).items()
