"""The patient of one study: a chest, and what each finding changes in it."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxrlib.data.annotations import box_centres
from cxrlib.data.render.anatomy import Anatomy, sample_anatomy
from cxrlib.data.render.anchors import (
    EFFUSION_FINDING,
    HEART_FINDING,
    KNOB_FINDING,
    TYPICAL,
    Anchors,
    anchors_of,
)
from cxrlib.data.render.chest import COARSE, draw_chest
from cxrlib.data.render.exposure import Film, sample_film
from cxrlib.data.render.findings import DRAWERS, Box
from cxrlib.data.render.frame import fractions_to_pixels
from cxrlib.data.render.grid import Grid
from cxrlib.data.render.layers import WHOLE, Change, Layers, Window, attenuation, union_window
from cxrlib.data.render.lesions import Lesion, find_lesions, readers_of
from cxrlib.data.render.mediastinum import aortic_knob, heart

ROWS, COLS = (400, 504), (400, 464)  # ranges of the image size, inclusive; sizes are even


GREY_MAXIMUM = 65535


ORGANS = (HEART_FINDING, KNOB_FINDING)
"""Findings that are the shape of an organ."""


DRAWING_ORDER = (
    *ORGANS,
    "Pleural effusion",
    "Consolidation",
    "Atelectasis",
    "Lung Opacity",
    "Infiltration",
    "ILD",
    "Pulmonary fibrosis",
    "Pneumothorax",
    "Pleural thickening",
    "Other lesion",
    "Nodule/Mass",
    "Calcification",
)
"""The one order in which changes are put together, whatever the order in which findings are added."""


# Least width and height of a drawn lesion (fractions of the frame). Smaller lesions would vanish when the radiograph is
# resized to a network's input.
LEAST_SIZE = {
    "Lung Opacity": (0.14, 0.14),
    "Pleural effusion": (0.15, 0.15),
    "Pleural thickening": (0.12, 0.075),
    "Pulmonary fibrosis": (0.16, 0.16),
}


@dataclass(frozen=True)
class Patient:
    """One patient, who can be radiographed with any of the study's findings and without.

    Attributes:
        chest: the layers without heart, aortic knob and lesions.
        normal: the organs of ORGANS in health.
        findings: what each of the study's findings changes: a change for each lesion, or the enlarged organ.
        film: exposure, noise and side marker, the same for all radiographs of the patient.
        shown: the findings that the patient has now.
    """

    chest: Layers
    normal: dict[str, Change]
    findings: dict[str, list[Change]]
    film: Film
    shown: frozenset[str]

    def having(self, findings: Collection[str]) -> "Patient":
        """The same patient with exactly these of the study's findings.

        Raises:
            KeyError: the study has no such finding.
        """
        for finding in findings:
            if finding not in self.findings:
                raise KeyError(f"the study has no {finding}; it has {', '.join(self.findings) or 'none'}")
        return replace(self, shown=frozenset(findings))

    def pixels(self, window: Window = WHOLE) -> np.ndarray:
        """The patient's radiograph: uint16, 0..65535, dense is bright; (rows, cols), or those of `window`."""
        changes = []
        for finding in DRAWING_ORDER:
            if finding in self.shown:
                changes += self.findings[finding]
            elif finding in ORGANS:
                changes.append(self.normal[finding])
        grey = self.film.develop(attenuation(self.chest, changes, window), window)
        np.clip(grey, 0, 1, out=grey)
        return np.rint(grey * np.float32(GREY_MAXIMUM)).astype(np.uint16)

    def support(self, finding: str) -> Window:
        """The window outside of which the patient with and without `finding` are the same."""
        changes = self.findings[finding] + ([self.normal[finding]] if finding in ORGANS else [])
        return union_window(change.window for change in changes)


def sample_patient(
    boxes: pd.DataFrame, seed: int | np.random.SeedSequence, donors: list[Anchors] | None = None
) -> Patient:
    """The patient of one study, with all of its findings. The same arguments give the same patient.

    Every step has a generator of its own. That of a lesion is seeded by the study's seed, the finding's name and the
    lesion's position among those of its finding, so no draw depends on what else is drawn.

    Args:
        boxes, seed, donors: as in `render_radiograph`.
    """
    size_rng, donor_rng, anatomy_rng, chest_rng, film_rng = generators(seed)
    shape = sample_size(size_rng)
    donors = donors or [TYPICAL]
    donor = donors[donor_rng.integers(len(donors))]
    lesions = find_lesions(boxes)
    readers = readers_of(boxes)
    anatomy = sample_anatomy(anchors_of(boxes), donor, readers, anatomy_rng)

    chest, grid = draw_chest(shape, anatomy, chest_rng), Grid(shape, COARSE)
    normal = {
        HEART_FINDING: heart(grid, anatomy, anatomy.heart),
        KNOB_FINDING: aortic_knob(grid, anatomy, anatomy.knob),
    }
    findings: dict[str, list[Change]] = {}
    if anatomy.enlarged_heart is not None:
        findings[HEART_FINDING] = [heart(grid, anatomy, anatomy.enlarged_heart)]
    if anatomy.enlarged_knob is not None:
        findings[KNOB_FINDING] = [aortic_knob(grid, anatomy, anatomy.enlarged_knob)]
    for lesion in lesions:
        if lesion.finding not in ORGANS:
            drawn = findings.setdefault(lesion.finding, [])
            drawn.append(_draw_lesion(chest, lesion, anatomy, lesion_generator(seed, lesion.finding, len(drawn))))
    return Patient(chest, normal, findings, sample_film(shape, film_rng), frozenset(findings))


def generators(seed: int | np.random.SeedSequence) -> list[np.random.Generator]:
    """A generator for each step of the rendering, so that the draws of a step do not depend on other steps."""
    return [_generator(seed, step) for step in range(5)]


def lesion_generator(seed: int | np.random.SeedSequence, finding: str, index: int) -> np.random.Generator:
    """The generator of a study's lesion number `index` of `finding`."""
    name = int.from_bytes(hashlib.sha256(finding.encode()).digest()[:4], "big")
    return _generator(seed, 5, name, index)


def _generator(seed: int | np.random.SeedSequence, *key: int) -> np.random.Generator:
    parent = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.default_rng(np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, *key)))


def sample_size(rng: np.random.Generator) -> tuple[int, int]:
    """Size (rows, cols) of a radiograph: mostly portrait, some square or landscape."""
    rows, cols = (2 * int(rng.integers(low // 2, high // 2, endpoint=True)) for low, high in (ROWS, COLS))
    return rows, cols


def drawn_box(lesion: Lesion) -> np.ndarray:
    """The lesion's box (4,), enlarged about its centre where it is below the least size of its finding."""
    low, high = lesion.box[:2], lesion.box[2:]
    growth = np.clip(np.array(LEAST_SIZE.get(lesion.finding, (0, 0))) - (high - low), 0, None) / 2
    return np.clip(np.concatenate([low - growth, high + growth]), 0, 1)


def drawn_window(lesion: Lesion, anatomy: Anatomy, shape: tuple[int, int]) -> Window:
    """The pixels that a lung lesion may change: its drawn box; an effusion's reaches wall and costophrenic angle."""
    rows, cols = shape
    left, top, right, bottom = fractions_to_pixels(drawn_box(lesion)[None], rows, cols)[0].astype(int).tolist()
    if lesion.finding == EFFUSION_FINDING:
        outward = _outward(lesion, anatomy)
        side = anatomy.side(outward)
        bottom = max(bottom, round(side.base_y * rows))
        wall = round(side.wall_x * cols)
        left, right = (min(left, wall), right) if outward < 0 else (left, max(right, wall))
    return slice(top, bottom), slice(left, right)


def _outward(lesion: Lesion, anatomy: Anatomy) -> int:
    """-1 where the chest wall lies to the left of the lesion, else 1."""
    return 1 if box_centres(lesion.box)[0] > anatomy.midline else -1


def _draw_lesion(chest: Layers, lesion: Lesion, anatomy: Anatomy, rng: np.random.Generator) -> Change:
    """What a lung lesion changes. A lesion that more readers saw is plainer."""
    strength = float(np.clip(0.38 + 0.18 * lesion.readers + 0.12 * rng.standard_normal(), 0.30, 1.0))
    window = drawn_window(lesion, anatomy, chest.lung.shape)
    box = Box(chest.lung[window], chest.depth[window])
    effect = DRAWERS[lesion.finding](box, strength, _outward(lesion, anatomy), rng)
    return Change(window, effect)
