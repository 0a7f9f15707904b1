"""Where radiographs and annotations come from: one small adapter per data set, one interface."""

from pathlib import Path

from cxrlib.files import PROJECT_ROOT
from cxrlib.params import Data
from cxrlib.sources.base import Source, SourceError
from cxrlib.sources.demo import open_demo
from cxrlib.sources.folder import open_folder
from cxrlib.sources.nih import open_nih
from cxrlib.sources.vinbigdata import open_vinbigdata
from cxrlib.sources.vinbigdata_resized import open_vinbigdata_resized
from cxrlib.sources.vindr_cxr import open_vindr_cxr

__all__ = ["Source", "SourceError", "open_source"]

OPENERS = {
    "vinbigdata": open_vinbigdata,
    "vinbigdata-resized": open_vinbigdata_resized,
    "vindr-cxr": open_vindr_cxr,
    "nih": open_nih,
    "folder": open_folder,
}
"""The adapter of each `data.source` that reads `data.root`."""


def open_source(data: Data, rendered_folder: Path, workers: int) -> Source:
    """Open the source that the parameters name.

    Args:
        data: the data section; a relative `root` is resolved from the project root.
        rendered_folder: where the demo source keeps its rendered radiographs.
        workers: processes that render.

    Raises:
        SourceError: the folder does not hold the data set.
        AnnotationError: its annotations cannot be used.
    """
    if data.source == "demo":
        return open_demo(rendered_folder, data.n_studies, data.no_finding_share, data.seed, workers)
    return OPENERS[data.source](PROJECT_ROOT / data.root)
