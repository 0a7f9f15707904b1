"""What a run's models say of a split: labels and probabilities of every experiment."""

from pathlib import Path

import pandas as pd

from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.inference import inference_copy, predict
from cxrlib.params import Compute
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.stages.inputs import network_inputs


def predict_split(
    cohort: Cohort, experiment: str, split: str, folder: Path, compute: Compute
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and probabilities of one experiment's studies in a split, both image_id by class."""
    device = use_device(compute.device, compute.threads, compute.precision)
    network, checkpoint = load_checkpoint(checkpoint_path(folder, experiment), device)
    image_ids = cohort.of(split, checkpoint.classes)
    inputs = network_inputs(cohort, image_ids, checkpoint.input_size)
    network = inference_copy(network, dtype=inference_dtype(compute.precision), size=checkpoint.input_size)
    probabilities = predict(network, inputs, compute.batch_size)
    labels = cohort.labels.loc[image_ids, checkpoint.classes]
    return labels, pd.DataFrame(probabilities.numpy(), labels.index, checkpoint.classes)


def predict_all(
    cohort: Cohort, split: str, folder: Path, explanations: Explanations, compute: Compute
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """`predict_split` of every experiment; the explained one's probabilities are those of its store."""
    explained = explanations.probabilities
    known = cohort.labels.loc[explained.index, explained.columns], explained
    return {
        name: known if name == cohort.experiment else predict_split(cohort, name, split, folder, compute)
        for name in cohort.experiments
    }
