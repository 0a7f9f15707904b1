"""Maps that no notebook has stored: computed for one study when somebody asks for them, and kept in memory."""

import copy
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

import torch
from torch import nn

from cxrlib.explain.method import Method
from cxrlib.explain.methods import find, names
from cxrlib.model.feature_maps import layers_to_choose
from cxrlib.model.networks import device_of
from cxrlib.runtime.progress import no_progress

LAST_LAYER = "last block"
"""Name of the layer of a method that has maps of one layer only; on demand, the layer of the run's own Grad-CAM."""


KEPT = 64
"""So many computed maps stay in memory; the oldest goes first."""


class MapKey(NamedTuple):
    """Whose map it is, for all classes at once."""

    method: str
    layer: str
    image_id: str


class Forgotten(Exception):  # noqa: N818 - no error: somebody has chosen something else
    """The maps that are computed here are not wanted any more."""


class Later:
    """A network that is loaded when it is asked for first; in whichever thread, it is loaded once."""

    def __init__(self, load: Callable[[], nn.Module]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._network: nn.Module | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it was asked for."""
        return self._network is not None

    def __call__(self) -> nn.Module:
        """The network."""
        with self._lock:
            if self._network is None:
                self._network = self._load()
        return self._network


class OnDemand:
    """Computes maps of any method of `cxrlib.explain.methods`, one request at a time.

    Args:
        network: as it was trained; methods work on a copy, so that a notebook may use the network meanwhile. As long as
            one of `Later` is not loaded, the only layer is the run's own.
        run_layer: name of the module that the run's Grad-CAM explains.
        n_classes: number of the network's outputs.
        size: side of the network's input in pixels.
        inputs: image_id to float32 (1, 3, size, size), as the network takes them.
        parameters: of the run's methods by name, where they differ from the methods' defaults.

    Attributes:
        awaited: what somebody has asked for and is not yet there; None where there is no such thing.
    """

    def __init__(
        self,
        network: nn.Module | Later,
        run_layer: str,
        n_classes: int,
        size: int,
        inputs: Callable[[str], torch.Tensor],
        parameters: Mapping[str, Mapping],
    ) -> None:
        self._given, self.run_layer, self.n_classes, self.size = network, run_layer, n_classes, size
        self.inputs, self.parameters = inputs, parameters
        self.methods: dict[str, Method] = {method.title: method for method in map(find, names())}
        self.awaited: MapKey | None = None
        self._network: nn.Module | None = None
        self._made: dict[MapKey, torch.Tensor | str] = {}

    @property
    def given(self) -> nn.Module:
        """The network, loaded now if it was not."""
        return self._given() if isinstance(self._given, Later) else self._given

    @property
    def is_loaded(self) -> bool:
        """Whether the network is there."""
        return not isinstance(self._given, Later) or self._given.is_loaded

    def load(self) -> None:
        """Load the network if it was not."""
        if isinstance(self._given, Later):
            self._given()

    def layers(self, title: str) -> list[str]:
        """The layers at which a method can be computed; none where there is no such method."""
        if title not in self.methods:
            return []
        if "layer" not in self.methods[title].parameters or not self.is_loaded:
            return [LAST_LAYER]
        return [LAST_LAYER, *(layer for layer in self._blocks if layer != self.run_layer)]

    def module(self, layer: str) -> str:
        """Name of the module that a layer of the menu stands for."""
        return self.run_layer if layer == LAST_LAYER else layer

    def cost(self, title: str, layer: str) -> str:
        """What the maps of a study cost, in words."""
        method = self.methods[title]
        passes = method.cost(self.given, self.n_classes, (self.size, self.size), **self._settings(title, layer))
        backward = f" and {passes.backward:,} backward" if passes.backward else ""
        what = "passes" if passes.forward + passes.backward > 1 else "pass"
        return f"{passes.forward:,} forward{backward} {what} through the network"

    def ask(self, key: MapKey) -> None:
        """Want a map: `make` will make it. What was wanted before is not wanted any more."""
        if self._network is None:  # copied by the thread of a notebook's cells, so that no cell runs it meanwhile
            self._network = copy.deepcopy(self.given)
        self._made.pop(key, None)
        self.awaited = key

    def want_only(self, key: MapKey) -> None:
        """Want nothing any more but this, if it was asked for."""
        if self.awaited != key:
            self.awaited = None

    def make(self) -> None:
        """Make the map that is awaited, if there is one; stop where it is not wanted any more."""
        key = self.awaited
        if key is None:
            return
        try:
            made = self._maps(key)
        except Forgotten:
            return
        except ValueError as error:  # how a method refuses a network
            made = " ".join(str(error).split())
        except Exception:
            self._done(key)
            raise
        self._made[key] = made
        while len(self._made) > KEPT:
            del self._made[next(iter(self._made))]
        self._done(key)

    def maps(self, key: MapKey) -> torch.Tensor | None:
        """Raw maps of all classes, float32 (classes, rows, columns) on the CPU; None where they are not made."""
        made = self._made.get(key)
        return made if isinstance(made, torch.Tensor) else None

    def refusal(self, key: MapKey) -> str:
        """Why the method cannot have the network, where it was tried and refused; else empty."""
        made = self._made.get(key)
        return made if isinstance(made, str) else ""

    def made_of(self, image_id: str) -> list[MapKey]:
        """What is made of a study, in the order in which it was made."""
        return [key for key in list(self._made) if key.image_id == image_id and self.maps(key) is not None]

    @cached_property
    def _blocks(self) -> list[str]:
        try:
            return layers_to_choose(self.given, self.size)
        except (NotImplementedError, RuntimeError):  # the network looks at values, and is run without any here
            return []

    def _done(self, key: MapKey) -> None:
        if self.awaited == key:
            self.awaited = None

    def _settings(self, title: str, layer: str) -> dict[str, object]:
        """The parameters of a method: the run's; and the layer, where the method has one."""
        method = self.methods[title]
        settings = dict(self.parameters.get(method.name, {}))
        if "layer" in method.parameters and (layer != LAST_LAYER or "layer" not in settings):
            settings["layer"] = self.module(layer)
        return settings

    def _maps(self, key: MapKey) -> torch.Tensor:
        def stop(_network: nn.Module, _inputs: tuple) -> None:
            if self.awaited != key:
                raise Forgotten

        network = self._network
        handle = network.register_forward_pre_hook(stop)
        try:
            with no_progress():
                images = self.inputs(key.image_id).to(device_of(network))
                maps = self.methods[key.method](network, images, None, **self._settings(key.method, key.layer))
        finally:
            handle.remove()
        return maps[0].detach().float().cpu()
