"""How time and memory grow with images, classes, samples and shares, with the peers on the same axes."""

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import quantus
import torch
from captum.attr import LayerGradCam, NoiseTunnel
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from benchmarks.explanations import CLASSES, NOISE, SIZE, grey_images, resnet_with_statistics
from benchmarks.resources import ALL_PASSES, peak_memory, run_fresh
from benchmarks.timing import seconds
from cxrlib.evaluate.perturbation import perturb
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.smoothgrad import smoothgrad
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise
from cxrlib.show.figures.style import PAGE_WIDTH, set_style

LOOKS = {
    "this project": {"color": "#0072B2", "marker": "o"},
    "captum": {"color": "#E69F00", "marker": "s"},
    "pytorch-grad-cam": {"color": "#D55E00", "marker": "^"},
    "Quantus": {"color": "#009E73", "marker": "D"},
}
TIMES = 3
"""How often each point is measured."""
PEAK_OF = "from benchmarks.growth import {work}; {work}({count})"


def measure() -> dict[str, dict[str, dict[int, list[float]]]]:
    """Panel -> who -> how many -> seconds, or MiB where the panel's name says memory.

    A panel's name is its title, a colon, and what is counted.
    """
    network = resnet_with_statistics()
    fast = inference_copy(network)
    images = {n: normalise(grey_images(n)) for n in (1, 2, 4, 8, 16)}
    cam, layer = GradCAM(network, [network.layer4]), LayerGradCam(network, network.layer4)
    tunnel = NoiseTunnel(layer)

    def captum(inputs: torch.Tensor, classes: int) -> list:
        return [layer.attribute(inputs, target=c, relu_attributions=True) for c in range(classes)]

    def grad_cam(inputs: torch.Tensor, classes: int) -> list:
        return [cam(inputs, [ClassifierOutputTarget(c)] * len(inputs)) for c in range(classes)]

    def noise_tunnel(samples: int) -> list:
        settings = {"nt_type": "smoothgrad", "nt_samples_batch_size": 10, "stdevs": NOISE}
        return [tunnel.attribute(images[1], target=c, nt_samples=samples, **settings) for c in range(CLASSES)]

    maps, _ = gradcam(fast, images[1])
    heat = nn.functional.interpolate(maps[:, :1], (SIZE, SIZE), mode="bilinear").numpy()
    quiet = {"disable_warnings": True, "display_progressbar": False, "perturb_baseline": "mean"}
    batch = {"x_batch": images[1].numpy(), "y_batch": np.zeros(1, int), "a_batch": heat, "device": "cpu"}

    def flip(steps: int) -> list:
        return quantus.PixelFlipping(3 * SIZE * SIZE // steps, **quiet)(model=network, softmax=False, **batch)

    def replace(shares: int) -> object:
        grey, wanted = grey_images(1), np.linspace(0.1, 0.9, shares).tolist()
        return perturb(fast, grey, maps, torch.eye(CLASSES)[[0]], 0.5, wanted, [], 16)

    numbers = [1, 2, 4, 8, 16]
    return {
        "Grad-CAM of 7 classes: images in a batch": {
            "this project": _times(lambda n: gradcam(fast, images[n]), numbers),
            "captum": _times(lambda n: captum(images[n], CLASSES), numbers),
            "pytorch-grad-cam": _times(lambda n: grad_cam(images[n], CLASSES), numbers[:4]),
        },
        "Grad-CAM of 2 images: classes": {
            "this project": _times(lambda n: gradcam(fast, images[2], classes=list(range(n))), [1, 3, 5, 7]),
            "captum": _times(lambda n: captum(images[2], n), [1, 3, 5, 7]),
            "pytorch-grad-cam": _times(lambda n: grad_cam(images[2], n), [1, 3, 5, 7]),
        },
        "SmoothGrad of 7 classes, 10 at once: noisy samples": {
            "this project": _times(lambda n: smoothgrad(fast, images[1][0], NOISE, n, 0, batch_size=10), [5, 10, 20]),
            "captum": _times(noise_tunnel, [5, 10, 20]),
        },
        "Perturbation: changed copies of an image": {
            "this project": _times(replace, [3, 6, 12, 24]),
            "Quantus": _times(flip, [3, 6, 12, 24]),
        },
        "Memory of SmoothGrad, captum all at once: noisy samples": {
            "this project": _memory(PEAK_OF.format(work="our_samples", count="{}"), [5, 20, 50]),
            "captum": _memory(PEAK_OF.format(work="captum_samples", count="{}"), [5, 20, 50]),
        },
        "Memory of all passes, ResNet18: stored images": {"this project": _memory_by_images([100, 400, 700, 1000])},
    }


def our_samples(samples: int) -> None:
    """Print the peak memory in MiB of SmoothGrad over so many samples."""
    network = inference_copy(resnet_with_statistics())
    smoothgrad(network, normalise(grey_images(1))[0], NOISE, samples, seed=0)
    print(peak_memory())


def captum_samples(samples: int) -> None:
    """The same for captum's NoiseTunnel as it comes: all samples in one batch."""
    network = resnet_with_statistics()
    tunnel = NoiseTunnel(LayerGradCam(network, network.layer4))
    tunnel.attribute(normalise(grey_images(1)), target=0, nt_type="smoothgrad", nt_samples=samples, stdevs=NOISE)
    print(peak_memory())


def growth_figure(panels: dict[str, dict[str, dict[int, list[float]]]]) -> Figure:
    """One panel per thing that grows: medians, and bars from minimum to maximum; lines are named once."""
    set_style()
    figure, axes = plt.subplots(2, 3, figsize=(PAGE_WIDTH, 4.4))
    for ax, (words, lines) in zip(axes.flat, panels.items(), strict=True):
        for name, values in lines.items():
            middle = [statistics.median(found) for found in values.values()]
            reach = [[m - min(v), max(v) - m] for m, v in zip(middle, values.values(), strict=True)]
            ax.errorbar(list(values), middle, np.transpose(reach), ms=3, capsize=2, elinewidth=0.6, **LOOKS[name])
        title, counted = words.split(": ")
        ax.set_title(title.replace(", ", "\n"), fontsize=7)
        ax.set(xlabel=counted, ylabel="peak memory / MiB" if title.startswith("Memory") else "time / s")
        ax.set_xticks(list(next(iter(lines.values()))))
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
    shown = {name: plt.Line2D([], [], ms=3, **look) for name, look in LOOKS.items()}
    figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=len(shown), frameon=False)
    settings = f"ResNet50 unless named, {SIZE} px, {os.cpu_count()} cores; pytorch-grad-cam up to 8 images"
    figure.supxlabel(f"{settings}; medians of {TIMES}, bars from minimum to maximum", fontsize=6, color="#666666")
    return figure


def _times(work: Callable[[int], object], counts: list[int]) -> dict[int, list[float]]:
    work(counts[0])
    return {count: [seconds(lambda count=count: work(count)) for _ in range(TIMES)] for count in counts}


def _memory(code: str, counts: list[int]) -> dict[int, list[float]]:
    return {count: [run_fresh(code.format(count)) for _ in range(TIMES)] for count in counts}


def _memory_by_images(counts: list[int]) -> dict[int, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inputs.npy"
        np.save(path, np.random.default_rng(0).integers(0, 256, (max(counts), SIZE, SIZE), np.uint8))
        return _memory(ALL_PASSES.format(path=path, count="{}"), counts)
