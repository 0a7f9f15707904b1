"""The thesis's experiments: one model per label set, trained and stored once."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cxrlib.cohort import Cohort
from cxrlib.device import seed_everything
from cxrlib.files import fingerprint, whole_file
from cxrlib.params import Model, Training
from cxrlib.resnet import build_resnet, load_backbone, load_checkpoint, predict, to_input
from cxrlib.train import checkpoint_writer, train


def experiment_order(cohort: Cohort) -> list[str]:
    """Names of the experiments, the explained one first, since the others may start from it."""
    explained = cohort.about["explained"]
    return [explained, *(name for name in cohort.about["experiments"] if name != explained)]


def checkpoint_path(folder: Path, experiment: str) -> Path:
    """Where the model of an experiment lies, e.g. models/7_labels.safetensors."""
    return folder / f"{experiment.replace(' ', '_')}.safetensors"


def network_inputs(cohort: Cohort, image_ids: list[str], size: int, chunk: int = 256) -> torch.Tensor:
    """Images in the network's frame, uint8 (n, 1, size, size); resized in chunks, so that memory holds one copy."""
    parts = [image_ids[start : start + chunk] for start in range(0, len(image_ids), chunk)]
    return torch.cat([to_input(cohort.images(part), size) for part in parts])


def labelled_inputs(cohort: Cohort, split: str, classes: list[str], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of a split with at least one of `classes`, and their float32 0/1 targets (n, classes)."""
    image_ids = cohort.of(split, classes)
    targets = torch.tensor(cohort.labels.loc[image_ids, classes].to_numpy(np.float32))
    return network_inputs(cohort, image_ids, size), targets


def train_experiment(
    cohort: Cohort, experiment: str, model: Model, training: Training, device: torch.device, folder: Path
) -> pd.DataFrame:
    """Train the model of one experiment, or return at once if `folder` holds it already.

    Args:
        experiment: name of a label set of the cohort.
        folder: receives <experiment>.safetensors, the best epoch, and <experiment>.csv, the losses.

    Returns:
        The losses, as `cxrlib.train.train` returns them.
    """
    classes = cohort.about["experiments"][experiment]
    recipe = fingerprint([classes, model.model_dump(), training.model_dump()])
    path = checkpoint_path(folder, experiment)
    if path.exists() and path.with_suffix(".csv").exists():
        about = load_checkpoint(path, torch.device("cpu"))[1]
        if (about.recipe, about.data) == (recipe, cohort.about["data"]):
            return pd.read_csv(path.with_suffix(".csv"))
    path.with_suffix(".csv").unlink(missing_ok=True)

    seed_everything(training.seed)
    network = build_resnet(model.architecture, len(classes), model.output_stride)
    warm = training.warm_start_epochs and experiment != cohort.about["explained"]
    weights = str(checkpoint_path(folder, cohort.about["explained"])) if warm else model.weights
    if weights:
        load_backbone(network, weights)
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
    history = train(
        network,
        labelled_inputs(cohort, "train", classes, model.input_size),
        labelled_inputs(cohort, "valid", classes, model.input_size),
        training,
        checkpoint_writer(network, about, path),
    )
    with whole_file(path.with_suffix(".csv")) as temporary:
        history.to_csv(temporary, index=False)
    return history


def predict_split(
    cohort: Cohort, experiment: str, split: str, folder: Path, device: torch.device, batch_size: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and probabilities of one experiment's studies in a split, both image_id by class."""
    network, about = load_checkpoint(checkpoint_path(folder, experiment), device)
    image_ids = cohort.of(split, about.classes)
    probabilities = predict(network, network_inputs(cohort, image_ids, about.input_size), batch_size)
    labels = cohort.labels.loc[image_ids, about.classes]
    return labels, pd.DataFrame(probabilities.numpy(), labels.index, about.classes)
