"""The loss of a network that knows nothing, beside which a loss can be read."""

import torch
from torch import nn

from cxrlib.model.training import positive_weights


def uninformed_loss(train_targets: torch.Tensor, valid_targets: torch.Tensor, pos_weight: bool = True) -> float:
    """Validation loss of a network that gives every label of every image a probability of one half.

    Args:
        train_targets: float32 0/1, (n, classes), by which positives are weighed.
        valid_targets: the same of the validation split.
        pos_weight: weigh positives, as in `cxrlib.model.training.Recipe`.

    >>> targets = torch.tensor([[1.0], [0.0]])
    >>> round(uninformed_loss(targets, targets), 3)  # ln 2
    0.693
    """
    weight = positive_weights(train_targets) if pos_weight else None
    return nn.BCEWithLogitsLoss(pos_weight=weight)(torch.zeros_like(valid_targets), valid_targets).item()
