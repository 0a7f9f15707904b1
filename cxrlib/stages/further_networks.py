"""Networks beside the run's own: trained on the same studies and explained by Grad-CAM."""

from pathlib import Path

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.explain.explanations import Explanations
from cxrlib.model.feature_maps import AUTO
from cxrlib.params import Compute, Gradcam, Methods, Training
from cxrlib.runtime.work_list import Piece, work_through
from cxrlib.stages.compared import explained_validation, studies_to_compare
from cxrlib.stages.explain import explain_studies
from cxrlib.stages.train import training_piece

OWN = "this run"
"""Name of the run's own network beside the further ones."""


def explain_by_networks(
    cohort: Cohort,
    test: Explanations,
    methods: Methods,
    training: Training,
    gradcam: Gradcam,
    compute: Compute,
    folder: Path,
) -> dict[str, BySplit]:
    """Grad-CAM of the run's network and of the further networks, which are trained on the explained experiment.

    What is stored already is neither trained nor explained again.

    Args:
        cohort: the run's.
        test: Grad-CAM's maps of the test split by the run's own network.
        methods: the further networks, and how many studies of the validation split.
        training: the recipe, that of the run's own network.
        gradcam: of the run; the layer of each further network is its last feature map.
        compute: the machine.
        folder: of the run; it receives models/networks/NAME/ and maps/networks/NAME-SPLIT.npz.

    Returns:
        Name of the network, OWN for the run's -> probabilities and maps by split, of the whole test split.
    """
    valid = studies_to_compare(cohort, methods.n_studies)["valid"]
    found = {OWN: {"valid": explained_validation(cohort, valid, test, gradcam, compute, folder), "test": test}}
    last = gradcam.model_copy(update={"layer": AUTO})
    pieces = network_pieces(cohort, methods, training, compute, folder)
    work_through([*pieces.values()], "training further networks", "network")
    for name, piece in pieces.items():
        found[name] = explain_network(cohort, piece.path, valid, last, compute, folder / "maps" / "networks", name)
    return found


def network_pieces(
    cohort: Cohort, methods: Methods, training: Training, compute: Compute, folder: Path
) -> dict[str, Piece]:
    """Name -> the training of each further network; arguments as in `explain_by_networks`."""
    models = folder / "models" / "networks"
    return {
        name: training_piece(cohort, cohort.experiment, model, training, compute, models / name)
        for name, model in methods.networks.items()
    }


def explain_network(
    cohort: Cohort, path: Path, valid: list[str], gradcam: Gradcam, compute: Compute, maps: Path, name: str
) -> BySplit:
    """Grad-CAM of a stored network: some validation studies and the whole test split, in the files NAME-SPLIT.npz.

    Args:
        cohort: the run's.
        path: of the network.
        valid: the validation studies, or none.
        gradcam: the layer.
        compute: the machine.
        maps: the folder of the files.
        name: of the network.
    """
    test = explain_studies(cohort, cohort.of("test"), path, gradcam, compute, maps / f"{name}-test.npz")
    if not valid:
        return {"valid": test.of([]), "test": test}
    explained = explain_studies(cohort, valid, path, gradcam, compute, maps / f"{name}-valid.npz")
    return {"valid": explained, "test": test}
