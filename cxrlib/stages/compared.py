"""Maps of the compared methods for the studies that readers boxed."""

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.cells import boxed_rows
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.explain import (
    cam,
    gradients,
    gradientshap,
    guided,
    integrated,
    kernelshap,
    lime,
    lrp,
    occlusion,
    rise,
    scorecam,
)
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.method import Method
from cxrlib.explain.methods import find
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise
from cxrlib.params import Compute, Gradcam, Methods, MethodValue, ParameterError
from cxrlib.runtime.device import use_device
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import existing, fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.progress import progress
from cxrlib.runtime.work_list import one_task_at_a_time
from cxrlib.stages.explain import explain_studies, require_feature_map
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.shards import Sharded, made_in_shards

FAMILIES = (
    cam,
    gradients,
    gradientshap,
    guided,
    integrated,
    kernelshap,
    lime,
    lrp,
    occlusion,
    rise,
    scorecam,
)
GIVEN = ("cxrlib.data", "cxrlib.params", "cxrlib.workflow", "cxrlib.explain")
"""What enters by its content or by value, or by the code of the method."""
CODE = {
    method.name: [code_fingerprint("cxrlib.stages.compared", given=GIVEN), code_fingerprint(family.__name__)]
    for family in FAMILIES
    for method in family.METHODS
}
"""What explains by each method; taken on loading."""


Key = TypeVar("Key")


SHARD = 8
"""Studies that are explained by a method and stored at once."""


LONG = 0.1
"""Seconds of an image from which on what a process makes once, some hundredths of a second, is a small part."""


def studies_to_compare(cohort: Cohort, count: int) -> dict[str, list[str]]:
    """The first `count` studies of the validation and of the test split that have a finding with a reader's box."""
    return {split: first_boxed(cohort, cohort.of(split), count) for split in ("valid", "test")}


def explain_by_methods(
    cohort: Cohort, test: Explanations, methods: Methods, gradcam: Gradcam, compute: Compute, folder: Path
) -> dict[str, BySplit]:
    """Maps of every compared method for the `studies_to_compare`, stored in `folder`/maps.

    Args:
        cohort: the run's.
        test: Grad-CAM's maps of the test split.
        methods: which, and how many studies.
        gradcam, compute: of the run.
        folder: of the run.

    Returns:
        Title of the method -> its maps by split.
    """
    chosen, model_path = (
        studies_to_compare(cohort, methods.n_studies),
        checkpoint_path(folder / "models", cohort.experiment),
    )
    valid = test.of([])
    if chosen["valid"]:
        with one_task_at_a_time(folder / "maps"):
            path = folder / "maps" / "valid.npz"
            valid = explain_studies(cohort, chosen["valid"], model_path, gradcam, compute, path)
    plain = {"valid": valid, "test": test.of(chosen["test"])}
    found = all_made(by_each(methods.compared, plain, cohort, model_path, compute, folder / "maps"))
    return {find(name).title: {split: found[name, split] for split in plain} for name in methods.compared}


def first_boxed(cohort: Cohort, image_ids: list[str], count: int) -> list[str]:
    """The first `count` of some studies that have a finding with a reader's box."""
    rows = boxed_rows(cohort, image_ids, cohort.findings)
    pairs = zip(rows["image_id"], rows["class_name"], strict=True)
    boxed = {image_id for image_id, name in pairs if cohort.labels.at[image_id, name]}
    return [image_id for image_id in image_ids if image_id in boxed][:count]


def explained_validation(
    cohort: Cohort, image_ids: list[str], test: Explanations, gradcam: Gradcam, compute: Compute, folder: Path
) -> Explanations:
    """Grad-CAM of the explained model on some validation studies, stored as maps/valid.npz; empty for no studies."""
    if not image_ids:
        return test.of([])
    model_path = checkpoint_path(folder / "models", cohort.experiment)
    return explain_studies(cohort, image_ids, model_path, gradcam, compute, folder / "maps" / "valid.npz")


def explained_training(
    cohort: Cohort, count: int, test: Explanations, gradcam: Gradcam, compute: Compute, folder: Path
) -> Explanations:
    """Grad-CAM of the explained model on the first `count` training studies with a finding, kept as maps/train.npz."""
    image_ids = cohort.of("train", cohort.findings)[:count]
    if not image_ids:
        return test.of([])
    model_path = checkpoint_path(folder / "models", cohort.experiment)
    return explain_studies(cohort, image_ids, model_path, gradcam, compute, folder / "maps" / "train.npz")


def by_each(
    compared: dict[str, dict[str, MethodValue]],
    plain: dict[str, Explanations],
    cohort: Cohort,
    model_path: Path,
    compute: Compute,
    folder: Path,
) -> dict[tuple[str, str], Explanations | Sharded]:
    """Maps of several methods for studies that Grad-CAM has explained, to be made by `all_made`.

    Args:
        compared: name of each method -> its parameters, where they differ from its defaults. The layer is Grad-CAM's
            unless it is given.
        plain: part of the studies -> Grad-CAM's maps and the probabilities; they are the result where the method is
            Grad-CAM itself.
        cohort: the run's.
        model_path: the model that made them.
        compute: the machine.
        folder: receives a file PART-TITLE.npz for each method and part.

    Returns:
        Name and part -> maps, or how they are made.

    Raises:
        Refusal: the model is absent.
    """
    settings = (cohort, model_path, compute)
    return {
        (name, part): _by(name, parameters, gradcam, *settings, folder / f"{part}-{find(name).title}.npz")
        for name, parameters in compared.items()
        for part, gradcam in plain.items()
    }


def all_made(wanted: dict[Key, Explanations | Sharded]) -> dict[Key, Explanations]:
    """What `by_each` gives, made; all shards are one list.

    Raises:
        Unfinished: as `made_in_shards`.
        ValueError: as the method; e.g. it cannot explain this network.
    """
    sharded = {key: one for key, one in wanted.items() if isinstance(one, Sharded)}
    return wanted | dict(zip(sharded, made_in_shards([*sharded.values()], "by each method"), strict=True))


def _by(
    name: str,
    parameters: dict[str, MethodValue],
    gradcam: Explanations,
    cohort: Cohort,
    model_path: Path,
    compute: Compute,
    path: Path,
) -> Explanations | Sharded:
    """Maps of one method at `path`, by an `inference_copy` of the network where the method needs no gradient."""
    if (name == "gradcam" and not parameters) or gradcam.probabilities.empty:
        return gradcam
    method, image_ids = find(name), gradcam.probabilities.index.tolist()
    existing(model_path, "run notebook 02_training first")
    identity = fingerprint([gradcam.identity, image_ids, name, parameters, compute.precision, CODE[name]])

    def begin() -> Callable[[slice], Explanations]:
        device = use_device(compute.device, compute.threads, compute.precision)
        network = prepared(load_checkpoint(model_path, device)[0], method, gradcam.layer, gradcam.input_size)
        inputs = network_inputs(cohort, image_ids, gradcam.input_size)

        def explain_rows(rows: slice) -> Explanations:
            maps = maps_by(method, parameters, network, normalise(inputs[rows].to(device)), gradcam.layer)
            if not maps.isfinite().all():
                raise Refusal(f"{method.title}: a map holds values that are no numbers; leave the method out")
            explained = gradcam.with_maps(maps.cpu(), image_ids[rows])
            return replace(explained, identity=identity, beside=gradcam.identity)

        return explain_rows

    def share() -> None:
        network_inputs(cohort, image_ids, gradcam.input_size)

    return Sharded(path, identity, len(image_ids), SHARD, share, begin)


def prepared(network: nn.Module, method: Method, layer: str, size: int) -> nn.Module:
    """The network itself, or an `inference_copy` of it for a method that needs no backward pass through it."""
    return network if needs_gradient(method, network, layer, size) else inference_copy(network, layer)


def needs_gradient(method: Method, network: nn.Module, layer: str, size: int) -> bool:
    """Whether a method goes backward through the network, by its cost at images of `size` pixels a side."""
    return method.cost(network, 1, (size, size), layer).backward > 0


def maps_by(
    method: Method,
    parameters: dict[str, MethodValue],
    network: nn.Module,
    images: torch.Tensor,
    layer: str,
    classes: list[int] | None = None,
) -> torch.Tensor:
    """Raw maps by a method, at `layer` where the method has one and `parameters` names no other."""
    chosen = {"layer": layer} if "layer" in method.parameters else {}
    return method(network, images, classes, **(chosen | parameters))


def check_methods(compared: dict[str, dict[str, MethodValue]], network: nn.Module, size: int, layer: str) -> None:
    """Refuse methods, parameters and layers that do not exist, and methods that cannot explain the network.

    Every method explains an image of noise on a network of one layer, which shows whether its parameters can be used. A
    method for certain networks only explains another one on the network itself. What a method says of the noise's map,
    e.g. that more steps are needed, is not shown.

    Raises:
        ParameterError: names the method.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _explain_noise(compared, network, size, layer)


def _explain_noise(compared: dict[str, dict[str, MethodValue]], network: nn.Module, size: int, layer: str) -> None:
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head).eval()
    for name, parameters in compared.items():
        method = _known(name, parameters)
        if "layer" in parameters:
            try:
                require_feature_map(network, str(parameters["layer"]), size)
            except Refusal as refusal:
                raise ParameterError(f"methods.compared: {name}: {refusal}") from None
        others = {key: value for key, value in parameters.items() if key != "layer"}
        try:
            maps = maps_by(method, others, small, noise, "auto")
            if not method.needs.startswith("any network"):
                maps_by(method, parameters, network, noise, layer)
        except (ValueError, TypeError, ArithmeticError, RuntimeError, StopIteration, IndexError) as error:
            given = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ParameterError(f"methods.compared: {name}: {reason}" + (f" ({given})" if given else "")) from error
        if not maps.isfinite().all():
            raise ParameterError(f"methods.compared: {name}: {parameters} gives maps that hold no numbers")


def _known(name: str, parameters: dict[str, MethodValue]) -> Method:
    """The method of that name, which has these parameters."""
    try:
        method = find(name)
    except ValueError as error:
        raise ParameterError(f"methods.compared: {name}: {error}") from None
    if unknown := parameters.keys() - method.parameters.keys():
        known = ", ".join(method.parameters) or "no parameter"
        raise ParameterError(f"methods.compared: {name} has no parameter {sorted(unknown)[0]!r}, but {known}")
    return method


def seconds_by_method(methods: Methods, network: nn.Module, images: torch.Tensor, layer: str) -> dict[str, float]:
    """Seconds that an image takes by each compared method, all classes at once.

    The first time includes what a process makes once. It is measured again where that may be a large part of it.

    Args:
        methods: which.
        network: the explained network on its device.
        images: float32 (n, 3, h, w); the first is explained. Without an image nothing is measured.
        layer: Grad-CAM's.

    Returns:
        Title of the method -> seconds.
    """
    found = {}
    if not len(images):
        return found
    copied = inference_copy(network, layer)
    for name, parameters in progress(methods.compared.items(), "measuring", "method"):
        method = find(name)
        ready = network if needs_gradient(method, network, layer, images.shape[-1]) else copied
        for _ in range(2):
            begun = time.perf_counter()
            maps_by(method, parameters, ready, images[:1], layer).cpu()
            found[method.title] = time.perf_counter() - begun
            if found[method.title] > LONG:
                break
    return found
