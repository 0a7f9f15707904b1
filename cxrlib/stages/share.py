"""Everything of a run that takes long, as lists of independent pieces that several processes share.

The notebooks find what is finished, and only read it.
"""

from collections.abc import Callable
from pathlib import Path

from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.data.convert import convert_images
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.explain.explanations import Explanations, load_explanations
from cxrlib.params import Params
from cxrlib.runtime.files import all_files
from cxrlib.runtime.work_list import by_one, one_task_at_a_time, work_through
from cxrlib.stages.compared import explain_by_methods
from cxrlib.stages.controlled import explain_with_controls
from cxrlib.stages.explain import explain_test
from cxrlib.stages.further_networks import explain_by_networks, network_pieces
from cxrlib.stages.prepare import check_source, open_data, planned_source, prepare_cohort
from cxrlib.stages.replaced_pixels import curves_beside_controls, perturbed_studies
from cxrlib.stages.roar import retrain_all
from cxrlib.stages.sanity_checks import checked_maps, sanity_checks
from cxrlib.stages.sanity_models import (
    explain_by_seeds,
    methods_by_seeds,
    permuted_model,
    permuted_pieces,
    seed_pieces,
)
from cxrlib.stages.shortcut_models import shortcut_pieces
from cxrlib.stages.train import train_all
from cxrlib.stages.twin_cases import first_twins
from cxrlib.workflow.command import run_together


def prepare(params: Params, folder: Path) -> list[Path]:
    """Render and convert the studies, block by block, and store the cohort; return all files."""
    data, labels, workers = params.data, params.labels, params.compute.workers
    check_source(planned_source(data), data, labels)
    source = open_data(data, folder / "source", workers)
    convert_images(source.images, folder / "data", data.image_size, workers, data.max_pixels)
    by_one(folder / "data", lambda: prepare_cohort(source, folder / "data", data, labels, workers))
    return all_files(folder / "source") + all_files(folder / "data")


def train(params: Params, folder: Path) -> list[Path]:
    """`train_all`: a network is trained by all processes of torchrun together, and by one task of a job array."""
    with one_task_at_a_time(folder / "models"):
        return train_all(params, folder)


def networks(params: Params, folder: Path) -> list[Path]:
    """Train the networks of notebooks 08, 10 and 12, each by one process; return models and losses."""
    cohort, compute = load_cohort(folder / "data"), params.compute
    recipe = (params.model, params.training, params.sanity, compute, folder)
    cues = (params.model, params.training, compute, params.data.seed, folder / "phantom" / "shortcuts")
    with one_task_at_a_time(folder / "models"):  # the pictures with cues
        pieces = [
            *network_pieces(cohort, params.methods, params.training, compute, folder).values(),
            *permuted_pieces(cohort, *recipe),
            *seed_pieces(cohort, *recipe).values(),
            *shortcut_pieces(cohort, params.phantom, *cues).values(),
        ]
    work_through(pieces, "training further networks", "network")
    return [path for piece in pieces for path in (piece.path, piece.path.with_suffix(".csv"))]


def methods(params: Params, folder: Path) -> list[Path]:
    """Store the maps of every compared method, shard by shard; return the files."""
    _explained(params, folder)
    return all_files(folder / "maps")


def checks(params: Params, folder: Path) -> list[Path]:
    """Store the sanity checks, method by method; return the tables."""
    recipe = (params.model, params.training, params.sanity, params.compute, folder)
    with one_task_at_a_time(folder / "sanity"):
        cohort, _, explained = _explained(params, folder)
        permuted = permuted_model(cohort, *recipe)
    sanity_checks(cohort, explained, params.methods, params.sanity, params.compute, permuted, folder)
    return all_files(folder / "sanity")


def seeds(params: Params, folder: Path) -> list[Path]:
    """Store the maps of further networks: Grad-CAM, and of other seeds the checked methods, shard by shard."""
    recipe = (params.methods, params.model, params.training, params.sanity, params.gradcam, params.compute, folder)
    with one_task_at_a_time(folder / "maps" / "seeds"):
        cohort, test, explained = _explained(params, folder)
        others = (params.methods, params.training, params.gradcam, params.compute, folder)
        explain_by_networks(cohort, test, *others)
        by_seeds = explain_by_seeds(cohort, *recipe)
    checked = checked_maps(explained, params.methods, params.sanity)
    methods_by_seeds(cohort, by_seeds, checked, params.methods, params.sanity, params.compute, folder)
    return all_files(folder / "maps" / "networks") + all_files(folder / "maps" / "seeds")


def perturb(params: Params, folder: Path) -> list[Path]:
    """Store what replaced pixels do, alone and beside controls, shard by shard; return the tables."""
    cohort, test = load_cohort(folder / "data"), load_explanations(folder / "maps" / "test.npz")
    sections = (params.perturbation, params.iou, params.methods, params.gradcam, params.compute)
    with one_task_at_a_time(folder / "perturbation"):
        controlled, twins = explain_with_controls(cohort, test, *sections, folder), None
        if cohort.rendered:
            twins = first_twins(cohort, params.phantom, params.data, test.input_size, params.compute, folder)
    perturbed_studies(cohort, test, params.perturbation, params.compute, folder)
    settings = (params.perturbation, params.bootstrap, params.compute, folder)
    curves_beside_controls(cohort, controlled, twins, *settings)
    return all_files(folder / "perturbation")


LISTS: dict[str, Callable[[Params, Path], list[Path]]] = {
    "prepare": prepare,
    "train": train,
    "explain": explain_test,
    "methods": methods,
    "networks": networks,
    "checks": checks,
    "seeds": seeds,
    "perturb": perturb,
    "retrain": retrain_all,
}
"""Each list by its name, in the order in which one needs another. Notebook 11, which `retrain` is of, is optional."""


def everything(params: Params, folder: Path) -> list[Path]:
    """One list after the other, without `retrain`."""
    return [path for name, work in LISTS.items() if name != "retrain" for path in work(params, folder)]


def _explained(params: Params, folder: Path) -> tuple[Cohort, Explanations, dict[str, BySplit]]:
    """The cohort, Grad-CAM's maps of the test split, and the maps of every compared method."""
    cohort, test = load_cohort(folder / "data"), load_explanations(folder / "maps" / "test.npz")
    return cohort, test, explain_by_methods(cohort, test, params.methods, params.gradcam, params.compute, folder)


if __name__ == "__main__":
    run_together(everything, "cxrlib.stages.share", __doc__, lists=LISTS)
