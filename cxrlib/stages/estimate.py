"""What a run would read, and how much disk and time it needs on this machine, for `run_all.py --dry-run`."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.images import ImageError, read_grey, resize_square
from cxrlib.data.sources.base import Source
from cxrlib.explain.methods import find
from cxrlib.params import Data, Params, Roar
from cxrlib.stages.calibration import Speed, seconds_to_render, speed_of
from cxrlib.stages.prepare import known_labels

TIMED = 3
"""Images that are read to know how long one takes."""


LISTED = 8
"""Reasons for which something is set aside that are named."""


RENDERED_BYTES = 0.3e6
"""Of one rendered study."""


REFERENCE = 0.028
"""Seconds that one core renders a study in on the machine on which the next constants were measured."""


SHOWN = {
    "01": 10,
    "02": 5,
    "03": 4,
    "04": 12,
    "05": 7,
    "06": 11,
    "07": 9,
    "08": 12,
    "09": 10,
    "10": 9,
    "11": 6,
    "12": 5,
    "13": 3,
}
"""Seconds for the kernel, the tables and the figures of each notebook, whatever the size of the run."""


OTHERWISE = 8
"""The same of a notebook that is not among them."""


REPORT = 12
"""Seconds for the report."""


WORKERS_START = 3
"""Seconds until worker processes have begun."""


SCORED = 0.1
"""Seconds in which a test study's maps are scored against boxes and random maps; of one method."""


PREDICTED = 1.5
"""Classes of a study that are predicted, about."""


TWINS = 3
"""Pictures that are rendered for a study and its twins, about."""


GRADIENT_CASES = 2
"""Images whose gradients notebook 05 smooths in front of the reader."""


CONTROLS = 3
"""Maps that know nothing of the network, each of which takes as many trainings in notebook 11 as a method."""


CHECKED = 2
"""Findings of a study whose maps notebook 10 checks, about."""


@dataclass(frozen=True)
class Counts:
    """Studies of a run.

    Attributes:
        images: of all splits.
        train, valid, test: of the explained experiment.
        boxed: the share with a reader's box.
        shares: experiment -> the share of the studies that have one of its labels.
    """

    images: int
    train: float
    valid: float
    test: float
    boxed: float
    shares: dict[str, float]


def describe(params: Params, folder: Path, source: Source, numbers: list[str]) -> list[str]:
    """Lines that say what would be read, the disk that it takes in `folder`, and about how long each notebook takes.

    Training, explaining and rendering are measured on this machine, which takes some seconds.

    Args:
        source: as `cxrlib.stages.prepare.planned_source` returns it.
        numbers: of the notebooks that would run, e.g. ["01", "02"].

    Raises:
        Refusal: the network or the device cannot be used.
    """
    found, per_image, rendered = _look(source, params.data)
    counts = counts_of(source, params)
    classes = len(params.labels.experiments[params.labels.explained])
    speeds = {
        name: speed_of(model, params.training, params.compute, classes, explained=not name)
        for name, model in {"": params.model, **params.methods.networks}.items()
    }
    to_render, to_read = seconds_to_render(params.data)
    per_image = to_read if rendered else per_image
    seconds = seconds_of(params, counts, speeds, to_render, per_image, bool(rendered))
    chosen = {number: seconds.get(number, OTHERWISE * to_render / REFERENCE) for number in numbers}
    total = sum(chosen.values()) + (REPORT * to_render / REFERENCE if chosen else 0)
    parts = {
        "rendered files": rendered * RENDERED_BYTES,
        f"images of {params.data.image_size} px": counts.images * params.data.image_size**2,
        f"the network's input of {params.model.input_size} px": counts.images * params.model.input_size**2,
        "models": len(params.labels.experiments) * speeds[""].bytes + sum(s.bytes for n, s in speeds.items() if n),
    }
    sizes = ", ".join(f"{size / 1e9:.1f} GB for {name}" for name, size in parts.items() if size >= 0.05e9)
    free = shutil.disk_usage(next(path for path in [folder, *folder.parents] if path.exists())).free
    each = ", ".join(f"{number} {rounded(value)}" for number, value in chosen.items())
    return [
        f"reads {found}",
        f"disk: {sum(parts.values()) / 1e9:.1f} GB ({sizes}); {free / 1e9:.0f} GB are free",
        f"time on this machine: about {rounded(total)} in all ({each})" if chosen else "time: nothing would run",
    ]


def counts_of(source: Source, params: Params) -> Counts:
    """How many studies there are, from the tables of a source."""
    data, labels = params.data, known_labels(source.classes, params.labels)
    annotations, n = source.annotations, len(source.images)
    test = data.test_share if source.official_test is None else len(source.official_test) / max(n, 1)
    shares = {
        name: annotations.loc[annotations["class_name"].isin(wanted), "image_id"].nunique() / max(n, 1)
        for name, wanted in labels.experiments.items()
    }
    boxed = annotations.dropna(subset=BOX_COLUMNS)["image_id"].nunique() / max(n, 1)
    explained = n * shares[labels.explained]
    valid = data.valid_share * (1 if source.official_test is None else 1 - test)
    return Counts(n, explained * (1 - valid - test), explained * valid, explained * test, boxed, shares)


def seconds_of(
    params: Params, counts: Counts, speeds: dict[str, Speed], to_render: float, to_read: float, rendered: bool
) -> dict[str, float]:
    """About how long each notebook takes, by its number.

    Args:
        params: of the run.
        counts: of its studies.
        speeds: "" -> of the run's network, and name -> of each further network.
        to_render: seconds of one core for a study; they also tell how fast this machine draws and counts.
        to_read: seconds of one core to read and resize a study's file.
        rendered: whether the run renders its studies.
    """
    own, slower, workers = speeds[""], to_render / REFERENCE, params.compute.workers
    shown = {number: seconds * slower for number, seconds in SHOWN.items()}
    labels, training, methods = params.labels, params.training, params.methods
    classes = len(labels.experiments[labels.explained])
    compared = min(methods.n_studies, counts.boxed * counts.test)
    by_methods = sum(
        _method_seconds(name, parameters, own, classes, params.model.input_size)
        for name, parameters in methods.compared.items()
    )
    perturbed = len(params.perturbation.shares) * (1 + len(params.perturbation.kernels))
    smoothed = params.smoothgrad.samples * len(params.smoothgrad.noise_levels)
    twins = min(params.phantom.n_studies, counts.boxed * counts.test)
    cues, networks = len(params.phantom.shortcuts), len(params.phantom.shortcuts) * len(params.phantom.strengths)

    relative = {name: share / counts.shares[labels.explained] for name, share in counts.shares.items()}
    others = training.warm_start_epochs or training.epochs
    trainings = [
        ((training.epochs if name == labels.explained else min(others, training.epochs)) * share)
        for name, share in relative.items()
    ]
    training_once = counts.train * own.trained + counts.valid * own.read
    further = sum(
        training.epochs * (counts.train * speed.trained + counts.valid * speed.read) + counts.test * speed.read
        for name, speed in speeds.items()
        if name
    )
    preparing = counts.images * ((to_render if rendered else 0) + to_read) / workers
    preparing += (2 if rendered else 1) * WORKERS_START * slower
    return {
        **shown,
        "01": shown["01"] + preparing,
        "02": shown["02"] + training_once * sum(trainings),
        "03": shown["03"] + counts.test * own.read * sum(relative.values()),
        "05": shown["05"]
        + smoothed
        * (
            min(counts.test, params.smoothgrad.n_studies + classes) * own.read
            + GRADIENT_CASES * (own.read + own.backward)
        ),
        "06": shown["06"] + counts.test * SCORED * slower + counts.boxed * counts.images * own.read,
        "07": shown["07"]
        + min(counts.test, params.perturbation.n_studies) * PREDICTED * perturbed * own.read
        + _control_passes(params, counts.test) * own.read
        + counts.boxed * min(params.iou.usual_studies, counts.train) * own.read,
        "08": shown["08"]
        + (2 * compared + 2) * by_methods
        + further
        + 2 * compared * len(methods.compared) * SCORED * slower,
        "09": shown["09"]
        + twins * TWINS * (to_render + to_read) / workers
        + twins * PREDICTED * (perturbed + len(params.perturbation.shares)) * own.read
        + compared * len(methods.compared) * SCORED * slower,
        "10": shown["10"] + _sanity_seconds(params, compared, own, classes) + _retrained(params) * training_once,
        "11": shown["11"] + trainings_again(params.roar) * _again(params, counts) * own.trained,
        "12": shown["12"]
        + networks * (training.epochs * training_once + 2 * counts.test * own.read)
        + networks * min(counts.test, params.phantom.n_studies) * by_methods
        + cues * counts.images * to_read,
    }


def trainings_again(roar: Roar) -> int:
    """How many networks notebook 11 trains, where every network has a class activation map in closed form."""
    of_a_map = len(roar.modes) * len(roar.shares)
    return len(roar.seeds) * (1 + len(roar.penalties) + (CONTROLS + len(roar.methods)) * of_a_map)


def _again(params: Params, counts: Counts) -> float:
    """Images that each of these networks sees."""
    return min(params.roar.n_studies, counts.train) * (params.roar.epochs or params.training.epochs)


def _retrained(params: Params) -> int:
    """Epochs of the networks that notebook 10 trains."""
    permuted = params.sanity.permuted_epochs if params.training.epochs else 0
    return permuted + _further_seeds(params) * params.sanity.epochs


def _further_seeds(params: Params) -> int:
    """Networks of other seeds that notebook 10 trains."""
    sanity, training = params.sanity, params.training
    return len(set(sanity.seeds) - {training.seed}) if training.epochs and sanity.epochs else 0


def _sanity_seconds(params: Params, compared: float, speed: Speed, classes: int) -> float:
    """The maps of the checked methods: weights in cascade and alone, permuted labels, a shift, noise, other seeds."""
    sanity, methods, size = params.sanity, params.methods.compared, params.model.input_size
    checked = {name: methods[name] for name in sanity.compared if name in methods} or methods
    repeats = [(CHECKED, 2 * sanity.layers + 1 + sanity.draws + sanity.samples), (classes, _further_seeds(params))]
    seconds = sum(
        count * _method_seconds(name, parameters, speed, of, size)
        for name, parameters in checked.items()
        for of, count in repeats
    )
    return min(compared, sanity.n_studies) * seconds


def _control_passes(params: Params, n_test: float) -> float:
    """What `cxrlib.evaluate.faithfulness.perturbation_curves` costs without twins, one class of an image predicted."""
    settings = params.perturbation
    shares, others = len(settings.shares), len(settings.kernels) + 2
    a_method, shared = 6 * shares + 4 * others, 3 * shares + 2 * others + 2
    methods = len(set(settings.controls_methods) & params.methods.compared.keys())
    gradcam = min(n_test, settings.controls_n_studies) * (a_method + shared)
    return gradcam + min(n_test, params.methods.n_studies) * (methods * a_method + shared)


def _method_seconds(name: str, parameters: dict[str, object], speed: Speed, classes: int, size: int) -> float:
    """Seconds of an image's maps of all classes by a method."""
    method = find(name)
    channels = {"channels": 2048} if "channels" in method.passes.__code__.co_varnames else {}
    cost = method.passes(classes, (size, size), **(method.parameters | channels | parameters))
    return cost.forward * speed.read + (0 if method.closed_form else cost.backward * speed.backward)


def _look(source: Source, data: Data) -> tuple[str, float, int]:
    """What there is in words, seconds to read an image on one core, and how many are rendered first."""
    if source.rendered:
        return f"{len(source.annotations):,} annotation rows and renders {data.n_studies:,} images", 0.0, data.n_studies
    found = f"{len(source.images):,} images and {len(source.annotations):,} annotation rows of {source.description}"
    if len(source.skipped):
        reasons = source.skipped["reason"].value_counts()
        found += "; sets aside " + ", ".join(f"{count:,} x {reason}" for reason, count in reasons[:LISTED].items())
        found += f" and {len(reasons) - LISTED:,} further reasons" if len(reasons) > LISTED else ""
    return found, _seconds_per_image(source.images, data), 0


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


def rounded(seconds: float) -> str:
    """Seconds as somebody would say them.

    >>> rounded(41.3), rounded(130), rounded(9000)
    ('41 s', '2 min', '2 h')
    """
    if seconds != seconds:  # no image could be read
        return "an unknown time"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
