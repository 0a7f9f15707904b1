"""The probe of a run: what the explained layer knows of the place, fitted to the training split's boxes, once."""

from pathlib import Path

import torch

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.cells import boxed_rows, study_covers
from cxrlib.explain.explanations import Explanations, load_explanations, save_explanations
from cxrlib.explain.linear_probe import Moments, fit, moments_of, probe_images
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.params import Compute
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.runtime.files import existing, file_fingerprint, fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.store import is_kept, work_on
from cxrlib.stages.inputs import network_inputs

GIVEN = ("cxrlib.data", "cxrlib.params", "cxrlib.workflow")
"""What enters by its content, as the cohort does, or by value, as parameters do."""
CODE = code_fingerprint("cxrlib.stages.probe", given=GIVEN)
"""What fits and what it gives; taken on loading."""


def probe_studies(
    cohort: Cohort, explanations: Explanations, models: Path, compute: Compute, path: Path
) -> Explanations:
    """Maps of `cxrlib.explain.linear_probe` at the explained layer of the explained studies, kept at `path`.

    The probe is fitted to all readers' boxes of the training split; the validation split chooses its strength. Returns
    at once what `path` holds if the same model, data, studies, layer, number format and code made it.

    Args:
        cohort: the run's cohort.
        explanations: of the studies to map; their probabilities, layer and resolution are those of the result.
        models: folder of the run's models.
        compute: the machine.
        path: where the maps are kept.

    Returns:
        The probe's maps; zero for a class of which no training study has a box, so for "No finding".
    """
    model_path = existing(checkpoint_path(models, cohort.experiment), "run notebook 02_training first")
    boxed = {split: _boxed(cohort, split) for split in ("train", "valid")}
    studies, layer = explanations.probabilities.index.tolist(), explanations.layer
    made_from = [file_fingerprint(model_path), cohort.provenance.data, boxed, studies, layer, compute.precision, CODE]
    identity = fingerprint(made_from)
    if is_kept(path, identity):
        return load_explanations(path)
    work_on(path, identity)
    maps = torch.zeros_like(explanations.maps)
    if boxed["train"]:
        device = use_device(compute.device, compute.threads, compute.precision)
        network, checkpoint = load_checkpoint(model_path, device)
        network = inference_copy(network, layer, inference_dtype(compute.precision), checkpoint.input_size)
        rows, columns = maps.shape[2:]

        def moments(image_ids: list[str]) -> Moments:
            def covers(positions: torch.Tensor) -> torch.Tensor:
                chosen = [image_ids[position] for position in positions.tolist()]
                return study_covers(cohort, chosen, explanations.classes, rows, columns)

            inputs = network_inputs(cohort, image_ids, checkpoint.input_size)
            return moments_of(network, inputs, covers, layer, compute.batch_size)

        train = moments(boxed["train"])
        valid = moments(boxed["valid"]) if boxed["valid"] else Moments(*(torch.zeros_like(one) for one in train))
        inputs = network_inputs(cohort, studies, checkpoint.input_size)
        maps = probe_images(network, inputs, fit(train, valid)[0], layer, compute.batch_size)
    found = Explanations(explanations.probabilities, maps, explanations.input_size, identity, layer)
    save_explanations(found, path)
    return found


def _boxed(cohort: Cohort, split: str) -> list[str]:
    """Image ids of a split with a box of any finding: no other study teaches the probe."""
    image_ids = cohort.of(split)
    known = {*boxed_rows(cohort, image_ids, cohort.findings)["image_id"]}
    return [image_id for image_id in image_ids if image_id in known]
