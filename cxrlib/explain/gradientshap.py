"""GradientSHAP (Lundberg and Lee 2017, code of shap): integrated gradients from several baselines, by sampling."""

from collections.abc import Sequence

import torch
from torch import nn

from cxrlib.explain.gradcam import frozen
from cxrlib.explain.method import Method, Passes
from cxrlib.explain.perturbed import collected, counted, number_of_batches
from cxrlib.explain.smoothgrad import noisy_copies


def gradientshap(
    network: nn.Module,
    images: torch.Tensor,
    classes: list[int] | None = None,
    samples: int = 50,
    baselines: Sequence[str | float] = ("black", "mean"),
    noise_level: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
) -> torch.Tensor:
    """Mean gradient between baselines and the image, times their difference; all classes share the forward passes.

        M^c_ij = 1/N sum_s sum_k (x_s - b_s)_kij dy^c/dx_kij (b_s + t_s (x_s - b_s)),  x_s = x + e_s

    t_s is even in 0..1, e_s normal with sigma = noise_level * (max x - min x). The baselines take turns. The sum over
    the map tends to y(x) - mean over baselines of y(b).

    Args:
        network: logits (n, classes).
        images: x, float32 (n, c, h, w) as the network takes them.
        classes: columns of the logits; all when None.
        samples: N.
        baselines: "black", the image's lowest value of each channel; "mean", its mean of each channel; or a number.
        noise_level: standard deviation of the noise as a fraction of the image's maximum - minimum.
        seed: of t and the noise, which do not depend on the batch size and are the same for all images.
        batch_size: images that pass through the network at once.

    Returns:
        Raw maps, float32 (n, len(classes), h, w).

    Raises:
        ValueError: there is no sample, no baseline or no such baseline, or the network's logits have no gradient.

    In a linear model a pixel has its weight times its difference from the mean baseline:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> network[1].weight.data = torch.tensor([[1.0, -3.0, 2.0]])
    >>> gradientshap(network, torch.full((1, 1, 1, 3), 4.0), baselines=[0.0, 2.0]).tolist()
    [[[[3.0, -9.0, 6.0]]]]
    """
    if samples < 1 or not len(baselines):
        raise ValueError(f"gradientshap: samples={samples} and the number of baselines must be at least 1")
    shares = torch.rand(samples, generator=torch.Generator().manual_seed(seed)).to(images)
    turns = torch.arange(samples, device=images.device) % len(baselines)
    batches = len(images) * number_of_batches([samples], batch_size)
    with frozen(network), counted(batches, "GradientSHAP") as start_batch:

        def map_of(image: torch.Tensor) -> torch.Tensor:
            values = torch.stack([baseline_value(image, baseline) for baseline in baselines])
            total: torch.Tensor | float = 0.0
            noisy = noisy_copies(image, noise_level, samples, seed, batch_size)
            for copies, some, turn in zip(noisy, shares.split(batch_size), turns.split(batch_size), strict=True):
                start_batch()
                differences = copies - values[turn]
                points = values[turn] + some[:, None, None, None] * differences
                total = total + weighted_gradients(network, points, differences, classes)
            return total / samples

        return collected((map_of(image) for image in images), len(images))


def baseline_value(image: torch.Tensor, baseline: str | float) -> torch.Tensor:
    """A baseline's value of each channel, float32 (c, 1, 1).

    Raises:
        ValueError: there is no such baseline.

    >>> image = torch.tensor([[[1.0, 3.0]]])
    >>> [baseline_value(image, baseline).item() for baseline in ("black", "mean", 0.5)]
    [1.0, 2.0, 0.5]
    """
    if baseline == "black":
        return image.amin((1, 2), keepdim=True)
    if baseline == "mean":
        return image.mean((1, 2), keepdim=True)
    if isinstance(baseline, str):
        raise ValueError(f"gradientshap: no baseline {baseline!r}; choose black, mean or a number")
    return torch.full_like(image[:, :1, :1], baseline)


def weighted_gradients(
    network: nn.Module, points: torch.Tensor, factors: torch.Tensor, classes: list[int] | None = None
) -> torch.Tensor:
    """Sum over points and channels of a factor times the gradient of each logit at the point.

    One forward pass for all classes, and one backward pass for each.

    Args:
        network: frozen; logits (n, classes).
        points: float32 (n, c, h, w).
        factors: of the same shape.
        classes: columns of the logits; all when None.

    Returns:
        float32 (len(classes), h, w).

    Raises:
        ValueError: the logits have no gradient.

    >>> weighted_gradients(nn.Flatten(), torch.zeros(2, 1, 1, 2), torch.full((2, 1, 1, 2), 3.0)).tolist()
    [[[6.0, 0.0]], [[0.0, 6.0]]]
    """
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        # a copy: a network may begin with an in-place operation, which torch forbids on a leaf
        logits = network(leaf.clone())
        if not logits.requires_grad:
            raise ValueError("gradientshap: the network's logits have no gradient; give a network that runs with one")
        sums = logits.sum(0) if classes is None else logits.sum(0)[classes]
        gradients = (
            torch.autograd.grad(one, leaf, retain_graph=number + 1 < len(sums))[0] for number, one in enumerate(sums)
        )
        return torch.stack([(factors * gradient).sum((0, 1)) for gradient in gradients])


def passes(classes: int, size: tuple[int, int], samples: int = 50, **_: object) -> Passes:
    """One forward pass for each sample, and one backward pass for each sample and class.

    >>> passes(7, (224, 224))
    Passes(forward=50, backward=350)
    """
    return Passes(samples, samples * classes)


METHODS = [
    Method(
        name="gradientshap",
        title="GradientSHAP",
        paper="Lundberg and Lee 2017, arXiv:1705.07874",
        formula="mean over samples of (x - b) dy/dx (b + t (x - b)), t even in 0..1, summed over channels",
        maps=gradientshap,
        resolution="input",
        signed=True,
        passes=passes,
        needs="any network that gives a gradient",
    )
]
