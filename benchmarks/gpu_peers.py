"""The peers on a GPU: captum and pytorch-grad-cam, each with its best batch, float32; maps are compared first."""

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from benchmarks.gpu_setup import CLASSES, Size, best_of, by_turns, distance, pictures
from cxrlib.explain.gradcam import gradcam
from cxrlib.explain.integrated import integrated_gradients
from cxrlib.explain.scorecam import scorecam, varying_channels
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise


def peers(network: nn.Module, size: Size, device: torch.device) -> Iterator[tuple[str, dict]]:
    """Milliseconds per image of pytorch-grad-cam and captum, each with its best batch, float32; maps checked first."""
    from captum.attr import LayerGradCam, NoiseTunnel
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    warnings.filterwarnings("ignore")  # the peers' own
    fast = inference_copy(network)  # before the peers hang their hooks on the network
    layer, explainer = LayerGradCam(network, network.layer4), GradCAM(network, [network.layer4])

    def captum(inputs: torch.Tensor) -> torch.Tensor:
        maps = [layer.attribute(inputs, target=c, relu_attributions=True)[:, 0].detach() for c in range(CLASSES)]
        return torch.stack(maps, 1)

    def pytorch_grad_cam(inputs: torch.Tensor) -> np.ndarray:
        return np.stack([explainer(inputs, [ClassifierOutputTarget(c)] * len(inputs)) for c in range(CLASSES)], 1)

    inputs = normalise(pictures(size.batches[0], size.side).to(device))
    difference = distance(captum(inputs), gradcam(fast, inputs)[0])
    assert difference < 1e-3, f"captum computes something else: {difference}"
    for name, method in {"captum": captum, "pytorch_grad_cam": pytorch_grad_cam}.items():
        times = {}
        for batch in size.batches:
            inputs = normalise(pictures(batch, size.side).to(device))
            with contextlib.suppress(torch.OutOfMemoryError):
                times[batch] = 1e3 * best_of(lambda inputs=inputs, method=method: method(inputs), device, 3) / batch
        yield name, {"gradcam_ms": min(times.values()), "best_batch": min(times, key=times.get)}
    tunnel, one = NoiseTunnel(layer), normalise(pictures(1, size.side).to(device))

    def smooth() -> None:
        for c in range(CLASSES):
            tunnel.attribute(one, target=c, nt_type="smoothgrad", nt_samples=size.samples, stdevs=0.1)

    yield "captum_smoothgrad", {"ms_an_image": 1e3 * best_of(smooth, device, 3)}
    yield "scorecam", score_cam(network, fast, size, device)
    yield "integrated_gradients", integrated(network, fast, size, device)


def score_cam(network: nn.Module, fast: nn.Module, size: Size, device: torch.device) -> dict:
    """Score-CAM of one image and all classes, with the channels that vary most."""
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    image = normalise(pictures(1, size.side).to(device))
    peer = copy.deepcopy(network)  # the peer hangs its hooks on it
    explainer = ScoreCAM(peer, [peer.layer4], lambda maps: maps[:, varying_channels(maps[0], size.channels)])

    def theirs(batch: int) -> torch.Tensor:
        explainer.batch_size = batch
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            maps = [explainer(image, [ClassifierOutputTarget(c)])[0] for c in range(CLASSES)]
        return torch.from_numpy(np.stack(maps))

    def ours(batch: int) -> torch.Tensor:
        return scorecam(fast, image, layer="features", max_channels=size.channels, batch_size=batch)

    # the peer enlarges with the corners in the corners, as OpenCV does not: ranks are compared
    large = torch.from_numpy(np.stack([cv2.resize(one, (size.side,) * 2) for one in ours(32)[0].cpu().numpy()]))
    return beside(ours, theirs, same_order(large, theirs(32)), size, device)


def integrated(network: nn.Module, fast: nn.Module, size: Size, device: torch.device) -> dict:
    """Integrated gradients of one image and all classes, from grey."""
    from captum.attr import IntegratedGradients

    image, explainer = normalise(pictures(1, size.side).to(device)), IntegratedGradients(network)
    settings = {"n_steps": size.steps, "method": "riemann_middle"}

    def theirs(batch: int) -> torch.Tensor:
        each = [
            explainer.attribute(image, 0.0, target=c, internal_batch_size=batch, **settings) for c in range(CLASSES)
        ]
        return torch.cat(each).detach().sum(1)

    def ours(batch: int) -> torch.Tensor:
        return integrated_gradients(fast, image, steps=size.steps, batch_size=batch)

    return beside(ours, theirs, same_order(ours(10)[0].cpu(), theirs(10).cpu()), size, device)


def same_order(maps: torch.Tensor, others: torch.Tensor) -> float:
    """The least rank correlation of maps (classes, h, w) with a peer's, which is above 0.98."""
    least = min(spearmanr(one.flatten(), other.flatten()).statistic for one, other in zip(maps, others, strict=True))
    assert least > 0.98, f"the peer computes something else: rank correlation {least:.3f}"
    return float(least)


def beside(
    ours: Callable[[int], torch.Tensor],
    theirs: Callable[[int], torch.Tensor],
    least: float,
    size: Size,
    device: torch.device,
) -> dict:
    """Milliseconds of both, each with its best batch of those up to 128, by turns."""
    times = {}
    for batch in size.batches[:3]:
        times[batch] = by_turns([lambda b=batch: ours(b), lambda b=batch: theirs(b)], device, 2)
    mine, peer = (1e3 * min(each) for each in zip(*times.values(), strict=True))
    return {"ms_an_image": mine, "peer_ms_an_image": peer, "times_faster": peer / mine, "rank_correlation": least}
