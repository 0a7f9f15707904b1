"""What can be refused before the first notebook runs: data, labels, device, weights, layer, another run."""

from collections.abc import Container
from pathlib import Path

from cxrlib.data.cohort import load_cohort
from cxrlib.model.checkpoint import checkpoint_path
from cxrlib.model.feature_maps import AUTO
from cxrlib.model.networks import build_network, network_outline
from cxrlib.params import ParameterError, Params
from cxrlib.runtime.device import pick_device
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.runtime.files import existing
from cxrlib.stages.compared import check_methods
from cxrlib.stages.explain import require_feature_map
from cxrlib.stages.prepare import check_source, planned_source
from cxrlib.stages.train import network_to_train


def check_before(params: Params, sections: Container[str]) -> None:
    """Refuse what a notebook would refuse after minutes or hours of work of the notebooks before it.

    The tables of the data are read, no image. Weights to start from are loaded once, and downloaded if they must be.

    Args:
        params: of the run.
        sections: those that the notebooks declare which will run; the parameters of others are not looked at.

    Raises:
        Refusal: the data, the device, the weights, the layer or the other run cannot be used; names the parameter.
    """
    if "compute" in sections:
        pick_device(params.compute.device)
    if "data" in sections:
        check_source(planned_source(params.data), params.data, params.labels)
    if "model" in sections:
        _check_network(params)
    if "methods" in sections:
        _check_methods(params)
    if "roar" in sections:
        _check_roar(params)
    if "transfer" in sections and params.transfer.run is not None:
        _check_other_run(Path(params.transfer.run))


def _check_network(params: Params) -> None:
    model, experiments = params.model, params.labels.experiments
    network = network_outline(model.architecture, 2, model.output_stride)
    require_feature_map(network, params.gradcam.layer, model.input_size)
    if model.weights is not None:
        for name in experiments if params.training.epochs == 0 else [params.labels.explained]:
            network_to_train(model, model.weights, experiments[name], params.training.epochs)


def _check_methods(params: Params) -> None:
    model, methods = params.model, params.methods
    network = build_network(model.architecture, 2, model.output_stride)
    layer = require_feature_map(network, params.gradcam.layer, model.input_size)
    check_methods(methods.compared, network, model.input_size, layer)
    for name, further in methods.networks.items():
        try:
            require_feature_map(
                network_outline(further.architecture, 2, further.output_stride), AUTO, further.input_size
            )
            if further.weights is not None:
                classes = params.labels.experiments[params.labels.explained]
                network_to_train(further, further.weights, classes, params.training.epochs)
        except Refusal as refusal:
            raise ParameterError(f"methods.networks: {name}: {refusal}") from None


def _check_roar(params: Params) -> None:
    model = params.model
    network = build_network(model.architecture, 2, model.output_stride)
    try:
        layer = require_feature_map(network, params.gradcam.layer, model.input_size)
        check_methods(params.roar.methods, network, model.input_size, layer)
    except ParameterError as error:
        raise ParameterError(str(error).replace("methods.compared", "roar.methods")) from None


def _check_other_run(folder: Path) -> None:
    try:
        cohort = load_cohort(folder / "data")
        existing(checkpoint_path(folder / "models", cohort.experiment), "run notebook 02_training there first")
    except Missing as missing:
        raise ParameterError(f"transfer.run: {missing}") from None
