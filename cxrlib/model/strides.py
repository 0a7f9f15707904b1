"""A finer last feature map: the network without its last stride."""

import torch
from torch import nn

from cxrlib.model.feature_maps import last_feature_map
from cxrlib.model.weight_names import outline_of, replace_module
from cxrlib.runtime.errors import Refusal

STRIDES = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def last_stride(network: nn.Module, architecture: str, size: int) -> list[str]:
    """Names of the modules that make the last halving of the feature map, for `drop_strides`.

    These are all convolutions and poolings whose input is about twice as wide as the last feature map and whose
    output is as wide as it: in a ResNet the strides of `layer4`, in a DenseNet the pooling of the last transition.

    Args:
        network: takes images (n, 3, size, size); stays as it is.
        architecture: its name, for the message.
        size: of images that it takes, in pixels.

    Raises:
        Refusal: the last feature map would not be twice as wide without them.

    >>> head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
    >>> last_stride(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.MaxPool2d(2), *head), "small", 16)
    ['1']
    """
    outline = outline_of(network)
    widths, last = _widths_and_last(outline, size)
    halving = {
        name: before for name, (before, after) in widths.items() if after == last and abs(before - 2 * last) <= 1
    }
    names = [name for name in halving if isinstance(outline.get_submodule(name), STRIDES)]
    drop_strides(outline, names)
    if _widths_and_last(outline, size)[1] not in halving.values():
        raise Refusal(
            f"model.output_stride: the last stride of {architecture} is not that of a convolution with padding or of a "
            "pooling, and cannot be dropped; take 32, or another model.architecture"
        )
    return names


def drop_strides(network: nn.Module, names: list[str]) -> None:
    """Take strides out of a network, in place: convolutions lose theirs, poolings go.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.MaxPool2d(2))
    >>> drop_strides(network, ["1"])
    >>> network[1]
    Identity()
    """
    for name in names:
        module = network.get_submodule(name)
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            replace_module(network, name, nn.Identity())


def _widths_and_last(network: nn.Module, size: int) -> tuple[dict[str, tuple[int, int]], int | None]:
    """`_widths`, and the columns of the last feature map; None where the network does not run."""
    outline, images = outline_of(network), torch.zeros(1, 3, size, size, device="meta")
    try:
        widths = _widths(outline, images)
        return widths, widths[last_feature_map(outline, images)][1]
    except (RuntimeError, ValueError):
        return {}, None


def _widths(outline: nn.Module, images: torch.Tensor) -> dict[str, tuple[int, int]]:
    """Columns of the input and of the output of every module that makes a feature map of one."""
    widths = {}

    def noting(name: str):
        def note(_module: nn.Module, inputs: tuple, output: object) -> None:
            if all(isinstance(value, torch.Tensor) and value.ndim == 4 for value in (*inputs[:1], output)):
                widths[name] = inputs[0].shape[3], output.shape[3]

        return note

    for name, module in outline.named_modules():
        module.register_forward_hook(noting(name))
    with torch.no_grad():
        outline.eval()(images)
    return widths
