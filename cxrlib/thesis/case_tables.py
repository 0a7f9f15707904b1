"""The case-by-case tables of a run, which decide the thesis's claims, and their means in every resample."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.cohort import read_provenance, read_studies
from cxrlib.evaluate.bootstrap import FEWEST, mean_samples, study_weights
from cxrlib.evaluate.boxes import with_union
from cxrlib.evaluate.classification import auroc_samples, f1_samples
from cxrlib.runtime.errors import Missing, readable
from cxrlib.runtime.files import read_json
from cxrlib.runtime.stored_tables import read_stored


class Undecidable(Exception):
    """A run lacks the cases that a claim needs. The message is the reason that the report shows."""


@dataclass(frozen=True)
class CaseTables:
    """A run's case-by-case results. All means use the same resamples.

    Attributes:
        predictions: experiment, image_id, label, truth, probability.
        iou: image_id, class_name, share and the columns of `score_maps`.
        smoothgrad: image_id, class_name, noise_level, rank_correlation, kept, outside.
        no_finding: image_id, left, right (shares of the map in the lung fields), x, y (its peak), of the images that
            are predicted to have no finding.
        false_positives: image_id, class_name, hit, random_hit.
        drops: image_id, heatmap_class, transform, share, and per label p_original - p_replaced.
        patients: patient of each study, by image_id.
        explained: name of the explained experiment.
        union: of the IoU, as in `pairwise_iou`.
        resamples, seed: of the bootstrap.
        rendered: whether the images are rendered.
        warm_start_epochs: as in the training section; above 0 the experiments did not train alike.

    Every method that scores returns samples (1 + resamples, ...): the run's own value first, then that of each
    resample. It raises Undecidable where the run has fewer than FEWEST cases.
    """

    predictions: pd.DataFrame
    iou: pd.DataFrame
    smoothgrad: pd.DataFrame
    no_finding: pd.DataFrame
    false_positives: pd.DataFrame
    drops: pd.DataFrame
    patients: pd.Series
    explained: str
    union: str
    resamples: int
    seed: int
    rendered: bool
    warm_start_epochs: int = 0

    @cached_property
    def weights(self) -> pd.DataFrame:
        """`study_weights` of all test studies."""
        image_ids = sorted(self.predictions["image_id"].unique())
        return study_weights(image_ids, self.resamples, self.seed, self.patients)

    def micro_f1(self, experiment: str) -> np.ndarray:
        """Micro F1 of an experiment, (1 + resamples,), as in `f1_samples`."""
        return f1_samples(*self._wide(experiment))[:, -1]

    def f1(self) -> pd.DataFrame:
        """F1 of the explained model, one column per label, as in `f1_samples`."""
        labels, probabilities, weights = self._explained_labels()
        return pd.DataFrame(f1_samples(labels, probabilities, weights)[:, :-1], columns=labels.columns)

    def auroc(self) -> pd.DataFrame:
        """AUROC of the explained model, one column per label, as in `auroc_samples`."""
        labels, probabilities, weights = self._explained_labels()
        return pd.DataFrame(auroc_samples(labels, probabilities, weights), columns=labels.columns)

    def mean_iou(self, class_name: str) -> pd.DataFrame:
        """Mean IoU over all pairs of boxes and all cases of a finding, one column per share of pixels."""
        cases = self._cases(self.iou, class_name, "class_name", "correctly predicted and boxed")
        wide = cases.pivot(index="image_id", columns="share", values=with_union("all_pairs", self.union))
        return pd.DataFrame(self._mean(wide.to_numpy(), wide.index), columns=wide.columns)

    def mean_drop(self, heatmap_class: str, transform: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Mean fall `p_original - p_replaced` when the top pixels of a class's heatmap are replaced.

        Args:
            heatmap_class: the class whose heatmap chose the pixels.
            transform: "mean", "blur 11" or the like. None: the mean over all transforms.

        Returns:
            The fall of every label, averaged over the shares, one column per label; and the fall of `heatmap_class`
            itself, one column per share.
        """
        cases = self._cases(self.drops, heatmap_class, "heatmap_class", "predicted")
        if transform is not None:
            cases = cases[cases["transform"] == transform]
        if cases.empty:
            raise Undecidable(f"no pixels were replaced by {transform}")
        labels = [name for name in cases.columns if name not in ("image_id", "heatmap_class", "transform", "share")]
        averaged = cases.groupby("image_id")[labels].mean()
        own = cases.groupby(["image_id", "share"])[heatmap_class].mean().unstack()
        return (
            pd.DataFrame(self._mean(averaged.to_numpy(), averaged.index), columns=labels),
            pd.DataFrame(self._mean(own.to_numpy(), own.index), columns=own.columns),
        )

    def mean_outside(self, class_name: str, noise_level: float) -> np.ndarray:
        """Mean fraction of pixels that SmoothGrad lights and Grad-CAM does not (`map_agreement`, outside)."""
        cases = self._cases(self.smoothgrad, class_name, "class_name", "surely predicted")
        cases = cases[np.isclose(cases["noise_level"], noise_level)]
        if cases.empty:
            raise Undecidable(f"SmoothGrad was not run with noise {noise_level:g}")
        return self._mean(cases["outside"].to_numpy(), cases["image_id"])

    def mean_of(self, table: pd.DataFrame, column: str, what: str) -> np.ndarray:
        """Mean of one column over a table's cases. `what` names the cases in the reason of an Undecidable."""
        _enough(table, what)
        return self._mean(table[column].to_numpy(float), table["image_id"])

    def _explained_labels(self) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
        labels, probabilities, weights = self._wide(self.explained)
        for name, truth in labels.items():
            _enough(truth[truth > 0].reset_index(), f"test studies with {name}")
        return labels, probabilities, weights

    def _wide(self, experiment: str) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
        rows = self.predictions[self.predictions["experiment"] == experiment]
        if rows.empty:
            raise Undecidable(f"this run has no experiment {experiment!r}")
        order = rows["label"].unique()
        labels, probabilities = (
            rows.pivot(index="image_id", columns="label", values=name)[order] for name in ("truth", "probability")
        )
        return labels, probabilities, self.weights[labels.index].to_numpy()

    def _cases(self, table: pd.DataFrame, class_name: str, column: str, what: str) -> pd.DataFrame:
        cases = table[table[column] == class_name]
        _enough(cases, f"test studies with {class_name} {what}")
        return cases

    def _mean(self, values: np.ndarray, image_ids: pd.Index | pd.Series) -> np.ndarray:
        return mean_samples(values, image_ids, self.weights)


def _enough(cases: pd.DataFrame, what: str) -> None:
    n = cases["image_id"].nunique()
    if n < FEWEST:
        raise Undecidable(f"n = {n} {what}; fewer than {FEWEST} say nothing")


TABLES = {  # attribute of CaseTables -> name of the table
    "predictions": "predictions",
    "iou": "iou_cases",
    "smoothgrad": "smoothgrad_cases",
    "no_finding": "no_finding_maps",
    "false_positives": "false_positives",
    "drops": "perturbation_cases",
}


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """One of the tables in a run's folder, its names as text (`read_stored`).

    Raises:
        Missing: the notebook that makes it has not run yet.
        Refusal: the table is damaged.
    """
    path = folder / "tables" / f"{name}.csv"
    if not path.exists():
        raise Missing(f"{path.name} is missing; a notebook has not run yet")
    with readable(path):
        return read_stored(path)


def load_results(folder: Path) -> CaseTables:
    """Read the tables of a run.

    Raises:
        Missing: a notebook has not run yet.
    """
    sections = read_json(folder / "params.json")["parameters"]
    tables = {field: read_table(folder, name).drop(columns="images", errors="ignore") for field, name in TABLES.items()}
    return CaseTables(
        **tables,
        patients=read_studies(folder / "data")["patient_id"],
        union=sections["iou"]["union"],
        explained=sections["labels"]["explained"],
        rendered=read_provenance(folder / "data").rendered,
        warm_start_epochs=sections["training"]["warm_start_epochs"],
        **sections["bootstrap"],
    )
