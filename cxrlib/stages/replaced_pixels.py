"""What replaced pixels do to a run's test studies, alone and beside controls, made and stored in shards."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pandas as pd
from torch import nn

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.faithfulness import CurveSettings, perturbation_curves
from cxrlib.evaluate.perturbation import perturb_studies
from cxrlib.evaluate.phantom import TwinCases
from cxrlib.explain.explanations import Explanations
from cxrlib.model.batches import StoredInputs
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.params import Bootstrap, Compute, Perturbation
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.runtime.exact_tables import join_tables
from cxrlib.runtime.files import existing, fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.stages.controlled import Controlled
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.shards import TABLE, Sharded, made_in_shards

CODE = code_fingerprint(
    "cxrlib.evaluate.faithfulness", "cxrlib.evaluate.perturbation", "cxrlib.model.inference", given=("cxrlib.data",)
)
"""What replaces pixels and predicts again; taken on loading. Maps and twins enter by their content."""


SHARD = 8
"""Studies whose pixels are replaced at once."""


Measure = Callable[[nn.Module, StoredInputs, slice], pd.DataFrame]
"""The explained network, the images of some rows of the studies, and these rows, to the rows of a table."""


def perturbed_studies(
    cohort: Cohort, test: Explanations, perturbation: Perturbation, compute: Compute, folder: Path
) -> pd.DataFrame:
    """`perturb_studies` of the first test studies, stored in `folder`/perturbation.

    Args:
        cohort: the run's.
        test: Grad-CAM's maps of the test split.
        perturbation: what is replaced, and of how many studies.
        compute: the machine.
        folder: of the run.
    """
    studied = test.first(perturbation.n_studies)
    values = (perturbation.threshold, perturbation.shares, perturbation.kernels)

    def measure(network: nn.Module, images: StoredInputs, rows: slice) -> pd.DataFrame:
        part = studied.of(studied.probabilities.index[rows].tolist())
        return perturb_studies(network, images, part, *values, compute.batch_size)

    wanted = _sharded(cohort, studied, list(values), measure, compute, folder, "cases")
    return made_in_shards([wanted], "replacing pixels")[0]


def curves_beside_controls(
    cohort: Cohort,
    controlled: list[Controlled],
    twins: TwinCases | None,
    perturbation: Perturbation,
    bootstrap: Bootstrap,
    compute: Compute,
    folder: Path,
) -> pd.DataFrame:
    """`perturbation_curves` of every part of `explain_with_controls`, one after the other, stored in `folder`.

    Args:
        cohort: the run's.
        controlled: from `explain_with_controls`.
        twins: of some findings; None on real data.
        perturbation: what is replaced.
        bootstrap: its seed draws the random pixels.
        compute: the machine.
        folder: of the run; it receives perturbation/.
    """
    values = (perturbation.threshold, perturbation.shares, perturbation.kernels)
    settings = CurveSettings(*values, compute.batch_size, bootstrap.seed)
    wanted = []
    for number, (maps, others) in enumerate(controlled):
        first = next(iter(maps.values()))
        about = [(title, one.identity) for title, one in maps.items()]
        about += [(title, one.identity, one.probabilities.index.tolist()) for title, one in others.items()]
        about += [*values, bootstrap.seed, None if twins is None else _fingerprint(twins)]

        def measure(
            network: nn.Module, images: StoredInputs, rows: slice, maps: dict = maps, others: dict = others
        ) -> pd.DataFrame:
            part = {title: one.of(one.probabilities.index[rows].tolist()) for title, one in maps.items()}
            return perturbation_curves(network, images, cohort, part, others, twins, settings)

        wanted.append(_sharded(cohort, first, about, measure, compute, folder, f"curves-{number}"))
    return join_tables(made_in_shards(wanted, "beside controls"))


def _sharded(
    cohort: Cohort,
    explained: Explanations,
    about: list,
    measure: Measure,
    compute: Compute,
    folder: Path,
    name: str,
) -> Sharded:
    """The table of some studies.

    Args:
        explained: maps of these studies; their layer is the network's.
        about: what else decides the table.
        measure: makes rows of it.
        name: of the stored table.
    """
    image_ids = explained.probabilities.index.tolist()
    model_path = checkpoint_path(folder / "models", cohort.experiment)
    made_from = [explained.identity, cohort.provenance.data, image_ids, about, compute.precision, CODE]

    def share() -> None:
        network_inputs(cohort, image_ids, explained.input_size)

    def begin() -> Callable[[slice], pd.DataFrame]:
        device = use_device(compute.device, compute.threads, compute.precision)
        network, _ = load_checkpoint(existing(model_path, "run notebook 02_training first"), device)
        network = inference_copy(network, explained.layer, inference_dtype(compute.precision))
        images = network_inputs(cohort, image_ids, explained.input_size)
        return lambda rows: measure(network, StoredInputs(images.path, images.rows[rows]), rows)

    path = folder / "perturbation" / f"{name}.npz"
    return Sharded(path, fingerprint(made_from), len(image_ids), SHARD, share, begin, TABLE)


def _fingerprint(twins: TwinCases) -> str:
    return fingerprint([twins.cases.to_csv(), sha256(twins.twins.numpy().tobytes()).hexdigest()])
