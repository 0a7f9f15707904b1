"""Training: the thesis's loop, read from top to bottom (thesis, section 4.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.model.augmentation import draw_transforms, transform
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.networks import device_of, normalise
from cxrlib.model.resume import TrainingState
from cxrlib.runtime.device import autocast
from cxrlib.runtime.distributed import own_part, sum_over_processes, trained_together
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.processes import rank, world_size
from cxrlib.runtime.progress import progress


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are the thesis's (section 4.3).

    Attributes:
        epochs: passes over the training set.
        batch_size: images per step, of all processes together.
        learning_rate: of SGD in the first epoch; falls linearly to `end_factor` times this.
        momentum: of SGD; the thesis does not give it.
        flip_probability, rotation_degrees: as in `draw_transforms`.
        pos_weight: weigh positives by negatives / positives of the training set.
        seed: of the order of the batches and of the augmentation.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 0.01
    momentum: float = 0.9
    end_factor: float = 0.3
    flip_probability: float = 0.5
    rotation_degrees: float = 45.0
    pos_weight: bool = True
    seed: int = 2023


LabelledImages = tuple[torch.Tensor | StoredInputs, torch.Tensor]
"""uint8 images (n, 1, h, w) and float32 0/1 targets (n, classes)."""


FurtherLoss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""A second loss term of the images that have just passed through the network: their positions in the training set, and
their flips and angles as `transform` takes them, to a scalar."""


def positive_weights(targets: torch.Tensor) -> torch.Tensor:
    """Weights of the positives in the loss: negatives / positives of each label.

    Args:
        targets: float32 0/1, (n, classes).

    Returns:
        float32 (classes,).

    Raises:
        ValueError: a label has no positives.

    >>> positive_weights(torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])).numpy().round(2)
    array([3.  , 0.33], dtype=float32)
    """
    positives = targets.sum(0)
    if (positives == 0).any():
        raise ValueError(f"label number {int((positives == 0).nonzero()[0])} has no positive training study")
    return (len(targets) - positives) / positives


def train(
    network: nn.Module,
    train_set: LabelledImages,
    valid_set: LabelledImages,
    recipe: Recipe,
    keep_best: Callable[[int, float], None],
    precision: str = "float32",
    state_path: Path | None = None,
    further_loss: FurtherLoss | None = None,
) -> pd.DataFrame:
    """Train with BCE, SGD and LinearLR; call `keep_best(epoch, valid_loss)` whenever the validation loss is lowest.

    Under torchrun the processes share each batch; losses do not depend on their number, as long as no batch is left
    out: one of a single image, or of fewer than there are processes.

    Args:
        network: logits (n, classes), on its device.
        train_set, valid_set: images and targets.
        recipe: how to train.
        keep_best: stores the network; called inside the loop, so that a crash loses one epoch at most.
        precision: as in the compute section; "bfloat16" autocasts the forward pass.
        state_path: where the state is stored after each epoch; what an earlier call stored there is taken up. Another
            recipe or other data need another path.
        further_loss: added to the loss of each batch, in training alone.

    Returns:
        One row per epoch: epoch, train_loss, valid_loss, learning_rate.

    Raises:
        Refusal: the loss is not finite, which names epoch, batch and learning rate; or every batch would be left out.
        ValueError: a label has no positive training study.
    """
    device = device_of(network)
    images, targets = train_set
    epochs = recipe.epochs
    weight = positive_weights(targets).to(device) if recipe.pos_weight else None
    loss_of = nn.BCEWithLogitsLoss(pos_weight=weight)
    together = trained_together(network)
    optimizer = torch.optim.SGD(network.parameters(), recipe.learning_rate, recipe.momentum)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, recipe.end_factor, total_iters=epochs)
    random = torch.Generator().manual_seed(recipe.seed)
    # batch norm needs the variance of two images, and every process needs an image
    smallest = max(2, world_size())
    if min(recipe.batch_size, len(images)) < smallest:
        raise Refusal(
            f"training.batch_size: batches of {recipe.batch_size} from {len(images)} training studies are too small "
            f"for {world_size()} processes, which need {smallest} images; "
            "raise it, raise data.n_studies, or start fewer processes"
        )

    state = TrainingState(network, optimizer, schedule, random)
    if state_path:
        state.restore(state_path)
    for epoch in range(len(state.history) + 1, epochs + 1):
        network.train()
        learning_rate, losses = schedule.get_last_lr()[0], []
        order = torch.randperm(len(images), generator=random)
        batches = [batch for batch in order.split(recipe.batch_size) if len(batch) >= smallest]
        loaded = load_batches(images, [own_part(batch) for batch in batches], device)
        for number, batch in enumerate(progress(batches, f"epoch {epoch}/{epochs}", "batch")):
            drawn = draw_transforms(len(batch), recipe.flip_probability, recipe.rotation_degrees, random)
            own, drawn = own_part(batch), tuple(map(own_part, drawn))
            inputs = normalise(transform(next(loaded), *drawn))
            with autocast(device, precision):
                mean_loss = loss_of(together(inputs), targets[own].to(device))
            if further_loss is not None:
                mean_loss = mean_loss + further_loss(own, *drawn)
            share = len(inputs) / len(batch)
            loss = sum_over_processes(mean_loss.detach() * share).item()
            if not np.isfinite(loss):
                raise Refusal(
                    f"the loss became {loss} at epoch {epoch}, batch {number}, learning rate "
                    f"{learning_rate:g}; lower training.learning_rate{_kept(state)}"
                )
            optimizer.zero_grad()
            (mean_loss * share * world_size()).backward()  # gradients are averaged over the processes
            optimizer.step()
            losses.append(loss)
        schedule.step()
        valid_loss = evaluate(network, valid_set, loss_of, recipe.batch_size)
        if not np.isfinite(valid_loss):
            raise Refusal(
                f"the validation loss became {valid_loss} after epoch {epoch}, learning rate {learning_rate:g}; "
                f"lower training.learning_rate{_kept(state)}"
            )
        state.history.append((epoch, float(np.mean(losses)), valid_loss, learning_rate))
        if valid_loss < state.best:
            state.best = valid_loss
            keep_best(epoch, valid_loss)
        if state_path and rank() == 0:
            state.save(state_path)
    return pd.DataFrame(state.history, columns=["epoch", "train_loss", "valid_loss", "learning_rate"])


def _kept(state: TrainingState) -> str:
    """End of an error message that names the checkpoint of the best epoch; empty before the first one."""
    best = [epoch for epoch, _, valid_loss, _ in state.history if valid_loss == state.best]
    return f" (the checkpoint of epoch {best[0]}, the best so far, is kept)" if best else ""


def measure(
    network: nn.Module,
    train_set: LabelledImages,
    valid_set: LabelledImages,
    recipe: Recipe,
    keep_best: Callable[[int, float], None],
) -> pd.DataFrame:
    """Store the network untrained, with its validation loss as epoch 0; the result has the columns of `train`."""
    weight = positive_weights(train_set[1]).to(device_of(network)) if recipe.pos_weight else None
    loss = evaluate(network, valid_set, nn.BCEWithLogitsLoss(pos_weight=weight), recipe.batch_size)
    keep_best(0, loss)
    return pd.DataFrame([(0, float("nan"), loss, 0.0)], columns=["epoch", "train_loss", "valid_loss", "learning_rate"])


def evaluate(network: nn.Module, dataset: LabelledImages, loss_of: nn.Module, batch_size: int) -> float:
    """Mean loss over a data set in evaluation mode."""
    device = device_of(network)
    network.eval()
    images, targets = dataset
    batches = torch.arange(len(images)).split(batch_size)[rank() :: world_size()]
    total = torch.zeros((), device=device)
    with torch.inference_mode():
        for batch, loaded in zip(batches, load_batches(images, batches, device), strict=True):
            total += loss_of(network(normalise(loaded)), targets[batch].to(device)) * len(batch)
        return sum_over_processes(total).item() / len(images)
