"""Explain the test split of a run, on one device or on many.

    torchrun --nproc-per-node=8 -m cxrlib.explain thesis --set data.root=/path/to/vinbigdata

The models must have been trained; the notebooks find the probabilities and maps and do not compute them again.
"""

from pathlib import Path

from cxrlib.cohort import load_cohort
from cxrlib.command import run_together
from cxrlib.experiments import explain_split
from cxrlib.params import Params


def explain_test(params: Params, folder: Path) -> list[Path]:
    """Store probabilities and Grad-CAM maps in `folder`/maps/test.npz, unless they are there; return this path."""
    cohort = load_cohort(folder / "data")
    path = folder / "maps" / "test.npz"
    explain_split(cohort, "test", folder / "models", params.gradcam, params.compute, path)
    return [path]


if __name__ == "__main__":
    run_together(explain_test, "cxrlib.explain", __doc__)
