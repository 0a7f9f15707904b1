"""Forward passes of many changed copies of an image: what the methods without gradients are made of."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen
from cxrlib.runtime.progress import progress

FEW_BATCHES = 8
"""More batches than these have a progress bar."""


@contextlib.contextmanager
def counted(batches: int, title: str) -> Iterator[Callable[[], None]]:
    """A function to call before each of so many batches, for a progress bar where they are more than a few.

    >>> with counted(2, "Occlusion") as start_batch:
    ...     start_batch()
    """
    steps = iter(progress(range(batches), title, "batch") if batches > FEW_BATCHES else range(batches))

    def start_batch() -> None:
        next(steps, None)

    yield start_batch
    start_batch()  # ends the bar


@contextlib.contextmanager
def forward_passes(
    network: nn.Module, classes: list[int] | None, batches: int, title: str
) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """A function from images to the logits of classes: the network in evaluation mode, without a gradient.

    Args:
        network: logits (n, classes); its mode and gradient flags return as they were.
        classes: columns of the logits; all when None.
        batches: number of calls that will follow, for a progress bar where they are more than a few.
        title: of the progress bar.

    Yields:
        A function from float32 (n, c, h, w) to float32 (n, len(classes)). The network may write into the images.

    >>> with forward_passes(nn.Flatten(), [1], batches=1, title="Occlusion") as logits:
    ...     logits(torch.tensor([[[[3.0, 5.0]]]])).tolist()
    [[5.0]]
    """
    with frozen(network), counted(batches, title) as start_batch:

        def logits(copies: torch.Tensor) -> torch.Tensor:
            start_batch()
            with torch.inference_mode():
                output = network(copies)
            return output[:, list(range(output.shape[1])) if classes is None else classes].float()

        yield logits


def number_of_batches(counts: Iterable[int], batch_size: int) -> int:
    """Batches of at most `batch_size` for so many copies of each image; a batch holds copies of one image.

    >>> number_of_batches([5, 4], batch_size=4)
    3
    """
    return sum(math.ceil(count / batch_size) for count in counts)


def hidden_logits(
    forward: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    hidden: Iterable[torch.Tensor],
    fill: torch.Tensor,
) -> torch.Tensor:
    """Logits of copies of one image of which parts are hidden.

    Args:
        forward: images to logits.
        image: float32 (c, h, w).
        hidden: batches of bool (copies, h, w), true where the fill value replaces the pixels.
        fill: float32 (c, 1, 1).

    Returns:
        float32 (copies of all batches, classes).

    >>> image = torch.tensor([[[1.0, 2.0]]])
    >>> halves = torch.tensor([[[True, False]], [[False, True]]])
    >>> hidden_logits(lambda copies: copies.sum((2, 3)), image, [halves], torch.zeros(1, 1, 1)).tolist()
    [[2.0], [1.0]]
    """
    return torch.cat([forward(torch.where(batch[:, None], fill, image)) for batch in hidden])


def fill_value(image: torch.Tensor, fill: float | Sequence[float] | None = None) -> torch.Tensor:
    """What replaces a hidden pixel.

    Args:
        image: float32 (c, h, w).
        fill: one value, or one for each channel; the image's mean of each channel when None.

    Returns:
        float32 (c, 1, 1) on the device of the image.

    Raises:
        ValueError: there are neither one value nor as many as channels.

    >>> fill_value(torch.tensor([[[1.0, 3.0]], [[4.0, 4.0]]])).flatten().tolist()
    [2.0, 4.0]
    >>> fill_value(torch.zeros(2, 1, 1), 0.5).flatten().tolist()
    [0.5, 0.5]
    """
    if fill is None:
        return image.mean((1, 2), keepdim=True)
    values = torch.as_tensor(fill).to(image).reshape(-1, 1, 1)
    if len(values) not in {1, len(image)}:
        raise ValueError(f"fill holds {len(values)} values; give one, or one for each of the {len(image)} channels")
    return values.expand(len(image), 1, 1)


def collected(maps: Iterable[torch.Tensor], count: int) -> torch.Tensor:
    """`torch.stack` of `count` maps that are made one after the other, without holding them twice.

    >>> collected((torch.full((2,), float(number)) for number in range(3)), 3).tolist()
    [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    """
    maps = iter(maps)
    first = next(maps)
    result = first.new_empty(count, *first.shape)
    result[0] = first
    for number, one in enumerate(maps, 1):
        result[number] = one
    return result
