"""The built-in data set: real annotations of VinBigData with rendered radiographs."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import VINBIGDATA_CLASSES, public_annotations_path, read_annotations
from cxrlib.data.render.studies import draw_studies, render_cohort
from cxrlib.data.sources.base import Source, images_of_patients
from cxrlib.data.sources.vinbigdata import open_vinbigdata

DESCRIPTION = "radiographs rendered to fit real VinBigData annotations (not patients)"


def open_demo(folder: Path, n_studies: int, no_finding_share: float, seed: int, workers: int) -> Source:
    """Render `n_studies` real studies into `folder` in Kaggle's layout, unless they are there, and open the folder."""
    annotations, _ = public_annotations()
    render_cohort(annotations, folder, n_studies, no_finding_share, seed, workers)
    return replace(open_vinbigdata(folder), name="demo", description=DESCRIPTION, rendered=True)


def drawn_demo(n_studies: int, no_finding_share: float, seed: int) -> Source:
    """The same studies as `open_demo`, not rendered: the images have no path, the boxes are in the real pixels."""
    annotations, skipped = public_annotations()
    rows = draw_studies(annotations, n_studies, no_finding_share, seed)
    images = images_of_patients(dict.fromkeys(rows["image_id"], ""))
    return Source("demo", DESCRIPTION, True, VINBIGDATA_CLASSES, rows, images, skipped[:0])


@cache
def public_annotations() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The real annotations, from which studies are drawn, and what of them is set aside."""
    return read_annotations(public_annotations_path())
