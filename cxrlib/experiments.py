"""What a run's models say of a split: probabilities of every experiment, explanations of one."""

import shutil
from pathlib import Path

import pandas as pd

from cxrlib.cohort import Cohort
from cxrlib.device import inference_dtype, use_device
from cxrlib.distributed import rank, wait_for_all, world_size
from cxrlib.explanations import Explanations, join, load_explanations, save_explanations, stored_identity
from cxrlib.files import file_fingerprint, fingerprint
from cxrlib.gradcam import explain
from cxrlib.inference import inference_copy, predict
from cxrlib.inputs import network_inputs
from cxrlib.models import checkpoint_path
from cxrlib.params import Compute, Gradcam
from cxrlib.progress import progress
from cxrlib.resnet import load_checkpoint
from cxrlib.workflow.dependencies import code_fingerprint

CODE = code_fingerprint(__name__)
"""Taken on loading: a file that is edited while this runs is not what ran."""
SHARD = 64
"""Studies that are explained and stored at once: what an interruption costs, and what one process takes at a time."""


def predict_split(
    cohort: Cohort, experiment: str, split: str, folder: Path, compute: Compute
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and probabilities of one experiment's studies in a split, both image_id by class."""
    network, about = load_checkpoint(checkpoint_path(folder, experiment), use_device(compute))
    image_ids = cohort.of(split, about.classes)
    inputs = network_inputs(cohort, image_ids, about.input_size)
    probabilities = predict(inference_copy(network, dtype=inference_dtype(compute)), inputs, compute.batch_size)
    labels = cohort.labels.loc[image_ids, about.classes]
    return labels, pd.DataFrame(probabilities.numpy(), labels.index, about.classes)


def predict_all(
    cohort: Cohort, split: str, folder: Path, explanations: Explanations, compute: Compute
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """`predict_split` of every experiment; the explained one's probabilities are those of its store."""
    explained = explanations.probabilities
    known = cohort.labels.loc[explained.index, explained.columns], explained
    return {
        name: known if name == cohort.about["explained"] else predict_split(cohort, name, split, folder, compute)
        for name in cohort.about["experiments"]
    }


def explain_split(
    cohort: Cohort, split: str, models: Path, gradcam: Gradcam, compute: Compute, path: Path
) -> Explanations:
    """`explain_studies` of the explained experiment on a split."""
    checkpoint = checkpoint_path(models, cohort.about["explained"])
    return explain_studies(cohort, cohort.of(split), checkpoint, gradcam, compute, path)


def explain_studies(
    cohort: Cohort, image_ids: list[str], checkpoint: Path, gradcam: Gradcam, compute: Compute, path: Path
) -> Explanations:
    """Probabilities and Grad-CAM maps of a stored model on some studies: one pass, stored at `path`.

    Returns at once what `path` holds if the same model explained the same data with the same parameters and code.
    An interrupted pass goes on where it stopped: every shard is stored beside `path` until all are there. Under
    torchrun the processes share the shards; they must see the same folder, and all return the same.
    """
    identity = fingerprint(
        [
            file_fingerprint(checkpoint),
            cohort.about["data"],
            image_ids,
            gradcam.layer,
            compute.precision,
            CODE,
        ]
    )
    folder = path.with_suffix(".shards")
    if stored_identity(path) == identity:
        if rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)
        return load_explanations(path)
    network, about = load_checkpoint(checkpoint, use_device(compute))
    inputs = network_inputs(cohort, image_ids, about.input_size)
    network = inference_copy(network, gradcam.layer, inference_dtype(compute))
    shards = [(folder / f"{start:06}.npz", slice(start, start + SHARD)) for start in range(0, len(image_ids), SHARD)]
    for shard, rows in progress(shards[rank() :: world_size()], "Grad-CAM", "shard"):
        if stored_identity(shard) != identity:
            maps, probabilities = explain(network, inputs[rows], gradcam.layer, compute.batch_size)
            frame = pd.DataFrame(probabilities.numpy(), pd.Index(image_ids[rows], name="image_id"), about.classes)
            save_explanations(Explanations(frame, maps, about.input_size, identity, gradcam.layer), shard)
    wait_for_all()
    explanations = join([load_explanations(shard) for shard, _ in shards])
    wait_for_all()
    if rank() == 0:
        save_explanations(explanations, path)
        shutil.rmtree(folder)
    wait_for_all()
    return explanations
