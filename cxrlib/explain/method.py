"""What every explanation method is: a function from a network and images to raw maps, and the facts about it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

from cxrlib.model.feature_maps import chosen_layer
from cxrlib.model.pooling import pooled_at


class Passes(NamedTuple):
    """What the maps of one image cost, in passes of one image through the network."""

    forward: int
    backward: int


@dataclass(frozen=True)
class Method:
    """An explanation method.

    Call it like the function `maps`: `method(network, images, classes, **parameters)`.

    Attributes:
        name: by which it is asked for, e.g. "gradcam".
        title: as tables and figures call it, e.g. "Grad-CAM".
        paper: authors, year and where to read it.
        formula: of a map.
        maps: `(network, images, classes, **parameters)` to raw maps, float32 (n, len(classes), rows, columns) on the
            device of the images. The network gives logits (n, classes of the network); its mode and its gradient flags
            return as they were. Images are float32 (n, c, h, w) as the network takes them. Classes are columns of the
            logits, all when None. A parameter `batch_size` bounds the images that pass through the network at once.
        resolution: of the maps: "layer", the cells of the explained layer, or "input", the pixels of the images.
        signed: whether raw maps hold negative values, which speak against the class.
        passes: `(number of classes, (h, w), **parameters)` to the cost of one image.
        needs: which networks the method can explain, in words; others are refused with a ValueError.
        closed_form: whether no backward pass is needed where only average pooling and one linear layer follow the
            explained layer.
    """

    name: str
    title: str
    paper: str
    formula: str
    maps: Callable[..., torch.Tensor]
    resolution: Literal["layer", "input"]
    signed: bool
    passes: Callable[..., Passes]
    needs: str = "any network"
    closed_form: bool = False

    def __call__(
        self, network: nn.Module, images: torch.Tensor, classes: list[int] | None = None, **parameters: object
    ) -> torch.Tensor:
        """Raw maps of images; see the attribute `maps`."""
        return self.maps(network, images, classes, **parameters)

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the method and their defaults."""
        given = list(inspect.signature(self.maps).parameters.values())[3:]
        return {parameter.name: parameter.default for parameter in given}

    def cost(
        self, network: nn.Module, classes: int, size: tuple[int, int], layer: str = "auto", **parameters: object
    ) -> Passes:
        """What an image costs on a network.

        Args:
            network: that is explained.
            classes: number of classes that are explained.
            size: height and width of the images in pixels.
            layer: that is explained, where the method has one.
            parameters: of the method, where they differ from the defaults.
        """
        passes = self.passes(classes, size, **{**self.parameters, **parameters})
        if not self.closed_form:
            return passes
        pooled = pooled_at(network, chosen_layer(network, layer, size[0])) is not None
        return Passes(passes.forward, 0) if pooled else passes

    def info(self, classes: int = 1, size: tuple[int, int] = (224, 224), **parameters: object) -> str:
        """What the method is, what it costs and what it cannot explain, in lines of text.

        Args:
            classes: number of classes that are explained.
            size: height and width of the images in pixels.
            parameters: of the method, where they differ from the defaults.
        """
        cost = self.passes(classes, size, **{**self.parameters, **parameters})
        sign = "signed: negative values speak against the class" if self.signed else "never negative"
        return "\n".join(
            [
                f"{self.title} ({self.name}): {self.paper}",
                f"formula: {self.formula}",
                f"parameters: {', '.join(f'{name}={value!r}' for name, value in self.parameters.items()) or 'none'}",
                f"maps: at the resolution of the {self.resolution}, {sign}",
                f"cost of an image of {size[0]} x {size[1]} px and {classes} classes: "
                f"{cost.forward} forward and {cost.backward} backward passes",
                f"needs: {self.needs}",
            ]
        )
