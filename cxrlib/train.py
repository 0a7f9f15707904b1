"""Training: the thesis's loop, read from top to bottom (thesis, section 4.3)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torchvision.transforms import v2

from cxrlib.params import Training
from cxrlib.progress import progress
from cxrlib.resnet import Checkpoint, normalise, save_checkpoint


def augmentation(flip_probability: float, rotation_degrees: float) -> v2.Transform:
    """The thesis's random transforms of one uint8 image; resizing comes before, normalising after."""
    return v2.Compose([v2.RandomHorizontalFlip(flip_probability), v2.RandomRotation(rotation_degrees)])


def positive_weights(targets: torch.Tensor) -> torch.Tensor:
    """Negatives / positives of each label, float32 (classes,).

    Raises:
        ValueError: a label has no positives.
    """
    positives = targets.sum(0)
    if (positives == 0).any():
        raise ValueError(f"label number {int((positives == 0).nonzero()[0])} has no positive training study")
    return (len(targets) - positives) / positives


def train(
    network: nn.Module,
    train_set: tuple[torch.Tensor, torch.Tensor],
    valid_set: tuple[torch.Tensor, torch.Tensor],
    params: Training,
    keep_best: Callable[[int, float], None],
) -> pd.DataFrame:
    """Train with BCE, SGD and LinearLR; call `keep_best(epoch, valid_loss)` whenever the validation loss is lowest.

    Args:
        network: logits (n, classes), on its device.
        train_set, valid_set: uint8 images (n, 1, h, w) and float32 0/1 targets (n, classes).
        params: the training section.
        keep_best: stores the network; called inside the loop, so that a crash loses one epoch at most.

    Returns:
        One row per epoch: epoch, train_loss, valid_loss, learning_rate.

    Raises:
        FloatingPointError: the loss is not finite; names epoch, batch and learning rate.
    """
    device = next(network.parameters()).device
    images, targets = train_set
    epochs = params.epochs
    augment = augmentation(params.flip_probability, params.rotation_degrees)
    weight = positive_weights(targets).to(device) if params.pos_weight else None
    loss_of = nn.BCEWithLogitsLoss(pos_weight=weight)
    optimizer = torch.optim.SGD(network.parameters(), params.learning_rate, params.momentum)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, params.end_factor, total_iters=epochs)
    shuffle = torch.Generator().manual_seed(params.seed)

    history, best = [], float("inf")
    for epoch in range(1, epochs + 1):
        network.train()
        learning_rate, losses = schedule.get_last_lr()[0], []
        # a last batch of one image has no variance to normalise with
        batches = [b for b in torch.randperm(len(images), generator=shuffle).split(params.batch_size) if len(b) > 1]
        for number, batch in enumerate(progress(batches, f"epoch {epoch}/{epochs}", "batch")):
            inputs = normalise(torch.stack([augment(images[i]) for i in batch]).to(device))
            loss = loss_of(network(inputs), targets[batch].to(device))
            if not loss.isfinite():
                raise FloatingPointError(
                    f"the loss became {loss.item()} at epoch {epoch}, batch {number}, learning rate "
                    f"{learning_rate:g}; lower training.learning_rate"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        valid_loss = evaluate(network, valid_set, loss_of, params.batch_size)
        if not np.isfinite(valid_loss):
            raise FloatingPointError(
                f"the validation loss became {valid_loss} after epoch {epoch}; lower training.learning_rate"
            )
        history.append((epoch, float(np.mean(losses)), valid_loss, learning_rate))
        if valid_loss < best:
            best = valid_loss
            keep_best(epoch, valid_loss)
    return pd.DataFrame(history, columns=["epoch", "train_loss", "valid_loss", "learning_rate"])


def evaluate(network: nn.Module, dataset: tuple[torch.Tensor, torch.Tensor], loss_of: nn.Module, batch: int) -> float:
    """Mean loss over a data set in evaluation mode."""
    device = next(network.parameters()).device
    network.eval()
    images, targets = dataset
    with torch.inference_mode():
        logits = torch.cat([network(normalise(part.to(device))) for part in images.split(batch)])
        return loss_of(logits, targets.to(device)).item()


def checkpoint_writer(network: nn.Module, about: dict, path: Path) -> Callable[[int, float], None]:
    """A `keep_best` that stores the network at `path`; `about` holds the fields of Checkpoint but the last two."""

    def keep_best(epoch: int, valid_loss: float) -> None:
        save_checkpoint(network, Checkpoint(**about, epoch=epoch, valid_loss=valid_loss), path)

    return keep_best
