"""Look at one radiograph: every heatmap, threshold and number, with sliders."""

from cxrlib.browse.browser import HeatmapBrowser, open_run
from cxrlib.browse.results import keep_smooth
from cxrlib.browse.sheet import browse, contact_sheet

__all__ = ["HeatmapBrowser", "browse", "contact_sheet", "keep_smooth", "open_run"]
