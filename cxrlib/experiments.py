"""The thesis's experiments: one model per label set, trained and stored once."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cxrlib.cohort import Cohort
from cxrlib.device import inference_dtype, seed_everything, use_device
from cxrlib.distributed import rank, wait_for_all
from cxrlib.explanations import Explanations, load_explanations, save_explanations, stored_identity
from cxrlib.files import file_fingerprint, fingerprint, whole_file
from cxrlib.gradcam import explain
from cxrlib.inference import inference_copy, predict
from cxrlib.inputs import StoredInputs, network_inputs
from cxrlib.params import Compute, Gradcam, Model, Training
from cxrlib.resnet import build_resnet, load_checkpoint
from cxrlib.training import checkpoint_writer, measure, train
from cxrlib.weights import load_weights


def experiment_order(cohort: Cohort) -> list[str]:
    """Names of the experiments, the explained one first, since the others may start from it."""
    explained = cohort.about["explained"]
    return [explained, *(name for name in cohort.about["experiments"] if name != explained)]


def checkpoint_path(folder: Path, experiment: str) -> Path:
    """Where the model of an experiment lies, e.g. models/7_labels.safetensors."""
    return folder / f"{experiment.replace(' ', '_')}.safetensors"


def labelled_inputs(cohort: Cohort, split: str, classes: list[str], size: int) -> tuple[StoredInputs, torch.Tensor]:
    """Images of a split with at least one of `classes`, and their float32 0/1 targets (n, classes)."""
    image_ids = cohort.of(split, classes)
    targets = torch.tensor(cohort.labels.loc[image_ids, classes].to_numpy(np.float32))
    return network_inputs(cohort, image_ids, size), targets


def train_experiment(
    cohort: Cohort, experiment: str, model: Model, training: Training, compute: Compute, folder: Path
) -> pd.DataFrame:
    """Train the model of one experiment, or return at once if `folder` holds it already.

    Args:
        experiment: name of a label set of the cohort.
        folder: receives <experiment>.safetensors, the best epoch, and <experiment>.csv, the losses.

    Returns:
        The losses, as `cxrlib.training.train` returns them.
    """
    classes = cohort.about["experiments"][experiment]
    recipe = fingerprint([classes, model.model_dump(), training.model_dump(), compute.precision])
    path = checkpoint_path(folder, experiment)
    losses_path = path.with_suffix(".csv")
    if path.exists() and losses_path.exists():
        about = load_checkpoint(path, torch.device("cpu"))[1]
        if (about.recipe, about.data) == (recipe, cohort.about["data"]):
            return pd.read_csv(losses_path)
    losses_path.unlink(missing_ok=True)

    device = use_device(compute)
    seed_everything(training.seed)
    network = build_resnet(model.architecture, len(classes), model.output_stride)
    warm = training.epochs and training.warm_start_epochs and experiment != cohort.about["explained"]
    weights = str(checkpoint_path(folder, cohort.about["explained"])) if warm else model.weights
    untrained = load_weights(network, weights, classes) if weights else classes
    if training.epochs == 0 and untrained:
        raise RuntimeError(
            f"training.epochs=0 uses model.weights={weights} as it is, but that has no output for "
            f"{', '.join(untrained)}; take these out of labels.experiments, or train"
        )
    network = network.to(device, memory_format=torch.channels_last)
    about = {
        "architecture": model.architecture,
        "classes": classes,
        "input_size": model.input_size,
        "output_stride": model.output_stride,
        "data": cohort.about["data"],
        "recipe": recipe,
    }
    if warm:  # go on where the explained experiment's schedule ended
        rate = training.learning_rate * training.end_factor
        training = training.model_copy(update={"epochs": training.warm_start_epochs, "learning_rate": rate})
    history = (train if training.epochs else measure)(
        network,
        labelled_inputs(cohort, "train", classes, model.input_size),
        labelled_inputs(cohort, "valid", classes, model.input_size),
        training,
        checkpoint_writer(network, about, path),
        compute.precision,
    )
    if rank() == 0:
        with whole_file(losses_path) as temporary:
            history.to_csv(temporary, index=False)
    wait_for_all()
    return history


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

    Returns at once what `path` holds if the same model explained the same data with the same parameters.
    """
    identity = fingerprint(
        [file_fingerprint(checkpoint), cohort.about["data"], image_ids, gradcam.layer, compute.precision]
    )
    if stored_identity(path) == identity:
        return load_explanations(path)
    network, about = load_checkpoint(checkpoint, use_device(compute))
    inputs = network_inputs(cohort, image_ids, about.input_size)
    network = inference_copy(network, gradcam.layer, inference_dtype(compute))
    maps, probabilities = explain(network, inputs, gradcam.layer, compute.batch_size)
    index = pd.Index(image_ids, name="image_id")
    explanations = Explanations(
        pd.DataFrame(probabilities.numpy(), index, about.classes), maps, about.input_size, identity
    )
    if rank() == 0:
        save_explanations(explanations, path)
    wait_for_all()
    return explanations
