"""What a run's models say of a split: probabilities of every experiment, explanations of one."""

import shutil
from pathlib import Path

import pandas as pd

from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.explain.batched import explain
from cxrlib.explain.explanations import Explanations, join, load_explanations, save_explanations, stored_identity
from cxrlib.model.checkpoint import load_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.params import Compute, Gradcam, Params
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.runtime.distributed import rank, wait_for_all, world_size
from cxrlib.runtime.files import existing, file_fingerprint, fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.progress import progress
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.train import checkpoint_path
from cxrlib.workflow.command import run_together

CODE = code_fingerprint(__name__)
"""Taken on loading: a file that is edited while this runs is not what ran."""


SHARD = 64
"""Studies that are explained and stored at once: what an interruption costs, and what one process takes at a time."""


def explain_split(
    cohort: Cohort, split: str, models: Path, gradcam: Gradcam, compute: Compute, path: Path
) -> Explanations:
    """`explain_studies` of the explained experiment on a split."""
    checkpoint = checkpoint_path(models, cohort.experiment)
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
            file_fingerprint(existing(checkpoint, "run notebook 02_training first")),
            cohort.provenance.data,
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
    network, about = load_checkpoint(checkpoint, use_device(compute.device, compute.threads, compute.precision))
    inputs = network_inputs(cohort, image_ids, about.input_size)
    network = inference_copy(network, gradcam.layer, inference_dtype(compute.precision))
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


def explain_test(params: Params, folder: Path) -> list[Path]:
    """Store probabilities and Grad-CAM maps in `folder`/maps/test.npz, unless they are there; return this path."""
    cohort = load_cohort(folder / "data")
    path = folder / "maps" / "test.npz"
    explain_split(cohort, "test", folder / "models", params.gradcam, params.compute, path)
    return [path]


if __name__ == "__main__":
    run_together(explain_test, "cxrlib.stages.explain", __doc__)
