"""Encoded pictures of a page, kept hidden for its next version, in which most pictures are the same."""

import hashlib
import json
from dataclasses import astuple
from pathlib import Path

from cxrlib.runtime.files import fingerprint
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.store import is_kept, keep, work_on
from cxrlib.show.report.embedded import Embedded

PICTURES = ".pictures"
"""Name of the folder in which they are kept, beside what the page shows."""


CODE = code_fingerprint("cxrlib.show.report.embedded")
"""What encodes a picture; taken on loading."""


PNG = b"\x89PNG\r\n\x1a\n"
"""How a PNG file begins."""


TEXTS = (b"tEXt", b"zTXt", b"iTXt")
"""Parts of a PNG file that hold text."""


Step = tuple[int, int]
"""Width in pixels and JPEG quality in percent."""


class KeptPictures:
    """What was encoded for the last version of a page: pictures, and the sizes of those that were too large for it.

    A damaged store, or one that other code made, is empty. What a page does not use any more is left out when it is
    kept again, so that the store does not grow.

    Args:
        path: of the store; None keeps nothing.
        steps: at which the page's pictures are tried.
    """

    def __init__(self, path: Path | None, steps: list[Step]) -> None:
        self.path = path
        self.identity = fingerprint([CODE, steps])
        self.before = self._read()
        self.pictures = {name: Embedded(*values) for name, values in self.before["pictures"].items()}
        self.sizes = self.before["sizes"] | {name: picture.size for name, picture in self.pictures.items()}

    def keep(self, pictures: dict[str, Embedded], sizes: dict[str, int]) -> None:
        """Keep what a page shows, and the sizes at the steps at which its pictures did not fit; by `name_of`."""
        content = {"pictures": {name: [*astuple(picture)] for name, picture in pictures.items()}, "sizes": sizes}
        if self.path and content != self.before:
            (work_on(self.path, self.identity) / self.path.name).write_text(json.dumps(content))
            keep(self.path, self.identity)

    def _read(self) -> dict[str, dict]:
        if self.path and is_kept(self.path, self.identity):
            return json.loads(self.path.read_text())
        return {"pictures": {}, "sizes": {}}


def name_of(picture: str, step: Step) -> str:
    """The name under which a picture at a step is kept; `picture` is its `picture_sha256`."""
    return f"{picture} {step[0]} {step[1]}"


def picture_sha256(content: bytes) -> str:
    """The sha256 of a PNG file without its texts, in which a run notes its id; of any other file that of all bytes."""
    if not content.startswith(PNG):
        return hashlib.sha256(content).hexdigest()
    digest, at = hashlib.sha256(), len(PNG)
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4])
        if content[at + 4 : at + 8] not in TEXTS:
            digest.update(content[at:end])
        at = end
    return digest.hexdigest()
