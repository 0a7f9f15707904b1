"""Train the models of a run, on one device or on many.

    torchrun --nproc-per-node=8 -m cxrlib.train thesis --set data.root=/path/to/vinbigdata

Notebook 01 must have prepared the data; notebook 02 finds the models and does not train them again.
"""

from pathlib import Path

from cxrlib.cohort import load_cohort
from cxrlib.command import run_together
from cxrlib.models import checkpoint_path, experiment_order, train_experiment
from cxrlib.params import Params


def train_all(params: Params, folder: Path) -> list[Path]:
    """Train every experiment that `folder`/models does not hold yet; return the models and their losses."""
    cohort = load_cohort(folder / "data")
    made = []
    for experiment in experiment_order(cohort):
        train_experiment(cohort, experiment, params.model, params.training, params.compute, folder / "models")
        model = checkpoint_path(folder / "models", experiment)
        made += [model, model.with_suffix(".csv")]
    return made


if __name__ == "__main__":
    run_together(train_all, "cxrlib.train", __doc__)
