"""Heatmaps with sliders: the browser of a finished run, in a notebook or as a page of its own; and the game."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "browser": ["HeatmapBrowser", "open_run"],
        "game": ["BoxGame", "open_game"],
        "sheet": ["contact_sheet", "show_browser"],
    },
)
