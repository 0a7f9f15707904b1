"""Networks that learn from pictures without the pixels that a map chooses."""

from pathlib import Path

import numpy as np
import torch

from cxrlib.evaluate.removal import control_map, taken_out, top_of_each
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.model.batches import StoredInputs
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.store import work_on
from cxrlib.runtime.work_list import Piece
from cxrlib.stages.retraining import Lesson, keep_arrays, probabilities_of, trained

CODE = code_fingerprint("cxrlib.stages.removed_pixels", given=("cxrlib.data", "cxrlib.params", "cxrlib.workflow"))
"""What takes pixels out and trains; taken on loading."""


CHUNK = 64
"""Pictures from which pixels are taken at once."""


def removed_piece(
    given: Lesson, title: str, maps: Explanations | None, mode: str, share: float, seed: int, folder: Path
) -> Piece:
    """The training of one network without the pixels that maps choose; its test probabilities are stored.

    Args:
        given: what to learn.
        title, maps, mode, share, seed: as in `removed_pictures`; the seed is the network's, too.
        folder: receives a folder for each title.
    """
    identity = given.identity("removed", title, maps and maps.identity, mode, share, seed, CODE)
    path = folder / title / f"{mode} {share:g}, seed {seed}.npz"

    def make() -> None:
        pictures = removed_pictures(given.pictures(), title, maps, mode, share, seed, work_on(path, identity))
        network = trained(given, seed, pictures)
        keep_arrays(path, identity, probabilities=probabilities_of(given, network, pictures))

    return Piece(path, identity, make)


def removed_pictures(
    inputs: StoredInputs, title: str, maps: Explanations | None, mode: str, share: float, seed: int, folder: Path
) -> StoredInputs:
    """The pictures without the pixels that the maps choose, written a chunk at a time to `folder`/pictures.npy.

    Args:
        inputs: the pictures.
        title: of the method, or the name of a control.
        maps: of the pictures, in their order; None for a control, whose maps are drawn from `seed`.
        mode, share: as in `cxrlib.evaluate.removal`.
        seed: of the draws among equal pixels, too.
        folder: receives the file.
    """
    path, size, generator = folder / "pictures.npy", inputs[0].shape[-1], torch.Generator().manual_seed(seed)
    stored = np.lib.format.open_memmap(path, "w+", np.uint8, (len(inputs), size, size))
    for start in range(0, len(inputs), CHUNK):
        rows = slice(start, start + CHUNK)
        images = inputs[rows]
        chosen = control_map(title, images, generator) if maps is None else upscale(maps.maps[rows, 0], size)
        stored[rows] = taken_out(images, top_of_each(chosen, share, generator), mode)[:, 0].numpy()
    stored.flush()
    return StoredInputs(path, np.arange(len(inputs)))
