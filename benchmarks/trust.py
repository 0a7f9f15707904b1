"""Randomised parameters and max-sensitivity of Grad-CAM beside Quantus: ResNet18, 224 px, FINDINGS classes of an image.

Both sides get the same network, images and classes, and give the same scores before anything is timed. As in notebook
10, max-sensitivity runs on an inference copy, ranks of the map before are taken once, and all classes of an image share
its passes; the peer takes one class of an image at a time, so that it gets each image once for every class. The ratio
for one class of each image stands beside. Where Quantus defines something else, this was set:

- Weights: `ModelParameterRandomisation` calls the `reset_parameters` of every module, in reverse order of definition.
  Here each sets our random weights, and the order of a ResNet18's definition is that in which its layers run. What
  resets a batch norm's statistics is replaced too: ours keeps them.
- Similarity: Spearman's correlation alone, of raw maps upscaled to the image. By default the peer takes absolute maps
  divided by their maximum. Ours gives six similarities at once; their time is reported beside the ratio.
- Stops: every layer, since the peer cannot leave some out. It also explains the plain network once more. The peer's
  efficient variant gives no similarity: it compares the complexity of maps before and after.
- Noise: the peer's bound is the same for all images, ours a share of each image's range. Its `perturb_func` draws ours.
- Resolution: the peer wants maps as wide as the image, ours takes the layer's. For max-sensitivity the peer gets each
  cell as a square of equal pixels, which leaves the relative change as it is.

The peer's maps are captum's LayerGradCam. It is also timed with our maps: that ratio is what the measures alone gain.
Neither side's time has the maps of the plain network, which both are given.
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
from cxrlib.evaluate.similarity import compared, correlation, described
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.maps import ranks, upscale
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise

FINDINGS = 3
"""Classes of an image: the 4,319 real studies in which a reader boxed one of the thesis's six findings have 2.6."""


IMAGES, SAMPLES, NOISE, SEED, REPEATS = 4, 10, 0.02, 0, 3
SAME = 1e-3
QUIET = {"abs": False, "normalise": False, "disable_warnings": True, "display_progressbar": False}

Maps = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""A network, images and one class of each to raw maps (n, rows, columns)."""


def randomisation(network: nn.Module, size: int = SIZE, count: int = IMAGES, repeats: int = REPEATS) -> dict[str, dict]:
    """All layers in cascade from the output: how alike the maps stay."""
    found = {of: _randomisation(network, size, count, repeats, of) for of in (1, FINDINGS)}
    return {"randomisation_vs_quantus": found[FINDINGS] | {"one_class": found[1]}}


def _randomisation(network: nn.Module, size: int, count: int, repeats: int, of: int) -> dict:
    images, classes = normalise(grey_images(count, size)), surest(network, count, size, of)
    before, layers = our_maps(network, images, classes), layers_in_order(network, images)
    weights = random_weights(network, SEED)
    resettable, metric = with_weights(network, weights), quantus.ModelParameterRandomisation(**QUIET)

    own = ranks(upscale(before, size).flatten(1))

    def ranked(maps: torch.Tensor) -> torch.Tensor:
        return correlation(own, ranks(upscale(maps, size).flatten(1)))

    def ours(alike: Callable = ranked) -> list:
        found = []
        for stop in range(1, len(layers) + 1):
            with exchanged(network, weights, layers[-stop:]):
                found.append(alike(our_maps(network, images, classes)))
        return found

    def theirs(maps: Maps = captum_maps) -> dict[str, list]:
        explain = as_quantus_wants(maps, lambda found: upscale(found, size))
        return metric(resettable, repeated, classes.flatten().numpy(), enlarged, explain_func=explain, **ON_CPU)

    enlarged, repeated = upscale(before, size)[:, None].numpy(), images.repeat_interleave(of, 0).numpy()
    mine, his = ours(), theirs()
    assert list(his) == ["original", *layers[::-1]], "Quantus randomises layers in another order"
    same = same_scores(torch.stack(mine).numpy(), np.array([his[name] for name in layers[::-1]]))
    times = by_turns(ours, theirs, repeats=repeats, warm=True)
    against = f"Quantus ModelParameterRandomisation, captum's maps, {len(layers)} layers"
    entry = speedup(times, count * len(layers), "ms per image and layer", against)
    alone = statistics.median(seconds(lambda: theirs(our_maps)) for _ in range(repeats))
    all_of = described(before, size)
    six = statistics.median(
        seconds(lambda: ours(lambda maps: compared(all_of, described(maps, size)))) for _ in range(repeats)
    )
    mine = statistics.median(times[0])
    more = {"greatest_difference": same, "with_our_maps": alone / mine, "all_six_similarities_over_one": six / mine}
    return entry | more


def max_sensitivity(
    network: nn.Module, size: int = SIZE, count: int = IMAGES, repeats: int = REPEATS
) -> dict[str, dict]:
    """The greatest relative change of each map over noisy copies of its image."""
    found = {of: _max_sensitivity(network, size, count, repeats, of) for of in (1, FINDINGS)}
    return {"max_sensitivity_vs_quantus": found[FINDINGS] | {"one_class": found[1]}}


def _max_sensitivity(network: nn.Module, size: int, count: int, repeats: int, of: int) -> dict:
    images, classes = normalise(grey_images(count, size)), surest(network, count, size, of)
    before = our_maps(network, images, classes)
    metric = quantus.MaxSensitivity(nr_samples=SAMPLES, **QUIET)

    def ours() -> torch.Tensor:
        fast = inference_copy(network)
        copies = (noisy(images, NOISE, 1, SEED + sample)[0] for sample in range(SAMPLES))
        return torch.stack([relative_change(before, our_maps(fast, one, classes)) for one in copies]).amax(0)

    def theirs(maps: Maps = captum_maps) -> list[float]:
        seeds = iter(range(SEED, SEED + SAMPLES))

        def our_noise(arr: np.ndarray, **_: object) -> np.ndarray:
            copies = noisy(torch.from_numpy(arr).view(-1, of, *images.shape[1:])[:, 0], NOISE, 1, next(seeds))[0]
            return copies.repeat_interleave(of, 0).numpy().reshape(arr.shape)

        metric.perturb_func = our_noise
        explain = as_quantus_wants(maps, squares)
        return metric(network, repeated, classes.flatten().numpy(), enlarged, explain_func=explain, **ON_CPU)

    def squares(found: torch.Tensor) -> torch.Tensor:
        side = size // found.shape[-1]
        return found.repeat_interleave(side, -1).repeat_interleave(side, -2)

    enlarged, repeated = squares(before)[:, None].numpy(), images.repeat_interleave(of, 0).numpy()
    same = same_scores(ours().numpy(), np.array(theirs()))
    times = by_turns(ours, theirs, repeats=repeats, warm=True)
    against = f"Quantus MaxSensitivity, captum's maps, {SAMPLES} samples"
    entry = speedup(times, count * SAMPLES, "ms per image and sample", against)
    alone = statistics.median(seconds(lambda: theirs(our_maps)) for _ in range(repeats))
    more = {"greatest_difference": same, "with_our_maps": alone / statistics.median(times[0])}
    return entry | more


ON_CPU = {"device": "cpu", "channel_first": True, "softmax": False}
"""How Quantus is called."""


def surest(network: nn.Module, count: int, size: int, of: int) -> torch.Tensor:
    """The classes of the greatest logits of each image, int64 (count, of)."""
    with torch.no_grad():
        return network(normalise(grey_images(count, size))).topk(of).indices


def our_maps(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Grad-CAM of each image's classes, image by image, from one pass for all of them.

    Args:
        classes: int64 (n, of), or (n,) for one of each image.
    """
    maps, classes = gradcam(network, images)[0], classes.view(len(images), -1)
    return maps[torch.arange(len(images))[:, None], classes].flatten(0, 1)


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
