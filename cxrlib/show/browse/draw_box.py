"""The widget on which one box is drawn over a picture.

An anywidget, as `Picture` is: ipywidgets alone has no place on which a mouse or a finger draws.
"""

from collections.abc import Callable

import anywidget
import traitlets

from cxrlib.show.browse.picture import FOLDER


class DrawBox(anywidget.AnyWidget):
    """An encoded image with a box that the reader draws, moves and resizes.

    Attributes:
        box: x_min, y_min, x_max, y_max in pixels of the image's frame; empty where none is drawn.
        side: of that frame, in pixels.
        locked: whether the box stays as it is.
    """

    _esm = FOLDER / "draw_box.js"
    _css = (FOLDER / "picture.css").read_text() + (FOLDER / "draw_box.css").read_text()
    image = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    side = traitlets.Int(1).tag(sync=True)
    box = traitlets.List(traitlets.Float()).tag(sync=True)
    locked = traitlets.Bool(False).tag(sync=True)

    def __init__(self, side: int) -> None:
        super().__init__(side=side)
        self.add_class("cxr-drawing")

    def ask(self, image: bytes, caption: str, alt: str) -> None:
        """Show a picture without a box and let the reader draw one."""
        with self.hold_sync():
            self.image, self.caption, self.alt, self.box, self.locked = image, caption, alt, [], False

    def answer(self, image: bytes, caption: str, alt: str) -> None:
        """Show another picture below the box, which now stays as it is."""
        with self.hold_sync():
            self.image, self.caption, self.alt, self.locked = image, caption, alt, True

    def on_enter(self, call: Callable[[], None]) -> None:
        """Call when the reader presses enter."""
        self.on_msg(lambda _widget, content, _buffers: call() if content.get("entered") else None)
