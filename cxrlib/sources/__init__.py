"""Where radiographs and annotations come from: one small adapter per data set, one interface."""

from pathlib import Path

from cxrlib.files import PROJECT_ROOT
from cxrlib.params import Data
from cxrlib.sources.base import Source, SourceError
from cxrlib.sources.demo import open_demo
from cxrlib.sources.nih import open_nih
from cxrlib.sources.vinbigdata import open_vinbigdata

__all__ = ["Source", "SourceError", "open_source"]


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
    return {"vinbigdata": open_vinbigdata, "nih": open_nih}[data.source](PROJECT_ROOT / data.root)
