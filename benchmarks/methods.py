"""The other explanation methods beside their peers and their own passes: ResNet50, 224 px, 7 classes.

Both sides work on the same network, of which ours gets the inference copy. Before anything is timed both make the same
map: the rank correlation of each class is above SAME. Ratios do not depend on the number of channels, windows, masks
and coalitions, which are few here, and as many on both sides.
"""

import contextlib
import copy
import io
import statistics
import types
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from captum.attr import GuidedBackprop, IntegratedGradients, KernelShap, Occlusion
from pytorch_grad_cam import ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.stats import spearmanr
from torch import nn
from torchvision.models.resnet import Bottleneck

from benchmarks.explanations import CLASSES, SIZE, grey_images, resnet_with_statistics
from benchmarks.resources import peak_memory, run_fresh
from benchmarks.timing import by_turns, entry, overhead, seconds, speedup
from cxrlib.explain.guided import guided_backprop
from cxrlib.explain.integrated import integrated_gradients
from cxrlib.explain.kernelshap import coalitions, kernelshap
from cxrlib.explain.occlusion import occlusion
from cxrlib.explain.rise import random_grids, rise, smooth_masks
from cxrlib.explain.scorecam import scorecam, varying_channels
from cxrlib.explain.superpixels import grid_superpixels
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import build_network, normalise

SAME, SAME_ON_THE_COPY = 0.99, 1e-4
BATCH, REPEATS = 16, 3
CHANNELS, WINDOW, STRIDE, MASKS, CELLS, COALITIONS, GUIDED = 31, 64, 40, 32, 3, 32, 8
STEPS, POINTS, FEW_STEPS = 50, 10, 10  # of integrated gradients: steps, points at once, and the steps where few do
FEW, MANY, SMALL = 32, 256, 64  # images of which memory is measured, and their side in pixels
MEMORY = "from benchmarks.methods import memory_of; print(memory_of({count}))"
UNIT = "ms per image, 7 classes"

Maps = Callable[[], torch.Tensor]


def score_cam(network: nn.Module, fast: nn.Module, size: int = SIZE, repeats: int = REPEATS) -> dict[str, dict]:
    """The channels that vary most. The peer enlarges them with their corners in the corners of the image."""
    image = normalise(grey_images(1, size))
    settings = {"max_channels": CHANNELS, "batch_size": BATCH}
    peer = copy.deepcopy(network)
    explainer = ScoreCAM(peer, [peer.layer4], reshape_transform=lambda a: a[:, varying_channels(a[0], CHANNELS)])
    explainer.batch_size = BATCH

    @quiet
    def pytorch_grad_cam() -> torch.Tensor:
        maps = [explainer(image, [ClassifierOutputTarget(c)])[0] for c in range(CLASSES)]
        return torch.from_numpy(np.stack(maps))[None]

    def ours(explained: nn.Module = fast, layer: str = "features") -> torch.Tensor:
        return scorecam(explained, image, layer=layer, **settings)

    found = ours()
    same_on_the_copy(found, ours(network, "layer4"))
    enlarged = np.stack([cv2.resize(one, (size, size)) for one in found[0].numpy()])[None]
    same = same_maps(torch.from_numpy(enlarged), pytorch_grad_cam(), "pytorch-grad-cam")
    against = f"pytorch-grad-cam, the same {CHANNELS} channels"
    copies = image.expand(1 + CHANNELS, -1, -1, -1)
    speed, floor = forward_only(ours, pytorch_grad_cam, fast, copies, repeats, against)
    return {"scorecam_vs_pytorch_grad_cam": speed | {"least_rank_correlation": same}, "scorecam_over_forward": floor}


def occlusions(network: nn.Module, fast: nn.Module, size: int = SIZE, repeats: int = REPEATS) -> dict[str, dict]:
    """Windows that overlap, filled with the mean of each channel."""
    image = normalise(grey_images(1, size))
    window, stride = WINDOW * size // SIZE, STRIDE * size // SIZE
    settings = {
        "sliding_window_shapes": (3, window, window),
        "strides": (3, stride, stride),
        "baselines": image.mean((2, 3), keepdim=True).expand_as(image),
        "perturbations_per_eval": BATCH,
    }
    explainer = Occlusion(network)

    def captum() -> torch.Tensor:
        return torch.stack([explainer.attribute(image, target=c, **settings)[:, 0] for c in range(CLASSES)], 1)

    def ours(explained: nn.Module = fast) -> torch.Tensor:
        return occlusion(explained, image, window=window, stride=stride, batch_size=BATCH)

    found = ours()
    same_on_the_copy(found, ours(network))
    same = same_maps(found, captum(), "captum")
    windows = ((size - window + stride - 1) // stride + 1) ** 2
    against = f"captum Occlusion, {windows} windows"
    copies = image.expand(1 + windows, -1, -1, -1)
    speed, floor = forward_only(ours, captum, fast, copies, repeats, against)
    return {"occlusion_vs_captum": speed | {"least_rank_correlation": same}, "occlusion_over_forward": floor}


def rises(network: nn.Module, fast: nn.Module, size: int = SIZE, repeats: int = REPEATS) -> dict[str, dict]:
    """The same masks in a loop over classes; a loop that shares its passes, as the authors' code, is timed once."""
    image = normalise(grey_images(1, size))
    grids, shifts = random_grids(MASKS, 7, 0.5, (size, size), 0)

    @torch.no_grad()
    def loop(classes: list[list[int]]) -> torch.Tensor:
        maps = []
        for chosen in classes:
            masks = smooth_masks(grids, shifts, (size, size)).split(BATCH)
            weights = [network(image * some[:, None]).sigmoid()[:, chosen] for some in masks]
            maps.append(torch.einsum("nc,nhw->chw", torch.cat(weights), torch.cat(masks)) / (MASKS * 0.5))
        return torch.cat(maps)[None]

    def each() -> torch.Tensor:
        return loop([[c] for c in range(CLASSES)])

    def ours(explained: nn.Module = fast) -> torch.Tensor:
        return rise(explained, image, n_masks=MASKS, batch_size=BATCH)

    found = ours()
    same_on_the_copy(found, ours(network))
    same = same_maps(found, each(), "the loop")
    copies, against = image.expand(MASKS, -1, -1, -1), f"a plain loop over classes, {MASKS} masks"
    speed, floor = forward_only(ours, each, fast, copies, repeats, against)
    shared = statistics.median(seconds(lambda: loop([[*range(CLASSES)]])) for _ in range(repeats))
    speed |= {"least_rank_correlation": same, "against_a_loop_that_shares_its_passes": 1000 * shared / speed["ours"]}
    return {"rise_vs_loop": speed, "rise_over_forward": floor}


def kernelshaps(network: nn.Module, fast: nn.Module, size: int = SIZE, repeats: int = REPEATS) -> dict[str, dict]:
    """Captum gets our coalitions: it would draw others, and both agree only where there are very many."""
    image = normalise(grey_images(1, size))
    labels = grid_superpixels((size, size), CELLS)
    drawn = coalitions(COALITIONS, 0, CELLS**2).long()
    settings = {
        "baselines": image.mean((2, 3), keepdim=True).expand_as(image),
        "feature_mask": labels,
        "n_samples": COALITIONS,
        "perturbations_per_eval": BATCH,
    }
    explainer = KernelShap(network)

    def ours_in_turn(_image: torch.Tensor, **_: object) -> Iterator[torch.Tensor]:
        yield from drawn.split(1)

    explainer.perturb_func = ours_in_turn

    def captum() -> torch.Tensor:
        return torch.stack([explainer.attribute(image, target=c, **settings)[:, 0] for c in range(CLASSES)], 1)

    def ours(explained: nn.Module = fast) -> torch.Tensor:
        return kernelshap(explained, image, cells=CELLS, samples=COALITIONS, batch_size=BATCH)

    found = ours()
    same_on_the_copy(found, ours(network))
    same = same_maps(found, captum(), "captum")
    against = f"captum KernelShap, the same {COALITIONS} coalitions"
    speed, floor = forward_only(ours, captum, fast, image.expand(COALITIONS, -1, -1, -1), repeats, against)
    return {"kernelshap_vs_captum": speed | {"least_rank_correlation": same}, "kernelshap_over_forward": floor}


def integrated(network: nn.Module, fast: nn.Module, size: int = SIZE, repeats: int = 2) -> dict[str, dict]:
    """Fifty steps from grey; captum gets as many points at once."""
    image = normalise(grey_images(1, size))
    explainer = IntegratedGradients(network)

    def captum(steps: int = STEPS) -> torch.Tensor:
        settings = {"n_steps": steps, "method": "riemann_middle", "internal_batch_size": POINTS}
        maps = [explainer.attribute(image, 0.0, target=c, **settings).detach().sum(1) for c in range(CLASSES)]
        return torch.stack(maps, 1)

    def ours(explained: nn.Module = fast, steps: int = STEPS) -> torch.Tensor:
        return integrated_gradients(explained, image, steps=steps, batch_size=POINTS)

    found = ours(fast, FEW_STEPS)
    same_maps(found, ours(network, FEW_STEPS), "the inference copy")
    same = same_maps(found, captum(FEW_STEPS), "captum")
    points = image.expand(POINTS, -1, -1, -1)
    passes_of(fast, points)
    times = by_turns(
        ours, captum, lambda: passes_of(fast, points), lambda: ours(network, FEW_STEPS), repeats=repeats, warm=True
    )
    scales = 1, 1, STEPS / POINTS, STEPS / FEW_STEPS
    scaled = [[scale * value for value in values] for scale, values in zip(scales, times, strict=True)]
    speed, floor = by_gradient(scaled, 1, f"captum IntegratedGradients, {STEPS} steps")
    return {
        "integrated_gradients_vs_captum": speed | {"least_rank_correlation": same},
        "integrated_gradients_over_passes": floor,
    }


def guided(network: nn.Module, fast: nn.Module, size: int = SIZE, repeats: int = REPEATS) -> dict[str, dict]:
    """A batch of images. Captum gets a network with a ReLU module of its own at each place, none of them in place."""
    images = normalise(grey_images(GUIDED, size))
    explainer = GuidedBackprop(distinct_relus(network))

    @quiet
    def captum() -> torch.Tensor:
        leaf = images.clone().requires_grad_()
        maps = [explainer.attribute(leaf, target=c).detach().abs().amax(1) for c in range(CLASSES)]
        return torch.stack(maps, 1)

    def ours(explained: nn.Module = fast) -> torch.Tensor:
        return guided_backprop(explained, images)

    found = ours()
    same_maps(found, ours(network), "the inference copy")
    same = same_maps(found, captum(), "captum")
    passes_of(fast, images)
    works = ours, captum, lambda: passes_of(fast, images), lambda: ours(network)
    times = by_turns(*works, repeats=repeats, warm=True)
    speed, floor = by_gradient(times, GUIDED, f"captum GuidedBackprop, {GUIDED} images")
    return {"guided_backprop_vs_captum": speed | {"least_rank_correlation": same}, "guided_backprop_over_passes": floor}


def forward_only(
    ours: Maps, peer: Maps, fast: nn.Module, copies: torch.Tensor, repeats: int, against: str
) -> tuple[dict, dict]:
    """Entries of a method of forward passes: beside its peer, and beside the inference copy's passes of `copies`."""
    copies = copies.contiguous()
    forward = torch.inference_mode()(lambda: [fast(part) for part in copies.split(BATCH)])
    forward()
    beside_peer = by_turns(ours, peer, repeats=repeats, warm=True)
    beside_passes = by_turns(ours, forward, repeats=3 * repeats, warm=True)
    passes = f"{len(copies)} forward passes of the same copy"
    return speedup(beside_peer, 1, UNIT, against), overhead(beside_passes, 1, UNIT, passes)


def by_gradient(times: Sequence[list], images: int, against: str) -> tuple[dict, dict]:
    """Entries of a gradient method: beside its peer, and beside its forward and backward passes alone.

    Args:
        times: seconds of ours, of the peer, of the passes alone, and of ours with the plain network.
        images: how many.
        against: what the peer is.
    """
    ours, peer, passes, plain = times
    on_plain = speedup((plain, peer), images, UNIT, against)["ratio"]
    alone = f"a forward and {CLASSES} backward passes of the same copy for each point"
    return speedup((ours, peer), images, UNIT, against) | {"with_the_plain_network": on_plain}, overhead(
        (ours, passes), images, UNIT, alone
    )


def passes_of(network: nn.Module, images: torch.Tensor) -> None:
    """A forward pass, and a backward pass to the images for each class: nothing else."""
    leaf = images.detach().clone().requires_grad_()
    for logit in network(leaf.clone()).sum(0):
        torch.autograd.grad(logit, leaf, retain_graph=True)


def distinct_relus(network: nn.Module) -> nn.Module:
    """The same ResNet50 with ReLU modules that are used once and not in place."""

    def forward(block: Bottleneck, inputs: torch.Tensor) -> torch.Tensor:
        features = block.relu(block.bn1(block.conv1(inputs)))
        features = block.bn3(block.conv3(block.second(block.bn2(block.conv2(features)))))
        return block.third(features + (inputs if block.downsample is None else block.downsample(inputs)))

    network = copy.deepcopy(network)
    network.relu = nn.ReLU()
    for block in network.modules():
        if isinstance(block, Bottleneck):
            block.relu, block.second, block.third = nn.ReLU(), nn.ReLU(), nn.ReLU()
            block.forward = types.MethodType(forward, block)
    return network


def same_maps(ours: torch.Tensor, peer: torch.Tensor, who: str) -> float:
    """The least rank correlation of a map (n, classes, h, w) with the peer's.

    Raises:
        AssertionError: it is not above SAME.
    """
    pairs = zip(ours.flatten(0, 1).flatten(1), peer.flatten(0, 1).flatten(1), strict=True)
    least = min(float(spearmanr(one.numpy(), other.numpy()).statistic) for one, other in pairs)
    assert least > SAME, f"{who} computes something else: rank correlation {least:.3f}"
    return least


def same_on_the_copy(found: torch.Tensor, plain: torch.Tensor) -> None:
    """Check that maps of the inference copy are those of the network, relative to the largest value.

    Not so with gradients: one jumps where rounding changes the sign at a ReLU. In float32 a pixel's gradient is up to
    1 % of the largest away from that in float64, on either network; in float64 both networks have the same to 1e-14.
    """
    change = float((found - plain).abs().max() / plain.abs().max())
    assert change <= SAME_ON_THE_COPY, f"the inference copy has other maps: {change:.2g} of the largest value"


def quiet(work: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """The same without the peer's progress bars and notes."""

    def silent() -> torch.Tensor:
        with contextlib.redirect_stderr(io.StringIO()):
            return work()

    return silent


def memory_of(count: int, size: int = SMALL) -> float:
    """Peak memory in MiB of this process that makes `count` images' maps by every method measured here.

    The images and their maps are counted off: a caller wants them. The network is a small one and a few passes an image
    are enough: what may grow is what is kept of each image.
    """
    torch.manual_seed(0)
    network = inference_copy(build_network("resnet18", CLASSES).eval(), size=size)
    images = normalise(grey_images(count, size))
    for work in (
        lambda: scorecam(network, images, max_channels=1),
        lambda: occlusion(network, images, window=size, stride=size),
        lambda: rise(network, images, n_masks=2),
        lambda: kernelshap(network, images, cells=1, samples=2),
        lambda: integrated_gradients(network, images, steps=1),
        lambda: guided_backprop(network, images),
    ):
        maps = work()
    return peak_memory() - (images.nbytes + maps.nbytes) / 2**20


def memory_growth(repeats: int = 1) -> dict:
    """Peak memory over many images, and over few."""
    runs = [[run_fresh(MEMORY.format(count=count)) for count in (FEW, MANY)] for _ in range(repeats)]
    few, many = zip(*runs, strict=True)
    against = f"{FEW} images instead of {MANY}; images and maps counted off"
    return entry([after / before for before, after in runs], many, few, "MiB", against)


def measure() -> Iterator[tuple[str, dict]]:
    """All entries of this module, as they are measured."""
    network = resnet_with_statistics()
    fast = inference_copy(network)
    for part in (score_cam, occlusions, rises, kernelshaps, guided, integrated):
        yield from part(network, fast).items()
    yield "methods_memory_growth", memory_growth()
