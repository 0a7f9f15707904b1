"""A row of small pictures of the listed studies, one of which is chosen by a click."""

import base64
from collections.abc import Callable
from pathlib import Path

import anywidget
import cv2
import numpy as np
import traitlets

SIDE = 72
"""Side of a small picture in pixels."""


SHOWN_AT_ONCE = 12
"""Most pictures in the row."""


def thumbnail(pixels: np.ndarray) -> str:
    """A radiograph, uint8 (size, size), as a small JPEG in a data URL."""
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return f"data:image/jpeg;base64,{base64.b64encode(cv2.imencode('.jpg', small)[1].tobytes()).decode()}"


class Thumbnails(anywidget.AnyWidget):
    """Buttons with a picture of each study; the chosen one is framed."""

    _esm = Path(__file__).parent / "thumbnails.js"
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sources = traitlets.List(traitlets.Unicode()).tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.add_class("cxr-thumbnails")

    def show(self, names: list[str], sources: list[str], chosen: str) -> None:
        """Show pictures by their data URLs, and frame one."""
        with self.hold_sync():
            self.names, self.sources, self.chosen = names, sources, chosen

    def on_click(self, call: Callable[[str], None]) -> None:
        """Call with the name of a picture that is clicked."""
        self.on_msg(lambda _widget, content, _buffers: call(content["clicked"]))
