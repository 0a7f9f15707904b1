"""One map of each study by a method, of several classes together, made and stored a few studies at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.removal import joint_map
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import find
from cxrlib.model.checkpoint import load_checkpoint
from cxrlib.model.networks import normalise
from cxrlib.params import Compute, MapsOf, MethodValue
from cxrlib.runtime.device import use_device
from cxrlib.runtime.files import fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.stages.compared import CODE as METHOD_CODE
from cxrlib.stages.compared import maps_by, prepared
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.shards import Sharded, made_in_shards

CODE = code_fingerprint("cxrlib.evaluate.removal")
"""What makes one map of several; taken on loading."""


SHARD = 32
"""Studies that are explained and stored at once."""


def joint_maps(
    name: str,
    parameters: dict[str, MethodValue],
    maps_of: MapsOf,
    cohort: Cohort,
    gradcam: Explanations,
    model_path: Path,
    compute: Compute,
    path: Path,
) -> Explanations:
    """The `joint_map` of each study by a method, stored at `path`; the maps of the single classes are not kept.

    Args:
        name, parameters: of the method.
        maps_of: which classes' maps.
        cohort: labels and pictures.
        gradcam: Grad-CAM's maps of the studies by the model at `model_path`.
        model_path, compute, path: as in `cxrlib.stages.compared.by_each`.

    Returns:
        Maps float32 (n, 1, rows, columns) of the studies of `gradcam`, and its probabilities.
    """
    image_ids = gradcam.probabilities.index.tolist()
    identity = fingerprint(
        [gradcam.identity, image_ids, name, parameters, maps_of, compute.precision, METHOD_CODE[name], CODE]
    )
    classes = torch.ones(len(image_ids), len(gradcam.classes), dtype=torch.bool)
    if maps_of == "labels":
        classes = torch.tensor(cohort.labels.loc[image_ids, gradcam.classes].to_numpy() > 0)

    def reduced(rows: slice, maps: torch.Tensor) -> Explanations:
        one = gradcam.with_maps(joint_map(maps, classes[rows])[:, None], image_ids[rows])
        return replace(one, identity=identity, beside=gradcam.identity)

    def begin() -> Callable[[slice], Explanations]:
        if name == "gradcam" and not parameters:
            return lambda rows: reduced(rows, gradcam.maps[rows])
        device = use_device(compute.device, compute.threads, compute.precision)
        method = find(name)
        network = prepared(load_checkpoint(model_path, device)[0], method, gradcam.layer, gradcam.input_size)
        inputs = network_inputs(cohort, image_ids, gradcam.input_size)

        def explain_rows(rows: slice) -> Explanations:
            images = normalise(inputs[rows].to(device))
            return reduced(rows, maps_by(method, parameters, network, images, gradcam.layer).cpu())

        return explain_rows

    def share() -> None:
        network_inputs(cohort, image_ids, gradcam.input_size)

    return made_in_shards([Sharded(path, identity, len(image_ids), SHARD, share, begin)], find(name).title)[0]
