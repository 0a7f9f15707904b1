"""What a run would read, and how much disk and time it needs, for `run_all.py --dry-run`; does not import torch."""

import shutil
import time
from pathlib import Path

import pandas as pd

from cxrlib.data.images import ImageError, read_grey, resize_square
from cxrlib.data.sources.base import Source
from cxrlib.params import Data, Model, Params, Roar

TIMED = 3
"""Images that are read to know how long one takes."""


LISTED = 8
"""Reasons for which something is set aside that are named."""


RENDERED_BYTES, RENDERED_SECONDS = 0.3e6, 0.035
"""Of one rendered study on one core."""


GIGAFLOPS = {
    "resnet18": 1.81,
    "resnet34": 3.66,
    "resnet50": 4.09,
    "resnet101": 7.80,
    "densenet121": 2.83,
    "efficientnet_b0": 0.38,
    "vgg16": 15.47,
    "convnext_tiny": 4.45,
    "mobilenet_v3_large": 0.22,
    "timm/tf_efficientnet_lite0": 0.38,
    "resnet50-xrv": 4.01,
    "densenet121-xrv": 2.75,
}
"""Multiplications and additions of one forward pass at 224 px, in pairs; a test counts them in the networks."""


WEIGHT_BYTES = {
    "resnet18": 45e6,
    "resnet34": 85e6,
    "resnet50": 94e6,
    "resnet101": 170e6,
    "densenet121": 28e6,
    "efficientnet_b0": 16e6,
    "vgg16": 537e6,
    "convnext_tiny": 111e6,
    "mobilenet_v3_large": 17e6,
    "timm/tf_efficientnet_lite0": 14e6,
    "resnet50-xrv": 94e6,
    "densenet121-xrv": 28e6,
}
"""Of a stored model; a test counts them too."""


TRAINED_PER_SECOND = 20.0
"""Forward gigaflops that two CPU cores train in a second (measured with ResNet18 and ResNet50)."""


FASTER_WITHOUT_TRAINING = 5.0
"""A forward pass alone against one training step."""


STRIDE_16_COST = 1.6
"""A last block that works on four times as many cells."""


PASSES = {
    "gradcam": (1, 1),
    "gradcam_plus_plus": (1, 1),
    "layercam": (1, 1),
    "hirescam": (1, 1),
    "xgradcam": (1, 1),
    "cam": (1, 0),
    "scorecam": (2049, 0),
    "gradient": (1, 1),
    "input_x_gradient": (1, 1),
    "smoothgrad": (50, 50),
    "smooth_gradcam": (50, 50),
    "integrated_gradients": (52, 50),
    "gradientshap": (50, 50),
    "deconvnet": (1, 1),
    "guided_backprop": (1, 1),
    "guided_gradcam": (2, 2),
    "lrp": (2, 2),
    "occlusion": (170, 0),
    "rise": (1000, 0),
    "lime": (1000, 0),
    "kernelshap": (1000, 0),
}
"""Forward passes of an image by each method, and backward passes for each class; a test counts them."""


COUNTS = ("samples", "steps", "n_masks", "max_channels")
"""Parameters that say how many forward passes a method takes."""


BACKWARD_COST = 2.0
"""A backward pass against a forward pass."""


CONTROLS = 3
"""Maps that know nothing of the network, of which each takes as many trainings as a method; a test counts them."""


def describe(params: Params, folder: Path, source: Source, with_roar: bool = False) -> list[str]:
    """Lines that say what would be read, the disk that it takes in `folder`, and about how long the parts take.

    Args:
        source: as `cxrlib.stages.prepare.planned_source` returns it.
        with_roar: whether the networks of notebook 11 are among the parts.
    """
    n_images, found, per_image, rendered = _look(source, params.data)
    parts = {
        "rendered files": rendered * RENDERED_BYTES,
        f"images of {params.data.image_size} px": n_images * params.data.image_size**2,
        f"the network's input of {params.model.input_size} px": n_images * params.model.input_size**2,
        "models": len(params.labels.experiments) * WEIGHT_BYTES.get(params.model.architecture, 0.0),
    }
    sizes = ", ".join(f"{size / 1e9:.1f} GB for {name}" for name, size in parts.items() if size >= 0.05e9)
    free = shutil.disk_usage(next(path for path in [folder, *folder.parents] if path.exists())).free
    preparation = n_images * per_image / params.compute.workers
    known = params.model.architecture in GIGAFLOPS
    networks = f"about {_rounded(_network_seconds(params, n_images))} on two CPU cores" if known else "not known"
    without = "" if known else f"without the models of {params.model.architecture}, whose size is not known here; "
    lines = [
        f"reads {found}",
        f"disk: {sum(parts.values()) / 1e9:.1f} GB ({sizes}); {without}{free / 1e9:.0f} GB are free",
        f"time to prepare the data: about {_rounded(preparation)} with {params.compute.workers} processes",
        f"time of the networks: {networks}",
    ]
    return [*lines, _trainings(params, n_images)] if with_roar else lines


def trainings_again(roar: Roar) -> int:
    """How many networks notebook 11 trains, where every network has a class activation map in closed form."""
    of_a_map = len(roar.modes) * len(roar.shares)
    return len(roar.seeds) * (1 + len(roar.penalties) + (CONTROLS + len(roar.methods)) * of_a_map)


def _trainings(params: Params, n_images: int) -> str:
    """What notebook 11 takes: its trainings; the maps that choose the pixels are a small part."""
    roar, count = params.roar, trainings_again(params.roar)
    per_split = (1 - params.data.test_share - params.data.valid_share) * n_images
    images = min(roar.n_studies, round(per_split)) * (roar.epochs or params.training.epochs)
    seconds = count * images * _step(params.model)
    time = f"about {_rounded(seconds)} on two CPU cores" if seconds else "of a network whose size is not known here"
    return f"time of notebook 11: {count} trainings of {images:,} images each, {time}; processes share them"


def _look(source: Source, data: Data) -> tuple[int, str, float, int]:
    """Number of images, what there is in words, seconds to prepare one on one core, and how many are rendered first."""
    if source.rendered:
        found = f"{len(source.annotations):,} annotation rows and renders {data.n_studies:,} images"
        return data.n_studies, found, RENDERED_SECONDS, data.n_studies
    found = f"{len(source.images):,} images and {len(source.annotations):,} annotation rows of {source.description}"
    if len(source.skipped):
        reasons = source.skipped["reason"].value_counts()
        found += "; sets aside " + ", ".join(f"{count:,} x {reason}" for reason, count in reasons[:LISTED].items())
        found += f" and {len(reasons) - LISTED:,} further reasons" if len(reasons) > LISTED else ""
    return len(source.images), found, _seconds_per_image(source.images, data), 0


def _seconds_per_image(images: pd.DataFrame, data: Data) -> float:
    """Reading and resizing on one core, measured on a few images."""
    durations = []
    for path in images["path"].iloc[:: max(1, len(images) // TIMED)].head(TIMED):
        begun = time.perf_counter()
        try:
            resize_square(read_grey(path, data.max_pixels), data.image_size)
        except ImageError:
            continue
        durations.append(time.perf_counter() - begun)
    return sorted(durations)[len(durations) // 2] if durations else float("nan")


def _network_seconds(params: Params, n_images: int) -> float:
    """Training, SmoothGrad, perturbation, compared methods, sanity checks and planted cues on two CPU cores.

    About one class of an image is taken to be predicted.
    """
    model, training, data = params.model, params.training, params.data
    step = _step(model)
    others = (training.epochs and training.warm_start_epochs) or training.epochs
    epochs = training.epochs + (len(params.labels.experiments) - 1) * others
    n_test = round(n_images * data.test_share)
    passes = min(n_test, params.smoothgrad.n_studies) * params.smoothgrad.samples * len(params.smoothgrad.noise_levels)
    transforms = len(params.perturbation.shares) * (1 + len(params.perturbation.kernels))
    passes += min(n_test, params.perturbation.n_studies) * transforms + _control_passes(params, n_test)
    classes = len(params.labels.experiments[params.labels.explained])
    planted = len(params.phantom.shortcuts) * len(params.phantom.strengths)
    epochs += planted * training.epochs
    sanity = params.sanity
    again = training.seed in sanity.seeds
    epochs += (sanity.permuted_epochs + (len(sanity.seeds) - again) * sanity.epochs) if training.epochs else 0
    explained = 2 * min(n_test, params.methods.n_studies) + planted * min(n_test, params.phantom.n_studies)
    for name, parameters in params.methods.compared.items():
        passes += explained * _passes(name, parameters, classes)
        if name in sanity.compared or not any(one in params.methods.compared for one in sanity.compared):
            # in cascade and alone, of permuted labels, shifted, noisy; about two findings are there
            checked = min(n_test, params.methods.n_studies, sanity.n_studies)
            passes += checked * (2 * sanity.layers + 1 + sanity.samples) * _passes(name, parameters, 2)
    n_train = n_images * (1 - data.test_share - data.valid_share)
    further = sum(_step(other) for other in params.methods.networks.values()) * n_train * training.epochs
    return step * (n_train * epochs + passes / FASTER_WITHOUT_TRAINING) + further


def _control_passes(params: Params, n_test: int) -> int:
    """What `cxrlib.evaluate.faithfulness.perturbation_curves` costs without twins, one class of an image predicted."""
    settings = params.perturbation
    shares, others = len(settings.shares), len(settings.kernels) + 2
    a_method, shared = 6 * shares + 4 * others, 3 * shares + 2 * others + 2
    methods = len(set(settings.controls_methods) & params.methods.compared.keys())
    gradcam = min(n_test, settings.controls_n_studies) * (a_method + shared)
    return gradcam + min(n_test, params.methods.n_studies) * (methods * a_method + shared)


def _step(model: Model) -> float:
    """Seconds that two CPU cores take to train an image; 0 for a network that is not known here."""
    seconds = GIGAFLOPS.get(model.architecture, 0.0) * (model.input_size / 224) ** 2 / TRAINED_PER_SECOND
    return seconds * STRIDE_16_COST if model.output_stride == 16 else seconds


def _passes(name: str, parameters: dict[str, object], classes: int) -> float:
    """What an image costs by a method, all classes at once, in forward passes."""
    forwards, backwards = PASSES.get(name, (1, 1))
    wanted = next((parameters[count] for count in COUNTS if isinstance(parameters.get(count), int)), forwards)
    return wanted * (1 + BACKWARD_COST * classes * backwards / forwards)


def _rounded(seconds: float) -> str:
    if seconds != seconds:  # no image could be read
        return "an unknown time"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
