"""Sanity checks of every method, stored method by method."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.invariance import LIMIT, Shifted, whole_range
from cxrlib.evaluate.localisation import boxed_cases
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.evaluate.randomisation import exchanged, layers_in_order, random_weights, stops
from cxrlib.evaluate.sanity import (
    OTHER_IMAGES,
    OTHERS,
    Places,
    beside_other_images,
    explain_cases,
    likeness_cases,
    places_of,
    similarity_over_layers,
)
from cxrlib.evaluate.sensitivity import noisy, relative_change
from cxrlib.evaluate.similarity import mean_similarity, similarities
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import find
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.networks import normalise
from cxrlib.params import Compute, Methods, MethodValue, Sanity
from cxrlib.runtime.device import use_device
from cxrlib.runtime.files import file_fingerprint, fingerprint, whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.processes import found_by_first
from cxrlib.runtime.store import keep
from cxrlib.runtime.stored_tables import read_stored
from cxrlib.runtime.work_list import Piece, work_through
from cxrlib.stages.compared import CODE as METHOD_CODE
from cxrlib.stages.compared import maps_by, prepared
from cxrlib.stages.inputs import network_inputs

GIVEN = ("cxrlib.data", "cxrlib.params", "cxrlib.workflow", "cxrlib.explain", "cxrlib.stages.compared")
"""What enters by its content or by value, or by the code of the method."""
CODE = code_fingerprint("cxrlib.stages.sanity_checks", given=GIVEN)
"""What checks; taken on loading."""


PARAMETERS, LABELS = "parameters randomised", "labels permuted"


INVARIANCE, SENSITIVITY = "input shifted", "max-sensitivity"


PREFIX = "network."
"""Before the names of a network's layers where `Shifted` holds it."""


LAYER_COLUMNS = ["method", "how", "layers", "layer", "similarity", "form", "mean", "n", "control"]


@dataclass(frozen=True)
class SanityChecks:
    """What the checks found.

    Attributes:
        cases: CASE_COLUMNS, and `because`, why a case has no score.
        layers: LAYER_COLUMNS: the method, the rows of `similarity_over_layers`, and as control the mean similarity of
            maps of different images.
        maps: title -> the maps that were checked.
    """

    cases: pd.DataFrame
    layers: pd.DataFrame
    maps: dict[str, Explanations]


def checked_methods(methods: Methods, sanity: Sanity) -> dict[str, dict[str, MethodValue]]:
    """The compared methods that are checked, with their parameters; all where `sanity` names none of them."""
    chosen = {name: parameters for name, parameters in methods.compared.items() if name in sanity.compared}
    return chosen or methods.compared


def checked_maps(explained: dict[str, BySplit], methods: Methods, sanity: Sanity) -> dict[str, Explanations]:
    """Title of each checked method -> its maps of the studies on which it is checked."""
    titles = [find(name).title for name in checked_methods(methods, sanity)]
    return {title: explained[title]["test"].first(sanity.n_studies) for title in titles}


def sanity_checks(
    cohort: Cohort,
    explained: dict[str, BySplit],
    methods: Methods,
    sanity: Sanity,
    compute: Compute,
    permuted: Path | None,
    folder: Path,
) -> SanityChecks:
    """Every check of every method on the boxed findings of the first explained test studies, stored in `folder`/sanity.

    Args:
        cohort: the run's.
        explained: title -> maps by split, from `explain_by_methods`.
        methods: the compared ones.
        sanity: which of them, and the settings of the checks.
        compute: the machine.
        permuted: the model that learned permuted labels; None leaves out its check.
        folder: of the run.
    """
    checked = checked_maps(explained, methods, sanity)
    pieces = [
        checks_of(name, parameters, cohort, maps, sanity, compute, permuted, folder)
        for (name, parameters), maps in zip(checked_methods(methods, sanity).items(), checked.values(), strict=True)
    ]
    if not found_by_first(lambda: all(piece.done for piece in pieces)):
        network_inputs(cohort, [], next(iter(checked.values())).input_size)
        work_through(pieces, "sanity checks", "method")
    cases, layers = ([read_stored(path) for path in paths] for paths in zip(*map(_files, pieces), strict=True))
    return SanityChecks(pd.concat(cases, ignore_index=True), pd.concat(layers, ignore_index=True), checked)


def checks_of(
    name: str,
    parameters: dict[str, MethodValue],
    cohort: Cohort,
    maps: Explanations,
    sanity: Sanity,
    compute: Compute,
    permuted: Path | None,
    folder: Path,
) -> Piece:
    """The checks of one method, to be stored as `folder`/sanity/NAME.csv and NAME-layers.csv.

    Args:
        name, parameters: of the method.
        maps: by the method, of the studies on which it is checked.
        cohort, sanity, compute, permuted, folder: as in `sanity_checks`.
    """
    image_ids, path = maps.probabilities.index.tolist(), folder / "sanity" / f"{name}.csv"
    about = [sanity.model_dump(exclude={"compared", "permuted_epochs", "seeds", "epochs", "squares"})]
    about += [file_fingerprint(permuted) if permuted else None, compute.precision, CODE, METHOD_CODE[name]]
    identity = fingerprint([maps.identity, image_ids, name, parameters, *about])

    def make() -> None:
        device = use_device(compute.device, compute.threads, compute.precision)
        model_path = checkpoint_path(folder / "models", cohort.experiment)
        networks = [load_checkpoint(one, device)[0] if one else None for one in (model_path, permuted)]
        images = normalise(network_inputs(cohort, image_ids, maps.input_size)[:].to(device))
        places = places_of(boxed_cases(cohort, maps.probabilities), image_ids, maps.classes)
        found = check_method(name, parameters, *networks, images, maps, places, sanity)
        for frame, target in zip((found.cases, found.layers), _files(piece), strict=True):
            with whole_file(target) as temporary:
                frame.to_csv(temporary, index=False)
        keep(path, identity, [_files(piece)[1].name])

    piece = Piece(path, identity, make)
    return piece


def _files(piece: Piece) -> tuple[Path, Path]:
    """The tables of the cases and of the layers."""
    return piece.path, piece.path.with_name(f"{piece.path.stem}-layers.csv")


def check_method(
    name: str,
    parameters: dict[str, MethodValue],
    network: nn.Module,
    permuted: nn.Module | None,
    images: torch.Tensor,
    maps: Explanations,
    places: Places,
    sanity: Sanity,
) -> SanityChecks:
    """Every check of one method.

    Args:
        name, parameters: of the method.
        network: the explained one.
        permuted: the one that learned permuted labels, or None.
        images: float32 (n, 3, h, w), normalised.
        maps: of these images, by the method.
        places: the cases.
        sanity: settings.
    """
    method, size = find(name), maps.input_size
    if places.cases.empty:
        return SanityChecks(pd.DataFrame(columns=[*CASE_COLUMNS, "because"]), pd.DataFrame(columns=LAYER_COLUMNS), {})
    layer = str(parameters.get("layer", maps.layer))
    passes = method.cost(network, 1, (size, size), **(parameters | {"layer": layer}))
    at_once = passes.backward == 0

    def ready(changed: nn.Module) -> nn.Module:
        """A copy for inference costs as much as some ten passes, too much for a map of one pass."""
        return prepared(changed, method, layer, size) if passes.forward > 1 else changed

    def explain(changed: nn.Module, of: torch.Tensor = images, at: str = layer) -> torch.Tensor:
        chosen = parameters | ({"layer": at} if "layer" in method.parameters else {})

        def maps_of(network: nn.Module, images: torch.Tensor, classes: list[int]) -> torch.Tensor:
            return maps_by(method, chosen, network, images, at, classes)

        return explain_cases(maps_of, changed, of, places, at_once)

    before = places.of(maps.maps)
    beside = beside_other_images(before, maps.maps, places, size)
    order = layers_in_order(network, images)
    weights, counts = random_weights(network, sanity.seed, sanity.randomise), stops(order, sanity.layers)
    rows, last = similarity_over_layers(
        lambda changed: explain(ready(changed)), network, weights, order, counts, before, size
    )
    randomised = [last]
    for seed in range(sanity.seed + 1, sanity.seed + sanity.draws):
        with exchanged(network, random_weights(network, seed, sanity.randomise), order):
            randomised.append(similarities(before, explain(ready(network)), size))
    last = mean_similarity(randomised)
    parts = [likeness_cases(PARAMETERS, places, last, beside, alike=False, other="the randomised network's map")]
    if permuted is not None:
        found = similarities(before, explain(ready(permuted)), size)
        parts.append(likeness_cases(LABELS, places, found, beside, alike=False))
    shift = whole_range().to(images.device)
    shifted = Shifted(network, shift)
    parts.append(_invariance(places, before, lambda: explain(shifted, images + shift, PREFIX + layer), size))
    fast = prepared(network, method, layer, size)
    changed = [relative_change(before, explain(fast, copy)) for copy in noisy_images(images, sanity)]
    parts.append(_sensitivity(places, before, maps.maps, torch.stack(changed).amax(0)))
    cases = pd.concat(parts, ignore_index=True)
    cases.insert(2, "method", method.title)
    control = pd.DataFrame([(*measure, float(values.nanmean())) for measure, values in beside.items()])
    control.columns = ["similarity", "form", "control"]
    layers = pd.DataFrame(rows).merge(control, on=["similarity", "form"])
    layers.insert(0, "method", method.title)
    return SanityChecks(cases, layers[LAYER_COLUMNS], {method.title: maps})


def noisy_images(images: torch.Tensor, sanity: Sanity) -> list[torch.Tensor]:
    """The noisy copies of the images, sample by sample, the same for every method."""
    return [noisy(images, sanity.noise, 1, sanity.seed + sample)[0] for sample in range(sanity.samples)]


def _invariance(places: Places, before: torch.Tensor, shifted: Callable[[], torch.Tensor], size: int) -> pd.DataFrame:
    because, score = "", torch.full((len(before),), torch.nan)
    try:
        score = similarities(before, shifted(), size)["rank correlation", "raw"]
    except ValueError as error:
        because = f"the method cannot explain the compensated network: {str(error).splitlines()[0]}"
    about = {"measure": INVARIANCE, "control": f"rank correlation of {LIMIT}", "control_score": LIMIT}
    return places.cases.assign(score=score.numpy(), because=because, **about)


def _sensitivity(places: Places, before: torch.Tensor, maps: torch.Tensor, changes: torch.Tensor) -> pd.DataFrame:
    count = min(OTHERS, len(maps) - 1)
    others = [relative_change(before, places.of(maps, ahead)) for ahead in range(1, count + 1)]
    control = torch.stack(others).mean(0) if others else torch.full_like(changes, torch.nan)
    about = {"measure": SENSITIVITY, "control": OTHER_IMAGES}
    return places.cases.assign(score=-changes.numpy(), control_score=-control.numpy(), **about)
