"""The models of a run: one per label set, trained and stored once (thesis, section 4.3)."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.data.labels import suite_names
from cxrlib.model.batches import StoredInputs
from cxrlib.model.checkpoint import Checkpoint, checkpoint_path, checkpoint_writer
from cxrlib.model.networks import build_network
from cxrlib.model.published import weights_identity
from cxrlib.model.training import Recipe, measure, train
from cxrlib.model.weights import load_weights
from cxrlib.params import Compute, Model, Params, Training
from cxrlib.runtime.device import seed_everything, use_device
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import fingerprint, whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.memory import is_out_of_memory
from cxrlib.runtime.processes import rank, wait_for_all
from cxrlib.runtime.store import is_kept, keep, work_on, working_folder
from cxrlib.runtime.work_list import Piece
from cxrlib.stages.inputs import network_inputs
from cxrlib.workflow.command import run_together

GIVEN = ("cxrlib.data", "cxrlib.params", "cxrlib.workflow")
"""What enters by its content, as the cohort does, or by value, as parameters do."""
CODE = code_fingerprint("cxrlib.stages.train", given=GIVEN)
"""What trains; taken on loading: a file that is edited while this runs is not what ran."""


def experiment_order(cohort: Cohort) -> list[str]:
    """Names of the experiments, the explained one first, since the others may start from it."""
    explained = cohort.experiment
    return [explained, *(name for name in cohort.experiments if name != explained)]


def labelled_inputs(cohort: Cohort, split: str, classes: list[str], size: int) -> tuple[StoredInputs, torch.Tensor]:
    """Images of a split with at least one of `classes`, and their float32 0/1 targets (n, classes)."""
    image_ids = cohort.of(split, classes)
    targets = torch.tensor(cohort.labels.loc[image_ids, classes].to_numpy(np.float32))
    return network_inputs(cohort, image_ids, size), targets


def train_experiment(
    cohort: Cohort, experiment: str, model: Model, training: Training, compute: Compute, folder: Path
) -> pd.DataFrame:
    """Train the model of one experiment, or return at once if `folder` holds it already.

    A training that was interrupted goes on with the epoch where it stopped, and ends with the same bytes.

    Args:
        experiment: name of a label set of the cohort.
        folder: receives <experiment>.safetensors, the best epoch, and <experiment>.csv, the losses, when the training
            is done; the state of an unfinished training lies in a hidden working folder (`cxrlib.runtime.store`).

    Returns:
        The losses, as `cxrlib.model.training.train` returns them.
    """
    classes = cohort.experiments[experiment]
    path = checkpoint_path(folder, experiment)
    losses_path = path.with_suffix(".csv")
    weights, recipe = model.weights, Recipe(**training.model_dump(exclude={"warm_start_epochs"}))
    if training.epochs and training.warm_start_epochs and experiment != cohort.experiment:
        weights = str(checkpoint_path(folder, cohort.experiment))
        recipe = _continued(recipe, training.warm_start_epochs)
    identity = _identity(cohort, classes, model, training, compute.precision, weights)
    if is_kept(path, identity):
        return pd.read_csv(losses_path)
    work = working_folder(path, identity)
    best_path, state_path = work / path.name, work / "training.state"
    if rank() == 0:
        work_on(path, identity)
        if not best_path.exists():  # the state would go on without its best epoch
            state_path.unlink(missing_ok=True)
    wait_for_all()

    device = use_device(compute.device, compute.threads, compute.precision)
    seed_everything(training.seed)
    network = network_to_train(model, weights, classes, training.epochs)
    network = network.to(device, memory_format=torch.channels_last)
    sets = [labelled_inputs(cohort, split, classes, model.input_size) for split in ("train", "valid")]
    checkpoint = Checkpoint(model.architecture, classes, model.input_size, model.output_stride)
    keep_best = checkpoint_writer(network, checkpoint, best_path)
    with _batches_that_fit(training.batch_size):
        if training.epochs:
            history = train(network, *sets, recipe, keep_best, compute.precision, state_path)
        else:
            history = measure(network, *sets, recipe, keep_best)
    if rank() == 0:
        with whole_file(work / losses_path.name) as temporary:
            history.to_csv(temporary, index=False)
        keep(path, identity, [losses_path.name])
    wait_for_all()
    return history


def training_piece(
    cohort: Cohort, experiment: str, model: Model, training: Training, compute: Compute, folder: Path
) -> Piece:
    """The training of a network that needs no other one, as a piece of a list: one process trains it, alone.

    Its inputs are made at once, since processes that are alone would all make them.

    Args:
        cohort, experiment, model, training, compute, folder: as in `train_experiment`.
    """
    network_inputs(cohort, [], model.input_size)
    identity = _identity(cohort, cohort.experiments[experiment], model, training, compute.precision, model.weights)
    settings = (cohort, experiment, model, training, compute, folder)
    return Piece(checkpoint_path(folder, experiment), identity, lambda: train_experiment(*settings))


def network_to_train(model: Model, weights: str | None, classes: list[str], epochs: int) -> nn.Module:
    """A network with an output per class and its first weights.

    Raises:
        Refusal: nothing will be trained, and the weights have no output for some class.
    """
    network = build_network(model.architecture, len(classes), model.output_stride)
    untrained = classes
    if weights:
        untrained = load_weights(network, model.architecture, weights, classes, suite_names("torchxrayvision"))
    if epochs == 0 and untrained:
        raise Refusal(
            f"training.epochs=0 uses model.weights={weights} as it is, and that brings no output for "
            f"{', '.join(untrained)}; take these out of labels.experiments, or train"
        )
    return network


def _continued(recipe: Recipe, epochs: int) -> Recipe:
    """Go on for the epochs of a warm start where the explained experiment's schedule ended."""
    return replace(recipe, epochs=epochs, learning_rate=recipe.learning_rate * recipe.end_factor)


def _identity(
    cohort: Cohort, classes: list[str], model: Model, training: Training, precision: str, weights: str | None
) -> str:
    """Fingerprint of all that makes a model: data, parameters, first weights and code."""
    studies = [cohort.of(split, classes) for split in ("train", "valid")]
    studies += [fingerprint(cohort.labels.loc[chosen, classes].to_numpy().tolist()) for chosen in studies]
    settings = [model.model_dump(exclude={"weights"}), training.model_dump(), precision]
    start = weights_identity(weights, model.architecture) if weights else None
    names = suite_names(weights) if weights == "torchxrayvision" else None
    return fingerprint([cohort.provenance.data, studies, classes, *settings, start, names, CODE])


@contextlib.contextmanager
def _batches_that_fit(batch_size: int) -> Iterator[None]:
    """Say what to do where a batch does not fit into memory: a smaller one is another training, the user's to choose.

    Raises:
        Refusal: instead of torch's own.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise Refusal(
            f"training.batch_size: {batch_size} images at once do not fit into memory; lower it ({error})"
        ) from error


def train_all(params: Params, folder: Path) -> list[Path]:
    """Train every experiment that `folder`/models does not hold yet; return the models and their losses."""
    cohort = load_cohort(folder / "data")
    made = []
    for experiment in experiment_order(cohort):
        train_experiment(cohort, experiment, params.model, params.training, params.compute, folder / "models")
        model = checkpoint_path(folder / "models", experiment)
        made += [model, model.with_suffix(".csv")]
    return made


if __name__ == "__main__":
    run_together(train_all, "cxrlib.stages.train", __doc__, by_array=False)
