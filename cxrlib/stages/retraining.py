"""One network among many that learn the explained experiment from the same studies: trained, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cxrlib.data.cohort import Cohort
from cxrlib.model.batches import StoredInputs
from cxrlib.model.inference import inference_copy, predict
from cxrlib.model.published import weights_identity
from cxrlib.model.training import FurtherLoss, Recipe, train
from cxrlib.params import Compute, Model, Roar, Training
from cxrlib.runtime.device import inference_dtype, seed_everything, use_device
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import fingerprint, whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.store import keep
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.train import network_to_train

SPLITS = ("train", "valid", "test")


CODE = code_fingerprint("cxrlib.stages.retraining", given=("cxrlib.data", "cxrlib.params", "cxrlib.workflow"))
"""What trains; taken on loading."""


@dataclass(frozen=True)
class Lesson:
    """What the networks have in common.

    Attributes:
        cohort: the run's; its explained experiment is learned.
        studies: image ids of each of SPLITS.
        model: the network.
        recipe: how it is trained; the seed is that of each network.
        compute: the machine.
    """

    cohort: Cohort
    studies: dict[str, list[str]]
    model: Model
    recipe: Recipe
    compute: Compute

    @property
    def classes(self) -> list[str]:
        """Names of the outputs."""
        return self.cohort.explained

    @property
    def image_ids(self) -> list[str]:
        """The studies of all splits, one after another."""
        return [image_id for split in SPLITS for image_id in self.studies[split]]

    def rows(self, split: str) -> slice:
        """Where a split's studies stand in `image_ids`."""
        before = SPLITS[: SPLITS.index(split)]
        start = sum(len(self.studies[other]) for other in before)
        return slice(start, start + len(self.studies[split]))

    def targets(self, split: str) -> torch.Tensor:
        """Labels, float32 0/1 (n, classes)."""
        return torch.tensor(self.cohort.labels.loc[self.studies[split], self.classes].to_numpy(np.float32))

    def pictures(self) -> StoredInputs:
        """The studies' pictures in the network's frame, in the order of `image_ids`."""
        return network_inputs(self.cohort, self.image_ids, self.model.input_size)

    def identity(self, *about: object) -> str:
        """Fingerprint of all that decides a network and of `about`."""
        weights = self.model.weights
        start = weights_identity(weights, self.model.architecture) if weights else None
        data = [self.cohort.provenance.data, self.studies, self.classes]
        settings = [self.model.model_dump(exclude={"weights"}), vars(self.recipe), self.compute.precision]
        return fingerprint([*data, *settings, start, CODE, *about])


def lesson(cohort: Cohort, roar: Roar, model: Model, training: Training, compute: Compute) -> Lesson:
    """The first `roar.n_studies` of each split, the run's network, and its recipe with `roar.epochs`.

    Raises:
        Refusal: nothing is trained in this run, or a label has no positive study among the first of the training split.
    """
    if not training.epochs:
        raise Refusal("training.epochs=0 trains nothing, so that nothing can be trained again; raise it")
    recipe = Recipe(**training.model_dump(exclude={"warm_start_epochs"}))
    studies = {split: cohort.of(split)[: roar.n_studies] for split in SPLITS}
    positives = cohort.labels.loc[studies["train"], cohort.explained].sum()
    if absent := positives.index[positives == 0].tolist():
        raise Refusal(
            f"roar.n_studies: the first {len(studies['train'])} training studies have no {absent[0]}; raise it, or "
            "take the label out of labels.experiments"
        )
    return Lesson(cohort, studies, model, replace(recipe, epochs=roar.epochs or training.epochs), compute)


def part_of(pictures: StoredInputs, rows: slice) -> StoredInputs:
    """Some of the pictures."""
    return StoredInputs(pictures.path, pictures.rows[rows])


def trained(
    given: Lesson, seed: int, pictures: StoredInputs, penalty: Callable[[nn.Module], FurtherLoss] | None = None
) -> nn.Module:
    """The network of the best epoch, in evaluation mode; it is not stored.

    Args:
        given: what to learn.
        seed: of the first weights, the order of the batches and the augmentation.
        pictures: of `given.image_ids`.
        penalty: makes a further loss for the network.
    """
    device = use_device(given.compute.device, given.compute.threads, given.compute.precision)
    seed_everything(seed)
    network = network_to_train(given.model, given.model.weights, given.classes, given.recipe.epochs)
    network = network.to(device, memory_format=torch.channels_last)
    best: dict[str, torch.Tensor] = {}

    def keep_best(_epoch: int, _loss: float) -> None:
        best.update({name: value.detach().clone() for name, value in network.state_dict().items()})

    sets = [(part_of(pictures, given.rows(split)), given.targets(split)) for split in ("train", "valid")]
    further = penalty(network) if penalty else None
    train(network, *sets, replace(given.recipe, seed=seed), keep_best, given.compute.precision, further_loss=further)
    network.load_state_dict(best)
    return network.eval()


def probabilities_of(given: Lesson, network: nn.Module, pictures: StoredInputs) -> np.ndarray:
    """Probabilities of the test studies, float32 (n, classes)."""
    fast = inference_copy(network, dtype=inference_dtype(given.compute.precision), size=given.model.input_size)
    return predict(fast, part_of(pictures, given.rows("test")), given.compute.batch_size).numpy()


def keep_arrays(path: Path, identity: str, **arrays: np.ndarray) -> None:
    """Write one npz file and the record of what made it."""
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    keep(path, identity)
