"""Names of networks, and what torchvision and timm say of each: its builder and the input of its weights."""

from difflib import get_close_matches
from enum import Enum
from functools import cache
from typing import NamedTuple

from torch import nn

from cxrlib.model.weight_names import head_of
from cxrlib.runtime.errors import Refusal

TIMM = "timm/"
"""What stands before the name of a network of timm."""


CHEST = {"resnet50-xrv": "resnet50", "densenet121-xrv": "densenet121"}
"""torchxrayvision's networks -> torchvision's of the same form; they read one grey channel."""


TESTED = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "densenet121", "efficientnet_b0", "vgg16", "convnext_tiny"),
    *("mobilenet_v3_large", "timm/tf_efficientnet_lite0", *CHEST),
)
"""Names that the tests build, train and explain; any other of torchvision's classifiers or timm's may be asked for."""


BUILT_WITH = {
    name: {"aux_logits": False, "transform_input": True, "init_weights": False}
    for name in ("googlenet", "inception_v3")
}
"""Arguments of torchvision's builders for a network with one output that takes the same input as others."""


AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""What the names of weights of further outputs begin with."""


class Normalisation(NamedTuple):
    """What weights expect of grey values g in 0..1: (g - mean) / std, one mean and std for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


CHEST_RANGE = Normalisation((0.5,), (1 / 2048,))
"""One channel in -1024..1024, as torchxrayvision has it."""


def require_known(architecture: str) -> None:
    """Refuse a name that neither torchvision nor timm has.

    Raises:
        Refusal: names the nearest three.

    >>> require_known("resnet18")
    """
    if architecture.startswith(TIMM):
        known = _timm().is_model(architecture.removeprefix(TIMM))
    else:
        known = architecture in (*_models().list_models(module=_models()), *CHEST)
    if not known:
        names = [*_models().list_models(module=_models()), *CHEST, *(TIMM + name for name in _timm().list_models())]
        near = get_close_matches(architecture, names, n=3, cutoff=0.0)
        raise Refusal(f"model.architecture: no network {architecture!r}; did you mean {', '.join(near)}?")


def published_form(architecture: str) -> nn.Module:
    """A network as torchvision or timm builds it, without weights, with ImageNet's 1000 outputs.

    Raises:
        Refusal: there is no network of that name, or its last layer is not linear.

    >>> published_form("resnet18").fc.out_features
    1000
    """
    require_known(architecture)
    if architecture.startswith(TIMM):
        try:
            network = timm_network(architecture)
        except RuntimeError as error:  # an unknown tag behind the name
            raise Refusal(f"model.architecture: timm does not build {architecture} ({error})") from error
    else:
        name = CHEST.get(architecture, architecture)
        network = _models().get_model(name, weights=None, **BUILT_WITH.get(name, {}))
    heads = getattr(network, "default_cfg", {}).get("classifier")
    if isinstance(heads, tuple) or not isinstance(network.get_submodule(head_of(network)), nn.Linear):
        raise Refusal(
            f"model.architecture: {architecture} does not end in one linear layer, which would give a logit for each "
            "label; choose another network"
        )
    return network


def timm_network(architecture: str, pretrained: bool = False) -> nn.Module:
    """A network as timm builds it.

    >>> timm_network("timm/tf_efficientnet_lite0").num_classes
    1000
    """
    return _timm().create_model(architecture.removeprefix(TIMM), pretrained=pretrained)


@cache
def own_input(architecture: str) -> tuple[Normalisation, int]:
    """The normalisation with which a network's weights were trained, and the side of its images in pixels.

    >>> own_input("densenet121") == (IMAGENET, 224)
    True
    >>> own_input("timm/tf_efficientnet_lite0")[0].mean
    (0.5, 0.5, 0.5)
    """
    if architecture in CHEST:
        return CHEST_RANGE, 224
    if architecture.startswith(TIMM):
        described = _timm().get_pretrained_cfg(architecture.removeprefix(TIMM))
        if described is None:
            return IMAGENET, 224
        return Normalisation(tuple(described.mean), tuple(described.std)), described.input_size[-1]
    transforms = published_weights(architecture).transforms()
    return Normalisation(tuple(transforms.mean), tuple(transforms.std)), transforms.crop_size[0]


def published_weights(architecture: str) -> Enum:
    """torchvision's first ImageNet weights of an architecture.

    >>> published_weights("resnet50").name
    'IMAGENET1K_V1'
    """
    return next(iter(_models().get_model_weights(architecture)))


def _models():
    """torchvision takes seconds to import, and stored maps are shown without it."""
    from torchvision import models

    return models


def _timm():
    """timm takes seconds to import, and most runs do without it."""
    import timm

    return timm
