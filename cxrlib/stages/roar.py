"""Remove and retrain: a list of independent trainings, shared by processes, stored and taken up one by one."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.evaluate.removal import CONTROLS
from cxrlib.evaluate.retrained import WHOLE, Retrained
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import find
from cxrlib.model.checkpoint import checkpoint_path
from cxrlib.model.networks import build_network, network_outline, normalise
from cxrlib.model.pooling import split_at_pooling
from cxrlib.params import Compute, Gradcam, Model, Params, Roar, Training
from cxrlib.runtime.device import use_device
from cxrlib.runtime.errors import Missing
from cxrlib.runtime.work_list import Piece, one_task_at_a_time, work_through
from cxrlib.stages.explain import explain_studies, require_feature_map
from cxrlib.stages.guided_training import GuidedModel, guided_piece, load_guided
from cxrlib.stages.joint_maps import joint_maps
from cxrlib.stages.removed_pixels import removed_piece
from cxrlib.stages.retraining import Lesson, lesson
from cxrlib.workflow.command import run_together

TIMED_STEPS = 2
"""Training steps that are measured for the estimate, after one to warm up."""


@dataclass(frozen=True)
class WorkList:
    """All trainings of a run's notebook 11.

    Attributes:
        given: what they have in common.
        whole: by weight of the penalty and seed; 0 is no penalty.
        removed: by method's title, mode, share and seed.
        maps: by title, those of the methods; None for a control.
    """

    given: Lesson
    whole: dict[tuple[float, int], Piece]
    removed: dict[tuple[str, str, float, int], Piece]
    maps: dict[str, Explanations | None]

    @property
    def pieces(self) -> list[Piece]:
        """The trainings in their order: those of whole pictures first."""
        return [*self.whole.values(), *self.removed.values()]

    def work(self) -> None:
        """Make what is not stored."""
        work_through(self.pieces, "training again", "network")

    def retrained(self) -> list[Retrained]:
        """What the networks say of the test studies, those of whole pictures first, without those with a penalty."""
        whole = [one for one in self.guided() if one.weight == 0]
        removed = [Retrained(*key, self._probabilities(piece)) for key, piece in self.removed.items()]
        return [*(Retrained(WHOLE, "", 0.0, one.seed, one.explanations.probabilities) for one in whole), *removed]

    def guided(self) -> list[GuidedModel]:
        """The networks of whole pictures, with and without a penalty."""
        return [load_guided(self.given, _finished(piece), *key) for key, piece in self.whole.items()]

    def _probabilities(self, piece: Piece) -> pd.DataFrame:
        with np.load(_finished(piece).path) as arrays:
            index = pd.Index(self.given.studies["test"], name="image_id")
            return pd.DataFrame(arrays["probabilities"], index, self.given.classes)

    def estimate(self) -> str:
        """How much there is to do, in a sentence, from the measured seconds of a training step."""
        left = sum(not piece.done for piece in self.pieces)
        images = len(self.given.studies["train"]) * self.given.recipe.epochs
        what = f"{len(self.pieces)} trainings, {left} of them to do, each of {images:,} images forward and backward"
        if not left:
            return f"{what}."
        hours = left * images * seconds_per_image(self.given) / 3600
        words = f"{hours:.1f} hours" if hours >= 1.5 else f"{max(1, round(60 * hours))} minutes"
        return f"{what}: about {words} here with one process."


def work_list(
    cohort: Cohort,
    roar: Roar,
    model: Model,
    training: Training,
    gradcam: Gradcam,
    compute: Compute,
    folder: Path,
) -> WorkList:
    """The list of the trainings; the methods' maps, which decide what is removed, are made unless they are stored.

    Args:
        cohort: the run's.
        roar: what to train.
        model, training, gradcam, compute: of the run.
        folder: of the run; it receives roar/.

    Raises:
        Refusal: as `lesson`; or notebook 02 has not trained the explained model.
    """
    given, kept = lesson(cohort, roar, model, training, compute), folder / "roar"
    with one_task_at_a_time(kept):
        given.pictures()
        maps = _maps(given, roar, gradcam, checkpoint_path(folder / "models", cohort.experiment), kept / "maps")
    weights = [0.0, *(roar.penalties if has_closed_form(model, gradcam.layer) else [])]
    whole = {
        (weight, seed): guided_piece(given, gradcam.layer, weight, seed, kept / "whole")
        for weight in weights
        for seed in roar.seeds
    }
    chosen_by = {name: None for name in CONTROLS} | maps
    removed = {
        (title, mode, share, seed): removed_piece(given, title, own, mode, share, seed, kept)
        for title, own in chosen_by.items()
        for mode in roar.modes
        for share in roar.shares
        for seed in roar.seeds
    }
    return WorkList(given, whole, removed, chosen_by)


def has_closed_form(model: Model, layer: str) -> bool:
    """Whether the network has a class activation map in closed form, which a penalty needs."""
    layer = require_feature_map(network_outline(model.architecture, 2, model.output_stride), layer, model.input_size)
    return split_at_pooling(build_network(model.architecture, 2, model.output_stride), layer) is not None


def seconds_per_image(given: Lesson) -> float:
    """Seconds that one image takes forward and backward here, measured on a few steps of noise."""
    device = use_device(given.compute.device, given.compute.threads, given.compute.precision)
    network = build_network(given.model.architecture, len(given.classes), given.model.output_stride)
    network = network.to(device, memory_format=torch.channels_last)
    size, count = given.model.input_size, given.recipe.batch_size
    inputs = normalise(torch.zeros(count, 1, size, size, dtype=torch.uint8, device=device))
    for step in range(1 + TIMED_STEPS):
        if step == 1:
            begun = time.perf_counter()
        network(inputs).sum().backward()
        next(network.parameters()).grad.sum().item()  # waits for a GPU
    return (time.perf_counter() - begun) / TIMED_STEPS / count


def _maps(given: Lesson, roar: Roar, gradcam: Gradcam, model_path: Path, folder: Path) -> dict[str, Explanations]:
    """Title of each method -> one map of each study of all splits."""
    plain = explain_studies(
        given.cohort, given.image_ids, model_path, gradcam, given.compute, folder / "all classes.npz"
    )
    settings = (given.cohort, plain, model_path, given.compute)
    return {
        find(name).title: joint_maps(name, parameters, roar.maps_of, *settings, folder / f"{find(name).title}.npz")
        for name, parameters in roar.methods.items()
    }


def _finished(piece: Piece) -> Piece:
    if not piece.done:
        raise Missing(f"{piece.path} is missing; wait for the other tasks of the job array, or run notebook 11_roar")
    return piece


def retrain_all(params: Params, folder: Path) -> list[Path]:
    """Train this process's part of the list in `folder`/roar; return the files of the finished pieces."""
    sections = (params.roar, params.model, params.training, params.gradcam, params.compute)
    todo = work_list(load_cohort(folder / "data"), *sections, folder)
    print(todo.estimate(), file=sys.stderr)
    todo.work()
    return [piece.path for piece in todo.pieces if piece.done]


if __name__ == "__main__":
    run_together(retrain_all, "cxrlib.stages.roar", __doc__)
