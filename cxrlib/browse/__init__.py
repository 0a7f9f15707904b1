"""Look at one radiograph: every heatmap, threshold and number, with sliders."""

from cxrlib.browse.browser import HeatmapBrowser, open_run
from cxrlib.browse.results import some_studies
from cxrlib.browse.sheet import contact_sheet

__all__ = ["HeatmapBrowser", "contact_sheet", "open_run", "some_studies"]
