"""Networks that the sanity checks train: one that learns permuted labels, and some that begin with other weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import find
from cxrlib.model.checkpoint import checkpoint_path
from cxrlib.params import Compute, Gradcam, Methods, Model, Sanity, Training
from cxrlib.runtime.work_list import Piece, work_through
from cxrlib.stages.compared import all_made, by_each, studies_to_compare
from cxrlib.stages.further_networks import explain_network
from cxrlib.stages.sanity_checks import checked_methods
from cxrlib.stages.train import training_piece


def explain_by_seeds(
    cohort: Cohort,
    methods: Methods,
    model: Model,
    training: Training,
    sanity: Sanity,
    gradcam: Gradcam,
    compute: Compute,
    folder: Path,
) -> dict[str, BySplit]:
    """Grad-CAM of networks like the run's that are trained with other seeds, unless they are stored.

    Args:
        cohort: the run's.
        methods: how many studies of the validation split.
        model, training, gradcam: of the run; seed and epochs are those of `sanity`.
        sanity: the seeds, and for how many epochs; none are trained without an epoch, here or in `training`.
        compute: the machine.
        folder: of the run; it receives models/seeds/SEED/ and maps/seeds/SEED-SPLIT.npz.

    Returns:
        "seed SEED" -> probabilities and maps by split, of the whole test split.
    """
    valid, maps = studies_to_compare(cohort, methods.n_studies)["valid"], folder / "maps" / "seeds"
    pieces = seed_pieces(cohort, model, training, sanity, compute, folder)
    work_through([*pieces.values()], "training with other seeds", "network")
    return {
        f"seed {seed}": explain_network(cohort, piece.path, valid, gradcam, compute, maps, str(seed))
        for seed, piece in pieces.items()
    }


def seed_pieces(
    cohort: Cohort, model: Model, training: Training, sanity: Sanity, compute: Compute, folder: Path
) -> dict[int, Piece]:
    """Seed -> the training of the network that begins with it; arguments as in `explain_by_seeds`."""
    seeds = [seed for seed in sanity.seeds if seed != training.seed] if training.epochs and sanity.epochs else []
    recipes = {seed: training.model_copy(update={"seed": seed, "epochs": sanity.epochs}) for seed in seeds}
    models = folder / "models" / "seeds"
    return {
        seed: training_piece(cohort, cohort.experiment, model, recipe, compute, models / str(seed))
        for seed, recipe in recipes.items()
    }


def methods_by_seeds(
    cohort: Cohort,
    seeds: dict[str, BySplit],
    checked: dict[str, Explanations],
    methods: Methods,
    sanity: Sanity,
    compute: Compute,
    folder: Path,
) -> dict[str, list[Explanations]]:
    """Maps of every checked method by the networks of `explain_by_seeds`, unless they are stored.

    Args:
        cohort: the run's.
        seeds: from `explain_by_seeds`.
        checked: title -> the run's own maps by each checked method (`SanityChecks.maps`); their studies are explained.
        methods, sanity: the parameters of the checked methods.
        compute: the machine.
        folder: of the run; it receives maps/seeds/SEED-test-TITLE.npz.

    Returns:
        Title -> maps of the same studies, by one network after the other.
    """
    image_ids, wanted = next(iter(checked.values())).probabilities.index.tolist(), {}
    for name, by_split in seeds.items():
        seed = name.removeprefix("seed ")
        model_path = checkpoint_path(folder / "models" / "seeds" / seed, cohort.experiment)
        plain, maps = {f"{seed}-test": by_split["test"].of(image_ids)}, folder / "maps" / "seeds"
        wanted |= by_each(checked_methods(methods, sanity), plain, cohort, model_path, compute, maps)
    found: dict[str, list[Explanations]] = {title: [] for title in checked}
    for (method, _), maps in all_made(wanted).items():
        found[find(method).title].append(maps)
    return found


def permuted_model(
    cohort: Cohort, model: Model, training: Training, sanity: Sanity, compute: Compute, folder: Path
) -> Path | None:
    """A network like the run's that learns the labels of other studies, unless it is stored (Adebayo et al. 2018).

    Args:
        cohort, model, training, compute: of the run.
        sanity: the seed of the permutation, and for how many epochs.
        folder: of the run; it receives models/permuted/.

    Returns:
        Where it lies; None where nothing is trained.
    """
    pieces = permuted_pieces(cohort, model, training, sanity, compute, folder)
    work_through(pieces, "training on permuted labels", "network")
    return pieces[0].path if pieces else None


def permuted_pieces(
    cohort: Cohort, model: Model, training: Training, sanity: Sanity, compute: Compute, folder: Path
) -> list[Piece]:
    """The training of `permuted_model`; none where nothing is trained."""
    if not (training.epochs and sanity.permuted_epochs):
        return []
    recipe = training.model_copy(update={"epochs": sanity.permuted_epochs})
    permuted, models = permuted_labels(cohort, sanity.seed), folder / "models" / "permuted"
    return [training_piece(permuted, cohort.experiment, model, recipe, compute, models)]


def permuted_labels(cohort: Cohort, seed: int) -> Cohort:
    """The cohort with the labels of the training and of the validation studies permuted within their split.

    A study gets all labels of one other study, so that labels occur together as before.
    """
    random, labels = np.random.default_rng(seed), cohort.labels.copy()
    for split in ("train", "valid"):
        image_ids = cohort.of(split)
        labels.loc[image_ids] = cohort.labels.loc[random.permutation(image_ids)].to_numpy()
    return replace(cohort, labels=labels)
