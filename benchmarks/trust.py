"""Randomised parameters and max-sensitivity of Grad-CAM beside Quantus: ResNet18, 224 px, one class of each image.

Both sides get the same network, images and classes, and give the same scores before anything is timed. Where Quantus
defines something else, this was set:

- Weights: `ModelParameterRandomisation`, today `MPRT`, calls the `reset_parameters` of every module, in reverse order
  of definition. Here each sets our random weights, and the order of a ResNet18's definition is that in which its layers
  run. What resets a batch norm's statistics is replaced too: ours keeps them.
- Similarity: Spearman's correlation alone, of raw maps upscaled to the image. By default the peer takes absolute maps
  divided by their maximum. Ours gives six similarities at once; their time is reported beside the ratio.
- Stops: every layer, since the peer cannot leave some out. It also explains the plain network once more. The peer's
  efficient variant gives no similarity: it compares the complexity of maps before and after.
- Noise: the peer's bound is the same for all images, ours a share of each image's range. Its `perturb_func` draws ours.
- Resolution: the peer wants maps as wide as the image, ours takes the layer's. For max-sensitivity the peer gets each
  cell as a square of equal pixels, which leaves the relative change as it is.

The peer's maps are captum's LayerGradCam. It is also timed with our maps: that ratio is what the measures alone gain.
A second class of an image costs ours no further pass and the peer another one; notebook 10 checks about two findings of
a study. Neither side's time has the maps of the plain network, which both are given.
"""

import copy
import statistics
import types
from collections.abc import Callable, Iterator

import numpy as np
import quantus
import torch
from captum.attr import LayerGradCam
from torch import nn

from benchmarks.explanations import SIZE, grey_images, resnet_with_statistics
from benchmarks.timing import by_turns, seconds, speedup
from cxrlib.evaluate.randomisation import exchanged, layers_in_order, random_weights
from cxrlib.evaluate.sensitivity import noisy, relative_change
from cxrlib.evaluate.similarity import rank_correlation, similarities
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.maps import upscale
from cxrlib.model.networks import normalise

IMAGES, SAMPLES, NOISE, SEED, REPEATS = 4, 10, 0.02, 0, 3
SAME = 1e-3
QUIET = {"abs": False, "normalise": False, "disable_warnings": True, "display_progressbar": False}

Maps = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""A network, images and one class of each to raw maps (n, rows, columns)."""


def randomisation(network: nn.Module, size: int = SIZE, count: int = IMAGES, repeats: int = REPEATS) -> dict[str, dict]:
    """All layers in cascade from the output: how alike the maps stay."""
    ours, theirs, same = randomisation_of(network, size, count, 1)
    layers = layers_in_order(network, normalise(grey_images(1, size)))
    against = f"Quantus MPRT, captum's maps, {len(layers)} layers"
    times = by_turns(ours, theirs, repeats=repeats, warm=True)
    found = speedup(times, count * len(layers), "ms per image and layer", against)
    six = median_of(lambda: ours(lambda one, other: similarities(one, other, size)), repeats)
    more = {"all_six_similarities_over_one": six / statistics.median(times[0])}
    more |= beside(ours, theirs, randomisation_of(network, size, count, 2), times, repeats)
    return {"randomisation_vs_quantus": found | {"greatest_difference": same} | more}


def max_sensitivity(
    network: nn.Module, size: int = SIZE, count: int = IMAGES, repeats: int = REPEATS
) -> dict[str, dict]:
    """The greatest relative change of each map over noisy copies of its image."""
    ours, theirs, same = max_sensitivity_of(network, size, count, 1)
    against = f"Quantus MaxSensitivity, captum's maps, {SAMPLES} samples"
    times = by_turns(ours, theirs, repeats=repeats, warm=True)
    found = speedup(times, count * SAMPLES, "ms per image and sample", against)
    more = beside(ours, theirs, max_sensitivity_of(network, size, count, 2), times, repeats)
    return {"max_sensitivity_vs_quantus": found | {"greatest_difference": same} | more}


def beside(ours: Callable, theirs: Callable, two: tuple, times: tuple[list, list], repeats: int) -> dict[str, float]:
    """Ratios beside the entry's: the peer with our maps, and both with two classes of each image."""
    with_two = speedup(by_turns(*two[:2], repeats=1, warm=True), 1, "", "")["ratio"]
    alone = median_of(lambda: theirs(our_maps), repeats) / statistics.median(times[0])
    return {"with_our_maps": alone, "with_two_classes_of_each_image": with_two}


def median_of(work: Callable[[], object], repeats: int) -> float:
    """Seconds of a call."""
    return statistics.median(seconds(work) for _ in range(repeats))


def randomisation_of(network: nn.Module, size: int, count: int, each: int) -> tuple[Callable, Callable, float]:
    """Ours, the peer's, and the greatest difference of a score, for so many classes of each image."""
    images, classes = normalise(grey_images(count, size)), greatest_classes(network, count, size, each)
    before, layers = our_maps(network, images, classes), layers_in_order(network, images)
    weights = random_weights(network, SEED)
    resettable, metric = with_weights(network, weights), quantus.MPRT(**QUIET)
    pairs = images.repeat_interleave(each, 0).numpy(), classes.flatten().numpy(), upscale(before, size)[:, None].numpy()

    def ours(alike: Callable = lambda one, other: rank_correlation(upscale(one, size), upscale(other, size))) -> list:
        found = []
        for stop in range(1, len(layers) + 1):
            with exchanged(network, weights, layers[-stop:]):
                found.append(alike(before, our_maps(network, images, classes)))
        return found

    def theirs(maps: Maps = captum_maps) -> dict[str, list]:
        return metric(resettable, *pairs, explain_func=as_quantus_wants(maps, lambda one: upscale(one, size)), **ON_CPU)

    mine, his = ours(), theirs()
    assert list(his) == ["original", *layers[::-1]], "Quantus randomises layers in another order"
    same = same_scores(torch.stack(mine).numpy(), np.array([his[name] for name in layers[::-1]]))
    return ours, theirs, same


def max_sensitivity_of(network: nn.Module, size: int, count: int, each: int) -> tuple[Callable, Callable, float]:
    """Ours, the peer's, and the greatest difference of a score, for so many classes of each image."""
    images, classes = normalise(grey_images(count, size)), greatest_classes(network, count, size, each)
    before, metric = our_maps(network, images, classes), quantus.MaxSensitivity(nr_samples=SAMPLES, **QUIET)

    def copies_of(sample: int) -> torch.Tensor:
        return noisy(images, NOISE, 1, SEED + sample)[0]

    def squares(maps: torch.Tensor) -> torch.Tensor:
        side = size // maps.shape[-1]
        return maps.repeat_interleave(side, -1).repeat_interleave(side, -2)

    def ours() -> torch.Tensor:
        changed = (our_maps(network, copies_of(sample), classes) for sample in range(SAMPLES))
        return torch.stack([relative_change(before, maps) for maps in changed]).amax(0)

    def theirs(maps: Maps = captum_maps) -> list[float]:
        copies = (copies_of(sample).repeat_interleave(each, 0).numpy() for sample in range(SAMPLES))
        metric.perturb_func = lambda arr, **_: next(copies).reshape(arr.shape)
        return metric(network, *pairs, explain_func=as_quantus_wants(maps, squares), **ON_CPU)

    pairs = images.repeat_interleave(each, 0).numpy(), classes.flatten().numpy(), squares(before)[:, None].numpy()
    return ours, theirs, same_scores(ours().numpy(), np.array(theirs()))


ON_CPU = {"device": "cpu", "channel_first": True, "softmax": False}
"""How Quantus is called."""


def greatest_classes(network: nn.Module, count: int, size: int, each: int) -> torch.Tensor:
    """The classes of the greatest logits of each image, int64 (count, each)."""
    with torch.no_grad():
        return network(normalise(grey_images(count, size))).topk(each, dim=1).indices


def our_maps(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Grad-CAM of some classes (n, each) of each image, or of one (n,), from one pass: (n * each, rows, columns)."""
    maps, _ = gradcam(network, images)
    return maps[torch.arange(len(images))[:, None], classes.view(len(images), -1)].flatten(0, 1)


def captum_maps(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The same by captum."""
    explainer = LayerGradCam(network, network.layer4)
    return explainer.attribute(images, target=classes, relu_attributions=True)[:, 0].detach()


def as_quantus_wants(maps: Maps, enlarge: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., np.ndarray]:
    """A function of model, inputs and targets to arrays (n, 1, h, w)."""

    def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: object) -> np.ndarray:
        found = maps(model, torch.as_tensor(inputs), torch.as_tensor(targets))
        return enlarge(found)[:, None].numpy()

    return explain


def with_weights(network: nn.Module, weights: dict[str, torch.Tensor]) -> nn.Module:
    """A copy whose modules' `reset_parameters` set these weights and nothing else."""

    def reset(module: nn.Module, name: str) -> None:
        for own, parameter in module.named_parameters(recurse=False):
            parameter.data = weights[f"{name}.{own}"]

    network = copy.deepcopy(network)
    for name, module in network.named_modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters = types.MethodType(lambda self, name=name: reset(self, name), module)
    return network


def same_scores(ours: np.ndarray, peer: np.ndarray) -> float:
    """The greatest difference of a score from the peer's; a constant map has none on both sides.

    Raises:
        AssertionError: it is above SAME, half of the scores are missing, or one side has a score that the other lacks.
    """
    known = ~np.isnan(ours)
    assert (known == ~np.isnan(peer)).all() and known.mean() > 0.5, "Quantus has scores of other maps"
    difference = float(np.abs(ours[known] - peer[known]).max())
    assert difference <= SAME, f"Quantus computes something else: a score differs by {difference:.2g}"
    return difference


def measure() -> Iterator[tuple[str, dict]]:
    """All entries of this module, as they are measured."""
    network = resnet_with_statistics("resnet18")
    for part in (max_sensitivity, randomisation):
        yield from part(network).items()
