"""What a run's models say of a split: probabilities of every experiment, explanations of one."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.explain.batched import explain
from cxrlib.explain.explanations import Explanations
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.feature_maps import AUTO, chosen_layer
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import feature_map_shape
from cxrlib.params import Compute, Gradcam, Params
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import existing, file_fingerprint, fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.shards import Sharded, made_in_shards
from cxrlib.workflow.command import run_together

GIVEN = ("cxrlib.data", "cxrlib.params", "cxrlib.workflow", "cxrlib.explain.smoothgrad")
"""What enters by its content, as the cohort does, or by value, as parameters do; SmoothGrad makes no map here."""
CODE = code_fingerprint("cxrlib.stages.explain", given=GIVEN)
"""What explains; taken on loading: a file that is edited while this runs is not what ran."""


SHARD = 64
"""Studies that are explained and stored at once."""


def explain_split(
    cohort: Cohort, split: str, models: Path, gradcam: Gradcam, compute: Compute, path: Path
) -> Explanations:
    """`explain_studies` of the explained experiment on a split."""
    model_path = checkpoint_path(models, cohort.experiment)
    return explain_studies(cohort, cohort.of(split), model_path, gradcam, compute, path)


def explain_studies(
    cohort: Cohort, image_ids: list[str], model_path: Path, gradcam: Gradcam, compute: Compute, path: Path
) -> Explanations:
    """Probabilities and Grad-CAM maps of a stored model on some studies: one pass, stored at `path`.

    Returns at once what `path` holds if the same model explained the same data with the same parameters and code;
    otherwise as `made_in_shards`.
    """
    model = file_fingerprint(existing(model_path, "run notebook 02_training first"))
    identity = fingerprint([model, cohort.provenance.data, image_ids, gradcam.layer, compute.precision, CODE])

    def share() -> None:
        network_inputs(cohort, image_ids, load_checkpoint(model_path, torch.device("cpu"))[1].input_size)

    def begin() -> Callable[[slice], Explanations]:
        network, checkpoint = load_checkpoint(
            model_path, use_device(compute.device, compute.threads, compute.precision)
        )
        layer = require_feature_map(network, gradcam.layer, checkpoint.input_size)
        inputs = network_inputs(cohort, image_ids, checkpoint.input_size)
        network = inference_copy(network, layer, inference_dtype(compute.precision))

        def explain_rows(rows: slice) -> Explanations:
            maps, probabilities = explain(network, inputs[rows], layer, compute.batch_size)
            index = pd.Index(image_ids[rows], name="image_id")
            frame = pd.DataFrame(probabilities.numpy(), index, checkpoint.classes)
            return Explanations(frame, maps, checkpoint.input_size, identity, layer)

        return explain_rows

    return made_in_shards([Sharded(path, identity, len(image_ids), SHARD, share, begin)], "Grad-CAM")[0]


def require_feature_map(network: nn.Module, layer: str, size: int) -> str:
    """Refuse a layer whose maps show no place, and a network that cannot take the images.

    Args:
        network: the meta device will do.
        layer: value of gradcam.layer.
        size: side of the network's input in pixels.

    Returns:
        Name of the layer: the last feature map where `layer` is "auto".

    Raises:
        Refusal: the network has no such module, its output is no feature map of at least two cells, or the network
            takes no image of this size.
    """
    auto = f"{layer} " if layer == AUTO else ""
    try:
        layer = chosen_layer(network, layer, size)
        shape = feature_map_shape(network, layer, size)
    except AttributeError:
        parts = ", ".join(name for name, _ in network.named_children())
        raise Refusal(f"gradcam.layer: the network has no module {layer!r}; choose one of its parts {parts}") from None
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"model.input_size: the network takes no images of {size} px ({reason}); change it") from error
    except ValueError as error:
        raise Refusal(f"gradcam.layer: {auto}finds none, {error}; raise model.input_size") from error
    if len(shape) != 3:
        raise Refusal(f"gradcam.layer: {layer} gives {shape} numbers and no feature map; choose an earlier module")
    if shape[1] * shape[2] == 1:
        raise Refusal(
            f"gradcam.layer: {layer} gives one cell for an image of {size} px, and its map would show no place; choose "
            "an earlier module, raise model.input_size, or lower model.output_stride"
        )
    return layer


def explain_test(params: Params, folder: Path) -> list[Path]:
    """Store probabilities and Grad-CAM maps in `folder`/maps/test.npz, unless they are there; return this path."""
    cohort = load_cohort(folder / "data")
    path = folder / "maps" / "test.npz"
    explain_split(cohort, "test", folder / "models", params.gradcam, params.compute, path)
    return [path]


if __name__ == "__main__":
    run_together(explain_test, "cxrlib.stages.explain", __doc__)
