"""The widget that shows a picture.

An anywidget with an encoded image. What `ipywidgets.Image` does not do: it takes the arrow keys, has a text for screen
readers, keeps the old image and caption until the new image is decoded, offers files for download, and says when the
kernel does not answer. It needs no canvas (ipycanvas), since the kernel composes the whole picture, and no figure
(ipympl), which takes longer to redraw than a slider takes to move.
"""

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

FOLDER = Path(__file__).parent


class Picture(anywidget.AnyWidget):
    """An encoded image with a caption.

    Args:
        size: "large" or "small".
        arrows: whether it can be focused and counts the arrow keys.
    """

    _esm = FOLDER / "picture.js"
    _css = FOLDER / "picture.css"
    image = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    arrows = traitlets.Bool(False).tag(sync=True)
    across = traitlets.Int(0, help="right arrows minus left arrows").tag(sync=True)
    up = traitlets.Int(0, help="up arrows minus down arrows").tag(sync=True)

    def __init__(self, size: str = "large", arrows: bool = False) -> None:
        super().__init__(arrows=arrows)
        self._on_shown: Callable[[], None] = lambda: None
        self.on_msg(self._answer)
        self.add_class(f"cxr-{size}")

    def show(self, image: bytes, caption: str, alt: str) -> None:
        """Show a PNG or JPEG file's bytes, their caption, and what a screen reader says."""
        with self.hold_sync():
            self.image, self.caption, self.alt = image, caption, alt

    def say(self, sentence: str) -> None:
        """Show a sentence instead of a picture."""
        self.show(b"", sentence, "")

    def on_arrows(self, across: Callable[[int], None], up: Callable[[int], None]) -> None:
        """Call `across` and `up` with the steps that the arrow keys ask for; fast strokes arrive as their sum."""
        self.observe(lambda change: across(change["new"] - change["old"]), names="across")
        self.observe(lambda change: up(change["new"] - change["old"]), names="up")

    def on_shown(self, call: Callable[[], None]) -> None:
        """Call when a page has drawn the picture; each page says so once."""
        self._on_shown = call

    def download(self, name: str, content: bytes, media_type: str) -> None:
        """Hand a file to the page, which saves it as a download."""
        self.send({"name": name, "type": media_type}, [content])

    def _answer(self, _widget: "Picture", content: dict, _buffers: list) -> None:
        """Tell the page that the kernel is there."""
        if content.get("shown"):
            self._on_shown()
        else:
            self.send({"answer": content["question"]})
