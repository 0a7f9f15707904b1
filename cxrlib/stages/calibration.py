"""How fast this machine is: a training step, a forward pass, a backward pass, a rendered study, each measured once."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from cxrlib.data.images import read_grey, resize_square
from cxrlib.data.render.anchors import find_donors
from cxrlib.data.render.frame import boxes_as_fractions
from cxrlib.data.render.parallel import Task
from cxrlib.data.render.studies import render_study
from cxrlib.data.sources.demo import public_annotations
from cxrlib.explain.methods import find
from cxrlib.model.inference import inference_copy, predict
from cxrlib.model.networks import build_network, normalise
from cxrlib.model.training import Recipe, train
from cxrlib.params import Compute, Data, Model, Training
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.runtime.progress import no_progress

BUDGET = 1.0
"""Seconds that one measurement may take, about; it takes as many images as fit."""
REPEATS = 3
"""Times that something is measured, of which the least counts: others use the machine too."""
AT_ONCE = 8
"""Images that a method explains at once (`cxrlib.stages.compared.SHARD`)."""
RENDERED = 3
"""Studies that are rendered."""


@dataclass(frozen=True)
class Speed:
    """Seconds of an image on this machine by a network.

    Attributes:
        trained: a step of training.
        read: a forward pass of the copy that only infers.
        backward: a backward pass to the image for one class, and its share of what the forward pass keeps for it.
        bytes: of the stored network.
    """

    trained: float
    read: float
    backward: float
    bytes: int


def speed_of(model: Model, training: Training, compute: Compute, classes: int, explained: bool = True) -> Speed:
    """Measure a network without its weights, which change no time.

    Args:
        model: the network; `training` its batches; `compute` the device.
        classes: number of labels.
        explained: whether methods explain it, so that a backward pass is measured; it is 0 otherwise.

    Raises:
        Refusal: there is no such network, or no such device.
    """
    device = use_device(compute.device, compute.threads, compute.precision)
    network = build_network(model.architecture, classes, model.output_stride)
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    network = network.to(device, memory_format=torch.channels_last)
    most = max(training.batch_size, compute.batch_size)
    images = torch.randint(0, 256, (most, 1, model.input_size, model.input_size), dtype=torch.uint8)
    targets = (torch.arange(most)[:, None] % 2 == torch.arange(classes)[None] % 2).float()
    settings = training.model_dump(exclude={"warm_start_epochs", "epochs", "batch_size"})

    def step(count: int) -> None:
        recipe = Recipe(epochs=1, batch_size=count, **settings)
        with no_progress():
            train(network, (images[:count], targets[:count]), (images[:2], targets[:2]), recipe, lambda *_: None)

    trained = per_image(step, training.batch_size, fewest=2)
    network = network.eval()
    copied = inference_copy(network, dtype=inference_dtype(compute.precision), size=model.input_size)
    read = per_image(lambda count: predict(copied, images[:count], count), compute.batch_size)
    if not explained:
        return Speed(trained, read, 0.0, size)
    inputs, gradient = normalise(images[:AT_ONCE].to(device)), find("gradient")
    both = per_image(lambda count: gradient(network, inputs[:count]).cpu(), AT_ONCE)
    return Speed(trained, read, max(0.0, both - read) / classes, size)


def per_image(work: Callable[[int], object], most: int, fewest: int = 1) -> float:
    """Seconds of an image where `work(n)` takes n images: as many as the budget allows, at most `most`.

    >>> 0.01 < per_image(lambda count: time.sleep(0.01 * count), most=4) < 0.03
    True
    """
    work(fewest)  # warms up
    count, took = fewest, _seconds(work, fewest)
    while count < most and 2 * took < BUDGET:
        count = min(most, 2 * count)
        took = _seconds(work, count)
    measured = [took, *(_seconds(work, count) for _ in range(REPEATS - 1) if took < BUDGET)]
    return min(measured) / count


def _seconds(work: Callable[[int], object], count: int) -> float:
    begun = time.perf_counter()
    work(count)
    return time.perf_counter() - begun


def seconds_to_render(data: Data) -> tuple[float, float]:
    """Seconds that one core takes to render a study, and to read and resize its file: the least of a few studies."""
    annotations, _ = public_annotations()
    boxes = boxes_as_fractions(annotations)
    donors = find_donors(boxes)
    found = []
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # as in a worker
    with tempfile.TemporaryDirectory() as folder:
        for image_id in boxes["image_id"].unique()[:RENDERED]:
            path = Path(folder, f"{image_id}.dicom")
            task = Task(image_id, boxes[boxes["image_id"] == image_id], path, data.seed)
            rendered = _seconds(lambda _, task=task: render_study(task, donors), 1)
            read = _seconds(lambda _, path=path: resize_square(read_grey(path, data.max_pixels), data.image_size), 1)
            found.append((rendered, read))
    cv2.setNumThreads(threads)
    return tuple(np.median(found, axis=0).tolist())
