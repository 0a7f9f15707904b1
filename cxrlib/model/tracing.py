"""torch.fx while other threads run networks: the heatmap browser computes beside a notebook's cells."""

import threading
from collections.abc import Callable

from torch import fx, nn

ONE_AT_A_TIME = threading.RLock()
"""Two traces at once would leave torch's modules patched for ever."""


class ThreadTracer(fx.Tracer):
    """A tracer that records the calls of its own thread alone.

    While torch.fx traces, it catches the calls of all modules in all threads. Here a module that another thread calls
    runs as if nobody traced.

    >>> network = nn.Sequential(nn.Flatten(), nn.ReLU())
    >>> [node.name for node in ThreadTracer().trace(network).nodes]
    ['input_1', '_0', '_1', 'output']
    """

    def trace(self, root: nn.Module, concrete_args: dict | None = None) -> fx.Graph:
        """The operations of a network; waits where another thread traces."""
        with ONE_AT_A_TIME:
            self.thread = threading.get_ident()
            return super().trace(root, concrete_args)

    @property
    def elsewhere(self) -> bool:
        """Whether the present thread is another one than that which traces."""
        return threading.get_ident() != self.thread

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> object:
        """Record the call of a module, or let it run where another thread calls it."""
        if self.elsewhere:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: object, parameter_proxy_cache: dict) -> object:
        """A module's attribute, as a step of the graph where this thread asks for it."""
        if self.elsewhere:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)
