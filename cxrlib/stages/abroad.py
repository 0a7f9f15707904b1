"""The explained model of one run on the test studies of another."""

from pathlib import Path
from typing import NamedTuple

from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.evaluate.transfer import shared_labels, with_labels
from cxrlib.explain.explanations import Explanations
from cxrlib.model.checkpoint import checkpoint_path
from cxrlib.params import Compute, Gradcam
from cxrlib.stages.explain import explain_studies


class Tested(NamedTuple):
    """A test set, in which only the shared labels count, and what the model says of its studies."""

    cohort: Cohort
    explanations: Explanations


def explain_home_and_abroad(
    home: str | Path, abroad: str | Path, gradcam: Gradcam, compute: Compute
) -> tuple[Tested, Tested]:
    """Explain the test studies of two runs by the model of the first, over the labels that both data sets know.

    Both stores lie in the folder of the second, as maps/transfer_home.npz and maps/transfer_abroad.npz; what is there
    already is not computed again.

    Args:
        home: folder of the run whose model is tested.
        abroad: folder of the run whose test studies it has not seen; it may be `home` itself.
        gradcam, compute: as in `explain_studies`.

    Returns:
        The test studies at home and those abroad.

    Raises:
        Missing: a folder holds no cohort.
        Refusal: as `shared_labels`.
    """
    cohorts = {"home": load_cohort(home / "data"), "abroad": load_cohort(abroad / "data")}
    labels = shared_labels(*cohorts.values())
    model_path = checkpoint_path(home / "models", cohorts["home"].experiment)
    tested = []
    for place, cohort in cohorts.items():
        cohort = with_labels(cohort, labels)
        path = abroad / "maps" / f"transfer_{place}.npz"
        tested.append(Tested(cohort, explain_studies(cohort, cohort.of("test"), model_path, gradcam, compute, path)))
    return tested[0], tested[1]
