"""The data sources by name: one adapter per data set, all with the interface `Source`."""

from pathlib import Path

from cxrlib.data.sources.base import Source
from cxrlib.data.sources.demo import open_demo
from cxrlib.data.sources.folder import open_folder
from cxrlib.data.sources.nih import open_nih
from cxrlib.data.sources.vinbigdata import open_vinbigdata
from cxrlib.data.sources.vinbigdata_resized import open_vinbigdata_resized
from cxrlib.data.sources.vindr_cxr import open_vindr_cxr

OPENERS = {
    "vinbigdata": open_vinbigdata,
    "vinbigdata-resized": open_vinbigdata_resized,
    "vindr-cxr": open_vindr_cxr,
    "nih": open_nih,
    "folder": open_folder,
}
"""The adapter of each data source that reads a folder or zip, by the name that `data.source` gives it."""


def open_source(
    name: str,
    root: Path | None,
    rendered_folder: Path,
    n_studies: int,
    no_finding_share: float,
    seed: int,
    workers: int,
) -> Source:
    """Open a source by its name.

    Args:
        name: "demo", or a key of `OPENERS`.
        root: folder or zip of the data set; None for demo.
        rendered_folder: where demo keeps its rendered radiographs.
        n_studies, no_finding_share, seed, workers: of demo, as in `open_demo`.

    Raises:
        SourceError: the folder does not hold the data set.
        AnnotationError: its annotations cannot be used.
    """
    if name == "demo":
        return open_demo(rendered_folder, n_studies, no_finding_share, seed, workers)
    return OPENERS[name](root)
