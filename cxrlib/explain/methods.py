"""All explanation methods by name. Importing this module does not import torch; finding a method does."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cxrlib.explain.method import Method

MODULES = {
    "gradcam": "cam",
    "gradcam_plus_plus": "cam",
    "layercam": "cam",
    "hirescam": "cam",
    "xgradcam": "cam",
    "cam": "cam",
    "scorecam": "scorecam",
    "gradient": "gradients",
    "input_x_gradient": "gradients",
    "smoothgrad": "gradients",
    "smooth_gradcam": "gradients",
    "integrated_gradients": "integrated",
    "gradientshap": "gradientshap",
    "deconvnet": "guided",
    "guided_backprop": "guided",
    "guided_gradcam": "guided",
    "lrp": "lrp",
    "occlusion": "occlusion",
    "rise": "rise",
    "lime": "lime",
    "kernelshap": "kernelshap",
}
"""Name of each method -> the module of this folder whose list METHODS holds it."""


def check_name(name: str) -> None:
    """Refuse a name that no explanation method has.

    Raises:
        ValueError: there is none; names the nearest.

    >>> check_name("gradcam")
    """
    if name not in MODULES:
        near = get_close_matches(name, MODULES, n=3, cutoff=0.0)
        raise ValueError(f"no method {name!r}; did you mean {', '.join(near)}?")


def find(name: str) -> Method:
    """The explanation method of that name.

    Raises:
        ValueError: there is none; names the nearest.

    >>> find("gradcam").title
    'Grad-CAM'
    >>> find("gradcan")
    Traceback (most recent call last):
    ValueError: no method 'gradcan'; did you mean gradcam...?
    """
    check_name(name)
    module = importlib.import_module(f"cxrlib.explain.{MODULES[name]}")
    return next(one for one in module.METHODS if one.name == name)


def names() -> list[str]:
    """Names of all methods, in the order of the tables.

    >>> "gradcam" in names()
    True
    """
    return list(MODULES)


def explain(
    network: nn.Module,
    images: torch.Tensor,
    method: str = "gradcam",
    classes: list[int] | None = None,
    **parameters: object,
) -> torch.Tensor:
    """Raw maps of any network and images by any method.

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were.
        images: float32 (n, c, h, w) as the network takes them.
        method: name of the method, one of `names()`.
        classes: columns of the logits; all when None.
        parameters: of the method; `find(name).info()` names them.

    Returns:
        float32 (n, len(classes), rows, columns) on the device of the images.

    Raises:
        ValueError: there is no such method, or it cannot explain the network.

    >>> import torch
    >>> from torch import nn
    >>> head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), *head)
    >>> explain(network, torch.rand(2, 1, 16, 16), method="gradcam", classes=[0, 3]).shape
    torch.Size([2, 2, 16, 16])
    """
    return find(method)(network, images, classes, **parameters)
