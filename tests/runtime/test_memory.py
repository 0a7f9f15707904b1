"""Too little memory: real allocators that refuse, on the CPU."""

import numpy as np
import pytest
import torch
from fixtures import SmallNet

from cxrlib.model.inference import predict
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.memory import smaller_batches
from cxrlib.stages.train import _batches_that_fit


class Greedy(SmallNet):
    """Wants a petabyte for more than three images."""

    def forward(self, inputs):
        if len(inputs) > 3:
            torch.empty(2**50, dtype=torch.uint8)
        return super().forward(inputs)


def test_batches_shrink_until_they_fit_and_say_so():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (10, 1, 16, 16), np.uint8))
    with pytest.warns(UserWarning) as said:
        found = predict(Greedy(), images, 10)
    assert [str(warning.message).partition(";")[0] for warning in said if warning.category is UserWarning] == [
        "predict: 10 images at once do not fit into memory",
        "predict: 5 images at once do not fit into memory",
    ]
    torch.testing.assert_close(found, predict(SmallNet(), images, 2))


def test_a_batch_size_that_was_not_given_shrinks_too():
    @smaller_batches
    def work(batch_size=32):
        if batch_size > 8:
            raise torch.OutOfMemoryError
        return batch_size

    with pytest.warns(UserWarning, match="32 images at once do not fit"):
        assert work() == 8


def test_other_errors_stand_and_a_batch_of_one_is_refused():
    @smaller_batches
    def work(error, batch_size):
        raise error

    with pytest.raises(RuntimeError, match="shapes"):
        work(RuntimeError("shapes differ"), batch_size=4)
    refusal = r"work: a single image does not fit into memory; .* lower model\.input_size \(CUDA out of memory\)"
    with pytest.raises(Refusal, match=refusal):
        work(torch.OutOfMemoryError("CUDA out of memory"), 1)
    with pytest.warns(UserWarning, match="going on with 1"), pytest.raises(Refusal, match=refusal):
        work(torch.OutOfMemoryError("CUDA out of memory"), 2)


def test_training_leaves_the_choice_to_the_user():
    refusal = r"training\.batch_size: 8 images at once do not fit .* lower it"
    with pytest.raises(Refusal, match=refusal), _batches_that_fit(8):
        Greedy()(torch.zeros(4, 3, 8, 8))
    with pytest.raises(RuntimeError, match="^something else"), _batches_that_fit(8):
        raise RuntimeError("something else")
