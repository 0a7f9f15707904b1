"""Explain the test split of a run, on one device or on many.

    torchrun --nproc-per-node=8 -m cxrlib.explain thesis --set data.root=/path/to/vinbigdata

The models must have been trained; the notebooks find the probabilities and maps and do not compute them again.
"""

from pathlib import Path

from cxrlib.cohort import load_cohort
from cxrlib.command import run_together
from cxrlib.experiments import explain_split
from cxrlib.params import Params


def explain_test(params: Params, folder: Path) -> None:
    """Store probabilities and Grad-CAM maps in `folder`/maps/test.npz, unless they are there."""
    cohort = load_cohort(folder / "data")
    explain_split(cohort, "test", folder / "models", params.gradcam, params.compute, folder / "maps" / "test.npz")


if __name__ == "__main__":
    run_together(explain_test, "cxrlib.explain", __doc__)
