"""The loss of a network that knows nothing, by hand."""

import math

import pytest
import torch

from cxrlib.model.uninformed import uninformed_loss


def test_positives_of_the_validation_split_are_weighed_by_the_training_split():
    train, valid = torch.tensor([[1.0], [0.0], [0.0], [0.0]]), torch.tensor([[1.0], [0.0]])
    assert uninformed_loss(train, valid) == pytest.approx((3 + 1) / 2 * math.log(2))  # a positive counts three times
    assert uninformed_loss(train, valid, pos_weight=False) == pytest.approx(math.log(2))
