"""Render a cohort: real studies' annotations, one rendered radiograph for each, in Kaggle's layout."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.render.anchors import Anchors, find_donors
from cxrlib.data.render.dicom_file import write_dicom
from cxrlib.data.render.frame import boxes_as_fractions
from cxrlib.data.render.parallel import Task, run_tasks
from cxrlib.data.render.patient import sample_patient
from cxrlib.data.render.radiograph import boxes_in_pixels
from cxrlib.runtime.errors import Refusal, system_errors_refused
from cxrlib.runtime.files import fingerprint, whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.store import is_known, keep, work_on, working_folder
from cxrlib.runtime.work_list import is_to_make, once

GIVEN = ("cxrlib.data.annotations",)
"""What enters by its content."""
CODE = code_fingerprint("cxrlib.data.render.studies", given=GIVEN)


def draw_studies(annotations: pd.DataFrame, n_studies: int, no_finding_share: float, seed: int) -> pd.DataFrame:
    """Rows of `n_studies` studies drawn from `annotations`, in their original order.

    `round(n_studies * no_finding_share)` of them have no box, the others at least one. The draw
    depends on `seed` and the set of studies, not on the order of the rows.

    Raises Refusal if the annotations hold too few studies of either kind.
    """
    if not 0 <= no_finding_share <= 1:
        raise ValueError(f"no_finding_share is {no_finding_share}: it must lie between 0 and 1")
    has_box = annotations["x_min"].notna().groupby(annotations["image_id"], sort=True).any()
    n_healthy = round(n_studies * no_finding_share)
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for kind, pool, wanted in (
        ("without", has_box.index[~has_box], n_healthy),
        ("with", has_box.index[has_box], n_studies - n_healthy),
    ):
        if wanted > len(pool):
            raise Refusal(
                f"data.n_studies: {wanted} studies {kind} findings wanted, the annotations hold {len(pool)}; lower it, "
                "or change data.no_finding_share"
            )
        chosen += list(rng.choice(pool.to_numpy(dtype=object), wanted, replace=False))
    return annotations[annotations["image_id"].isin(chosen)].reset_index(drop=True)


@system_errors_refused()
def render_cohort(
    annotations: pd.DataFrame, folder: Path, n_studies: int, no_finding_share: float, seed: int, workers: int = 2
) -> Path:
    """Render `n_studies` studies of `annotations` (see `draw_studies`) into `folder` and return it.

    Writes `train.csv` (the annotations' columns, boxes in pixels of the rendered image) and
    `train/<image_id>.dicom`. The output is the same for any number of `workers`. A finished folder is kept
    (`cxrlib.runtime.store`), and returned at once by the same arguments and code. An interrupted or damaged folder is
    completed, a folder made from other arguments or by other code is rendered anew. From a script, call it under
    `if __name__ == "__main__":`, as workers are spawned.

    Raises Refusal if `folder` holds files that are not a rendered cohort's.
    """
    folder = Path(folder)
    table = folder / "train.csv"
    identity = cohort_fingerprint(annotations, n_studies, no_finding_share, seed)

    def begin() -> None:
        _require_own(folder, table)
        work_on(table, identity)

    if not is_to_make(table, identity, begin):
        return folder
    work = working_folder(table, identity)
    studies = draw_studies(annotations, n_studies, no_finding_share, seed)
    all_boxes = boxes_as_fractions(annotations)
    boxes = all_boxes[all_boxes["image_id"].isin(studies["image_id"])]
    boxes_of = dict(list(boxes.groupby("image_id")))
    none = boxes.iloc[:0]
    names = {image_id: f"train/{image_id}.dicom" for image_id in studies["image_id"].unique()}
    tasks = [Task(image_id, boxes_of.get(image_id, none), work / name, seed) for image_id, name in names.items()]
    run_tasks(render_study, tasks, find_donors(all_boxes), workers, "rendering")

    def finish() -> None:
        rendered = studies.copy()
        for image_id, rows in studies.dropna(subset=BOX_COLUMNS).groupby("image_id"):
            render_seed, _ = seeds_of(seed, image_id)
            rendered.loc[rows.index, BOX_COLUMNS] = boxes_in_pixels(boxes_of[image_id], render_seed)
        with whole_file(work / table.name) as temporary:
            rendered.to_csv(temporary, index=False, lineterminator="\n")
        keep(table, identity, names.values())

    once(table, identity, finish)
    return folder


def study_seed(seed: int, image_id: str) -> np.random.SeedSequence:
    """The seed of one study: depends on the cohort's `seed` and the study alone."""
    digest = hashlib.sha256(image_id.encode()).digest()
    return np.random.SeedSequence([seed, int.from_bytes(digest[:8], "big")])


def cohort_fingerprint(annotations: pd.DataFrame, n_studies: int, no_finding_share: float, seed: int) -> str:
    """Fingerprint of all that decides what a cohort looks like: arguments, annotations and the code that renders."""
    rows = hashlib.sha256(pd.util.hash_pandas_object(annotations, index=False).to_numpy().tobytes()).hexdigest()
    return fingerprint([n_studies, float(no_finding_share), seed, rows, CODE])


def render_study(task: Task, donors: list[Anchors]) -> None:
    """Render one study into its DICOM file."""
    render_seed, dicom_seed = seeds_of(task.seed, task.image_id)
    pixels = sample_patient(task.boxes, render_seed, donors).pixels()
    write_dicom(task.path, pixels, task.image_id, np.random.default_rng(dicom_seed))


def seeds_of(seed: int, image_id: str) -> list[np.random.SeedSequence]:
    """Two seeds of one study: for the radiograph, and for its file."""
    return study_seed(seed, image_id).spawn(2)


def _require_own(folder: Path, table: Path) -> None:
    """Refuse a folder that holds something else than a cohort; a cohort of an earlier version is deleted."""
    earlier = folder / "render.json"
    if earlier.exists():
        shutil.rmtree(folder / "train", ignore_errors=True)
        table.unlink(missing_ok=True)
        earlier.unlink()
    if folder.exists() and any(folder.iterdir()) and not is_known(table):
        raise Refusal(f"{folder} is not empty and not a rendered cohort: choose another folder or empty it")
