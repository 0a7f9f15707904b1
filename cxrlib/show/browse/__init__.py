"""Heatmaps with sliders: the browser of a finished run, in a notebook or as a page of its own."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "browser": ["HeatmapBrowser", "open_run"],
        "sheet": ["contact_sheet", "show_browser"],
    },
)
