"""Lung findings: what each changes inside its box.

Each function gets the lungs of a box, as a mask and as the depth below their border, and returns its effect there.
`strength` runs from about 0.3 (subtle) to 1 (plain). `outward` is -1 where the chest wall lies to the left of the box
in the image, +1 where it lies to the right. Aortic enlargement and Cardiomegaly are shapes of organs (`mediastinum`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from cxrlib.data.render.drawing import as_mask, blurred, smooth_noise, soft_step
from cxrlib.data.render.layers import Effect


@dataclass(frozen=True)
class Box:
    """The lungs inside a lesion's box: `lung` (0..1) and `depth` below their border (pixels), float32 (rows, cols)."""

    lung: np.ndarray
    depth: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.lung.shape


DrawFinding = Callable[[Box, float, int, np.random.Generator], Effect]


def unit_grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres of a box as x (1, cols) and y (rows, 1), both from -1 to 1."""
    rows, cols = shape
    x = (np.arange(cols, dtype=np.float32) + 0.5) * 2 / cols - 1
    y = (np.arange(rows, dtype=np.float32) + 0.5) * 2 / rows - 1
    return x[None, :], y[:, None]


def oval(shape: tuple[int, int], edge: float) -> np.ndarray:
    """1 in the middle of the box, falling to 0 at the inscribed oval over the share `edge` of its radius."""
    x, y = unit_grid(shape)
    return soft_step((1 - np.sqrt(x * x + y * y)) / edge)


def cloud(shape: tuple[int, int], edge: float, roughness: float, rng: np.random.Generator) -> np.ndarray:
    """Patch without a clear border that is denser in some places, 0..1; it is 0 at the sides of the box."""
    x, y = unit_grid(shape)
    size = max(shape)
    lumps = smooth_noise(shape, size / 3, rng) + 0.5 * smooth_noise(shape, size / 9, rng)
    lumps = np.clip(lumps, -2, 2)
    radius = np.sqrt(x * x + y * y) * (1 + 0.13 * lumps)
    patch = soft_step((1.02 - radius) / edge) * np.clip(1 + roughness * lumps, 0.2, 1.3)
    return np.minimum(patch, 1) * taper(shape, 3)


def network(shape: tuple[int, int], mesh: float, rng: np.random.Generator) -> np.ndarray:
    """Fine web of lines with meshes of about `mesh` pixels, 0..1: where a smooth noise crosses zero."""
    noise = smooth_noise(shape, mesh, rng)
    return np.exp(-np.square(noise / np.float32(0.28)))


def taper(shape: tuple[int, int], steepness: float) -> np.ndarray:
    """1 inside the box, falling to 0 at its sides, over 1 / `steepness` of the half width and height."""
    x, y = unit_grid(shape)
    return soft_step(steepness * (1 - np.abs(x))) * soft_step(steepness * (1 - np.abs(y)))


def displaced(share: np.ndarray, **more: np.ndarray) -> Effect:
    """Tissue or fluid in place of `share` (0..1) of the lung's air, which veils the vessels there; and `more`."""
    return Effect(air_kept=1 - share, markings_kept=1 - 0.6 * share, **more)


def lung_opacity(box, strength, outward, rng):
    """Hazy cloud without a clear border."""
    return displaced((0.40 + 0.45 * strength) * cloud(box.shape, 0.95, 0.18, rng))


def consolidation(box, strength, outward, rng):
    """Dense, nearly even opacity with a soft edge."""
    return displaced((0.45 + 0.50 * strength) * cloud(box.shape, 0.60, 0.10, rng))


def infiltration(box, strength, outward, rng):
    """Hazy opacity with streaks."""
    patch = cloud(box.shape, 0.9, 0.25, rng)
    streaks = (0.02 + 0.05 * strength) * patch * box.lung * network(box.shape, 9, rng)
    return displaced((0.18 + 0.27 * strength) * patch, markings_added=streaks)


def pleural_effusion(box, strength, outward, rng):
    """Fluid at the base: it blunts the angle, rises towards the chest wall as a meniscus and thins out upwards."""
    x, y = unit_grid(box.shape)
    across = np.clip((1 + outward * x) / 2, 0, 1)  # 0 at the inner side of the box, 1 at the chest wall
    surface = 0.15 - 0.35 * across - 0.70 * across**4  # y of the fluid's surface, -1 at the top of the box
    fluid = soft_step((y - surface) / 0.75 + 0.5) * soft_step(across / 0.25) * soft_step((y + 1) / 0.35)
    share = (0.65 + 0.35 * strength) * fluid
    return displaced(share, tissue_added=(0.01 + 0.05 * strength) * fluid * fluid * box.lung)


def pleural_thickening(box, strength, outward, rng):
    """Band of uneven width along the chest wall or the apex, where the lung borders on them."""
    band = float(np.clip((0.28 + 0.28 * strength) * min(box.shape), 5, 22))
    width = band * (1 + 0.25 * np.clip(smooth_noise(box.shape, max(8, max(box.shape) / 3), rng), -1.5, 1.5))
    plaque = soft_step((width - box.depth) / (0.6 * width) + 0.15)
    if (plaque * box.lung).mean() < 0.08:  # the box does not touch the border: draw along its outer side
        x, _ = unit_grid(box.shape)
        plaque = soft_step((outward * x + 0.2) / 0.8)
    plaque = plaque * box.lung * taper(box.shape, 1.8)
    return displaced((0.50 + 0.45 * strength) * plaque, tissue_added=(0.02 + 0.07 * strength) * plaque)


def pulmonary_fibrosis(box, strength, outward, rng):
    """Fine web of lines, blurred in part, over lung that has lost some of its air."""
    patch = cloud(box.shape, 0.75, 0.15, rng)
    web = blurred(np.maximum(network(box.shape, 5, rng), 0.8 * network(box.shape, 9, rng)), 0.6)
    loss = patch * (0.7 + 0.3 * np.clip(smooth_noise(box.shape, 14, rng), -1, 1))
    return Effect(
        air_kept=1 - (0.24 + 0.38 * strength) * loss,
        markings_added=(0.03 + 0.08 * strength) * patch * box.lung * (web - 0.25),
    )


def interstitial_lung_disease(box, strength, outward, rng):
    """Fine, diffuse web of lines."""
    patch = cloud(box.shape, 0.5, 0.1, rng)
    return Effect(
        air_kept=1 - (0.06 + 0.14 * strength) * patch,
        markings_added=(0.03 + 0.07 * strength) * patch * box.lung * (network(box.shape, 4, rng) - 0.25),
    )


def atelectasis(box, strength, outward, rng):
    """Dense band across the box, with haze about it."""
    x, y = unit_grid(box.shape)
    slope = outward * rng.uniform(0.2, 0.7)
    band = np.exp(-(((y - slope * x) / 0.28) ** 2)) * soft_step((1 - np.abs(x)) / 0.3)
    return displaced((0.30 + 0.45 * strength) * np.maximum(band, 0.3 * oval(box.shape, 0.6)))


def calcification(box, strength, outward, rng):
    """A few small, very dense spots."""
    canvas, sides = np.zeros(box.shape, np.uint8), np.array(box.shape[::-1])
    for _ in range(rng.integers(1, 5)):
        places = rng.normal(0.5, 0.15, size=2) * sides
        size = round(float(np.clip(min(sides) * rng.uniform(0.08, 0.2), 1, 6)))
        margins = np.minimum(size + 3, (sides - 1) // 2)  # soft edges stay inside
        places = np.clip(np.round(places), margins, sides - 1 - margins).astype(int)
        cv2.circle(canvas, places.tolist(), size, 255, -1, cv2.LINE_AA)
    return Effect(tissue_added=(0.10 + 0.22 * strength) * as_mask(canvas, 0.7))


def nodule(box, strength, outward, rng):
    """Round density, thickest in the middle like a ball."""
    x, y = unit_grid(box.shape)
    ball = np.sqrt(np.clip(1 - (x * x + y * y) / 0.80, 0, 1))
    ball = blurred(ball, 1.2) * taper(box.shape, 6)
    return Effect(tissue_added=(0.08 + 0.16 * strength) * ball * np.maximum(box.lung, 0.3))


def other_lesion(box, strength, outward, rng):
    """A faint ring, unlike the other findings."""
    x, y = unit_grid(box.shape)
    radius = np.sqrt(x * x + y * y)
    ring = np.exp(-(((radius - 0.75) / 0.12) ** 2))
    return Effect(tissue_added=(0.03 + 0.07 * strength) * ring * np.maximum(box.lung, 0.3))


def pneumothorax(box, strength, outward, rng):
    """Rim of free air without vessels, edged by the line of the visceral pleura."""
    x, y = unit_grid(box.shape)
    within = soft_step((outward * x + 1) / 0.6) * soft_step((1 - np.abs(y)) / 0.25)
    rim = float(np.clip((0.18 + 0.25 * strength) * min(box.shape), 4, 40))
    free = box.lung * soft_step((rim - box.depth) / 2) * within
    line = box.lung * np.exp(-(((box.depth - rim) / 1.2) ** 2)) * within
    return Effect(air_added=(0.10 + 0.25 * strength) * free, markings_kept=1 - free, tissue_added=0.12 * line)


DRAWERS: dict[str, DrawFinding] = {
    "Atelectasis": atelectasis,
    "Calcification": calcification,
    "Consolidation": consolidation,
    "ILD": interstitial_lung_disease,
    "Infiltration": infiltration,
    "Lung Opacity": lung_opacity,
    "Nodule/Mass": nodule,
    "Other lesion": other_lesion,
    "Pleural effusion": pleural_effusion,
    "Pleural thickening": pleural_thickening,
    "Pneumothorax": pneumothorax,
    "Pulmonary fibrosis": pulmonary_fibrosis,
}
