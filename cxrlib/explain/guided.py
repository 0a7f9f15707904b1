"""DeconvNet, guided backpropagation and Guided Grad-CAM: gradients with another rule at the ReLUs."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from cxrlib.explain.cam import gradcam_maps
from cxrlib.explain.gradients import input_gradients, strongest_channel
from cxrlib.explain.method import Method, Passes
from cxrlib.explain.relu_rules import Rule, UnruledActivation, modules_with, rule_relus, unruled_operations
from cxrlib.runtime.memory import smaller_batches


@smaller_batches
def guided_backprop(
    network: nn.Module, images: torch.Tensor, classes: list[int] | None = None, batch_size: int = 32
) -> torch.Tensor:
    """Guided backpropagation (Springenberg et al. 2015): only positive gradients pass a ReLU, where z is positive.

        M_ij = max_k |G_kij|,  G the gradient dy / dx with g -> max(g, 0) [z > 0] at each ReLU of z

    Where no ReLU has z <= 0 and no gradient at a ReLU is negative it is the plain gradient.

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were.
        images: float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        batch_size: images that pass through the network at once.

    Returns:
        float32 (n, len(classes), h, w).

    Raises:
        UnruledActivation: the network has an activation that is no ReLU.
        NoGradient: torch cannot differentiate the logits.

    The second ReLU is inactive, the gradient of the third is negative:

    >>> network = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(3, 1))
    >>> network[2].weight.data = torch.tensor([[1.0, 3.0, -2.0]])
    >>> guided_backprop(network, torch.tensor([[[[1.0, -1.0, 1.0]]]])).tolist()
    [[[[1.0, 0.0, 0.0]]]]
    """
    batches = images.split(batch_size)
    return torch.cat([ruled_gradients(network, batch, "guided", classes, batch_size) for batch in batches])


@smaller_batches
def deconvnet(
    network: nn.Module, images: torch.Tensor, classes: list[int] | None = None, batch_size: int = 32
) -> torch.Tensor:
    """DeconvNet (Zeiler and Fergus 2014): only positive gradients pass a ReLU, whatever went forward through it.

        M_ij = max_k |G_kij|,  G the gradient dy / dx with g -> max(g, 0) at each ReLU

    Args, returns, errors: as in `guided_backprop`.

    >>> network = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(3, 1))
    >>> network[2].weight.data = torch.tensor([[1.0, 3.0, -2.0]])
    >>> deconvnet(network, torch.tensor([[[[1.0, -1.0, 1.0]]]])).tolist()
    [[[[1.0, 3.0, 0.0]]]]
    """
    batches = images.split(batch_size)
    return torch.cat([ruled_gradients(network, batch, "deconvnet", classes, batch_size) for batch in batches])


@smaller_batches
def guided_gradcam(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    layer: str = "auto",
    batch_size: int = 32,
) -> torch.Tensor:
    """Guided Grad-CAM (Selvaraju et al. 2017): guided backpropagation times the Grad-CAM map.

        M_ij = L_ij max_k |G_kij|,  L the Grad-CAM map, bilinearly enlarged to the image

    Args, returns, errors: as in `guided_backprop`.
        layer: of Grad-CAM, as in `cxrlib.explain.cam.gradcam_maps`.

    >>> network = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(2, 1))
    >>> network[2].weight.data = torch.tensor([[1.0, 3.0]])
    >>> guided_gradcam(network, torch.tensor([[[[1.0, 2.0]]]]), layer="0").tolist()  # ReLU(2 * [1, 2]) * [1, 3]
    [[[[2.0, 12.0]]]]
    """
    pixels = guided_backprop(network, images, classes, batch_size)
    cells = gradcam_maps(network, images, classes, layer, batch_size)
    return pixels * functional.interpolate(cells, pixels.shape[-2:], mode="bilinear")


def ruled_gradients(
    network: nn.Module, images: torch.Tensor, rule: Rule, classes: list[int] | None = None, rows: int | None = None
) -> torch.Tensor:
    """The strongest channel of the gradient of one batch, with another rule at the ReLUs.

    Args:
        network, images, classes: as in `guided_backprop`.
        rule: see `cxrlib.explain.relu_rules`.
        rows: as in `cxrlib.explain.class_gradients.class_gradients`.

    Returns:
        float32 (n, len(classes), h, w).

    Raises:
        UnruledActivation: as `guided_backprop`; the message names modules.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.GELU(), nn.Flatten(), nn.Linear(8, 1))
    >>> ruled_gradients(network, torch.ones(1, 1, 2, 2), "guided")
    Traceback (most recent call last):
    cxrlib.explain.relu_rules.UnruledActivation: guided gradients have a rule for ReLU alone, and the network has Gelu
        (GELU 1); explain it with gradient, gradcam or integrated_gradients
    """

    def prepare(logits: torch.Tensor) -> None:
        if unruled := unruled_operations(logits):
            raise UnruledActivation(_refusal(rule, modules_with(network, images[:1], unruled)))
        rule_relus(logits, rule)

    return input_gradients(network, images, classes, strongest_channel, rows, prepare)


def _refusal(rule: Rule, unruled: dict[str, list[str]]) -> str:
    """One line from operation -> modules."""
    described = []
    for operation, modules in sorted(unruled.items(), key=lambda item: not item[1]):  # those in modules first
        more = f" and {len(modules) - 2} more" if len(modules) > 2 else ""
        described.append(f"{operation} ({', '.join(modules[:2]) or 'a function, in no module of its own'}{more})")
    return (
        f"{rule} gradients have a rule for ReLU alone, and the network has {', '.join(described)}; explain it with "
        "gradient, gradcam or integrated_gradients"
    )


def _method(name: str, title: str, paper: str, formula: str, maps: Callable[..., torch.Tensor], times: int) -> Method:
    return Method(
        name=name,
        title=title,
        paper=paper,
        formula=formula,
        maps=maps,
        resolution="input",
        signed=False,
        passes=lambda classes, size, **_: Passes(times, times * classes),
        needs="a network whose only activation is ReLU, as a module or a function; no SiLU, GELU, ReLU6 or other",
    )


METHODS = [
    _method(
        "deconvnet",
        "DeconvNet",
        "Zeiler and Fergus 2014, arXiv:1311.2901",
        "max_k |G_k|, G the gradient dy / dx with g -> max(g, 0) at each ReLU",
        deconvnet,
        1,
    ),
    _method(
        "guided_backprop",
        "Guided backpropagation",
        "Springenberg et al. 2015, arXiv:1412.6806",
        "max_k |G_k|, G the gradient dy / dx with g -> max(g, 0) [z > 0] at each ReLU of z",
        guided_backprop,
        1,
    ),
    _method(
        "guided_gradcam",
        "Guided Grad-CAM",
        "Selvaraju et al. 2017, arXiv:1610.02391",
        "guided backpropagation times the Grad-CAM map, bilinearly enlarged to the image",
        guided_gradcam,
        2,
    ),
]
