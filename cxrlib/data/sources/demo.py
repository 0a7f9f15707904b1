"""The built-in data set: real annotations of VinBigData with rendered radiographs."""

from dataclasses import replace
from pathlib import Path

from cxrlib.data.annotations import public_annotations_path, read_annotations
from cxrlib.data.render.studies import render_cohort
from cxrlib.data.sources.base import Source
from cxrlib.data.sources.vinbigdata import open_vinbigdata


def open_demo(folder: Path, n_studies: int, no_finding_share: float, seed: int, workers: int) -> Source:
    """Render `n_studies` real studies into `folder` in Kaggle's layout, unless they are there, and open the folder."""
    annotations, _ = read_annotations(public_annotations_path())
    render_cohort(annotations, folder, n_studies, no_finding_share, seed, workers)
    source = open_vinbigdata(folder)
    description = "radiographs rendered to fit real VinBigData annotations (not patients)"
    return replace(source, name="demo", description=description, rendered=True)
