"""Networks that learn from whole pictures, with and without a penalty on maps outside of readers' boxes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.evaluate.cells import study_covers
from cxrlib.explain.batched import explain
from cxrlib.explain.explanations import Explanations
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import feature_map_shape
from cxrlib.model.outside_boxes import OutsideBoxes
from cxrlib.runtime.device import inference_dtype
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.work_list import Piece
from cxrlib.stages.explain import require_feature_map
from cxrlib.stages.retraining import Lesson, keep_arrays, part_of, trained

CODE = code_fingerprint("cxrlib.stages.guided_training", given=("cxrlib.data", "cxrlib.params", "cxrlib.workflow"))
"""What trains and explains; taken on loading."""


FINER = 4
"""Rows of the boxes' covers for each row of the map: the covers are rotated with the pictures."""


@dataclass(frozen=True)
class GuidedModel:
    """What a network makes of the test studies.

    Attributes:
        weight: of the penalty; 0 is the network as the thesis trains it.
        seed: of the network.
        explanations: probabilities and Grad-CAM maps.
        randomised: Grad-CAM maps of the same network with the values of each weight permuted.
    """

    weight: float
    seed: int
    explanations: Explanations
    randomised: torch.Tensor


def guided_piece(given: Lesson, layer: str, weight: float, seed: int, folder: Path) -> Piece:
    """The training of one network of whole pictures, stored in `folder`."""
    identity = given.identity("whole", layer, weight, seed, CODE)
    path = folder / f"penalty {weight:g}, seed {seed}.npz"

    def make() -> None:
        pictures = given.pictures()
        network = trained(given, seed, pictures, (lambda one: penalty(given, one, layer, weight)) if weight else None)
        inputs = part_of(pictures, given.rows("test"))
        dtype, layer_name = inference_dtype(given.compute.precision), _layer(network, layer, given)
        fast = inference_copy(network, layer_name, dtype)
        maps, probabilities = explain(fast, inputs, layer_name, given.compute.batch_size)
        permuted = inference_copy(permute_weights(network), layer_name, dtype)
        randomised = explain(permuted, inputs, layer_name, given.compute.batch_size)[0]
        arrays = {"probabilities": probabilities, "maps": maps, "randomised": randomised}
        keep_arrays(path, identity, **{name: array.numpy() for name, array in arrays.items()})

    return Piece(path, identity, make)


def load_guided(given: Lesson, piece: Piece, weight: float, seed: int) -> GuidedModel:
    """What `guided_piece` stored."""
    with np.load(piece.path) as arrays:
        index = pd.Index(given.studies["test"], name="image_id")
        frame = pd.DataFrame(arrays["probabilities"], index, given.classes)
        maps, randomised = torch.from_numpy(arrays["maps"]), torch.from_numpy(arrays["randomised"])
    return GuidedModel(weight, seed, Explanations(frame, maps, given.model.input_size, piece.identity), randomised)


def penalty(given: Lesson, network: nn.Module, layer: str, weight: float) -> OutsideBoxes:
    """The further loss of a network, with the readers' boxes of the training studies' labels.

    Raises:
        Refusal: the network has no class activation map in closed form.
    """
    layer = _layer(network, layer, given)
    side = FINER * feature_map_shape(network, layer, given.model.input_size)[1]
    covers = study_covers(given.cohort, given.studies["train"], given.classes, side, side)
    covers *= given.targets("train")[:, :, None, None]  # a box of a label that the readers did not agree on
    return OutsideBoxes(network, layer, (covers * 255).round().to(torch.uint8), weight)


def permute_weights(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network, the values of whose convolutions and linear layers are permuted in place within each weight.

    Batch norms stay as they are, so that the size of the activations does too.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                order = torch.randperm(value.numel(), generator=generator).to(value.device)
                value.copy_(value.flatten()[order].view_as(value))
    return network


def _layer(network: nn.Module, layer: str, given: Lesson) -> str:
    return require_feature_map(network, layer, given.model.input_size)
