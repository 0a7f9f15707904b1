"""torch.fx and other threads."""

import threading
from collections.abc import Callable

import pytest
import torch
from fixtures import SmallNet
from torch import nn

from cxrlib.explain.lrp_graph import operations
from cxrlib.model.pooling import ConvolutionTracer, split_at_pooling


class Meanwhile(SmallNet):
    """A network in whose forward pass another thread does something, at most for a while."""

    def __init__(self, something: Callable[[], None], patience: float = 10) -> None:
        super().__init__()
        self.something, self.patience = something, patience

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.thread = threading.Thread(target=self.something)
        self.thread.start()
        self.thread.join(self.patience)
        return super().forward(inputs)


@pytest.mark.parametrize("trace", [lambda network: split_at_pooling(network, "relu"), operations])
def test_a_network_that_another_thread_runs_meanwhile_is_not_caught(trace):
    other, images, logits = SmallNet(seed=1).eval(), torch.rand(2, 3, 8, 8), []
    expected = other(images)
    network = Meanwhile(lambda: logits.append(other(images))).eval()
    traced = trace(network)
    assert torch.equal(logits[0], expected)
    torch.testing.assert_close(traced(images), SmallNet().eval()(images))


def test_two_threads_trace_one_after_the_other_and_leave_torch_as_it_was():
    call, graphs, first_is_done = nn.Module.__call__, [], threading.Event()
    second = Meanwhile(lambda: first_is_done.wait(10))
    network = Meanwhile(lambda: graphs.append(ConvolutionTracer().trace(second)), patience=0.3)
    ConvolutionTracer().trace(network)
    first_is_done.set()
    network.thread.join(10)
    assert len(graphs) == 1 and nn.Module.__call__ is call
