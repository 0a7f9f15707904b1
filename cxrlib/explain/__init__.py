"""Logits to maps: every explanation method by name, and what is done with raw maps.

The room itself can be called:

    from cxrlib import explain

    maps = explain(network, images, method="gradcam", classes=[0, 3])
"""

import sys
from types import ModuleType

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "batched": ["explain_smooth"],
        "gradcam": ["channel_weights", "weighted_sum"],
        "gradients": ["smooth_gradient", "vanilla_gradient"],
        "maps": ["normalise_maps", "upscale"],
        "masks": ["top_pixels"],
        "methods": ["explain", "find", "names"],
        "smoothgrad": ["noisy_copies"],
    },
)


class _Room(ModuleType):
    """A folder that can be called as its function `explain`."""

    def __call__(self, *arguments: object, **parameters: object) -> object:
        return self.explain(*arguments, **parameters)


sys.modules[__name__].__class__ = _Room
