"""Is everything right on a GPU? Differences from the processor in float64."""

import warnings

import numpy as np
import torch

from benchmarks.gpu_setup import CLASSES, KERNELS, PRECISIONS, SHARES, SIZES, Size, build, distance, pictures
from cxrlib.evaluate.perturbation import perturb
from cxrlib.explain.batched import explain
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.methods import find, names
from cxrlib.explain.smoothgrad import smoothgrad
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise
from cxrlib.runtime.device import use_device


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
    found["methods"] = every_method(device)
    found["out_of_memory"] = out_of_memory(size, device)
    return found


def every_method(device: torch.device) -> dict[str, dict[str, float]]:
    """Difference of each method's maps from the CPU in float64: ResNet18, 48 px; noise is as good as none.

    A CPU has no tf32.
    """
    few = {"samples": 40, "cells": 3, "steps": 8, "n_masks": 20, "max_channels": 16, "noise_level": 1e-9}
    few |= {"window": 16, "stride": 16}
    small = SIZES["small"]
    images, exact, network = normalise(pictures(1, small.side)), build(small).double(), build(small).to(device)
    found = {precision: {} for precision in ("float32", *(["tf32"] if device.type == "cuda" else []))}
    for name in names():
        settings = {key: value for key, value in few.items() if key in find(name).parameters}
        expected = find(name)(exact, images.double(), None, **settings)
        for precision, differences in found.items():
            use_device(device.type, precision=precision)
            differences[name] = distance(find(name)(network, images.to(device), None, **settings), expected)
    use_device(device.type)
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
