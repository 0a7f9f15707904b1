"""Lung findings: what each changes inside its box.

Each function gets the lungs of a box, as a mask and as the depth below their border, and returns its effect there.
`strength` runs from about 0.3 (subtle) to 1 (plain). `outward` is -1 where the chest wall lies to the left of the box
in the image, +1 where it lies to the right. Aortic enlargement and Cardiomegaly are shapes of organs (`mediastinum`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from cxrlib.data.render.drawing import as_mask, blurred, smooth_noise, soft_step, stroke
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
    """Oval patch with an irregular border and a patchy inside, 0..1."""
    x, y = unit_grid(shape)
    size = max(shape)
    lumps = smooth_noise(shape, size / 3, rng) + 0.5 * smooth_noise(shape, size / 8, rng)
    radius = np.sqrt(x * x + y * y) * (1 + 0.18 * lumps)
    patch = soft_step((1.08 - radius) / edge) * np.clip(1 + roughness * lumps, 0, 1.5)
    return np.minimum(patch, 1) * taper(shape, 4)


def taper(shape: tuple[int, int], steepness: float) -> np.ndarray:
    """1 inside the box, falling to 0 at its sides, over 1 / `steepness` of the half width and height."""
    x, y = unit_grid(shape)
    return soft_step(steepness * (1 - np.abs(x))) * soft_step(steepness * (1 - np.abs(y)))


def displaced(share: np.ndarray, **more: np.ndarray) -> Effect:
    """Tissue or fluid in place of `share` (0..1) of the lung's air, which veils the vessels there; and `more`."""
    return Effect(air_kept=1 - share, markings_kept=1 - 0.6 * share, **more)


def lines(shape: tuple[int, int], count: int, length: float, thickness: float, rng: np.random.Generator) -> np.ndarray:
    """`count` short bent lines in random directions, 0..1; `length` and `thickness` in pixels."""
    canvas = np.zeros(shape, np.uint8)
    starts = rng.uniform(0, (shape[1], shape[0]), size=(count, 2))
    angles = rng.uniform(0, 2 * np.pi, size=count)
    bends = rng.uniform(-0.9, 0.9, size=count)
    for start, angle, bend in zip(starts, angles, bends, strict=True):
        middle = start + length / 2 * np.array([np.cos(angle), np.sin(angle)])
        end = middle + length / 2 * np.array([np.cos(angle + bend), np.sin(angle + bend)])
        stroke(canvas, np.array([start, middle, end]), thickness)
    return as_mask(canvas, 0.6)


def lung_opacity(box, strength, outward, rng):
    """Patchy, cloudy opacity."""
    return displaced((0.45 + 0.50 * strength) * cloud(box.shape, 0.70, 0.25, rng))


def consolidation(box, strength, outward, rng):
    """Dense, nearly even opacity with a soft edge."""
    return displaced((0.40 + 0.55 * strength) * cloud(box.shape, 0.55, 0.12, rng))


def infiltration(box, strength, outward, rng):
    """Hazy opacity with streaks."""
    patch = cloud(box.shape, 0.8, 0.3, rng)
    count = int(np.clip(box.shape[0] * box.shape[1] / 180, 4, 60))
    streaks = 0.10 * strength * patch * box.lung * lines(box.shape, count, 12, 1, rng)
    return displaced((0.15 + 0.25 * strength) * patch, markings_added=streaks)


def pleural_effusion(box, strength, outward, rng):
    """Fluid at the base that rises towards the chest wall: a meniscus."""
    x, y = unit_grid(box.shape)
    across = np.clip((1 + outward * x) / 2, 0, 1)  # 0 at the inner side of the box, 1 at the chest wall
    surface = 0.80 - 1.70 * across**1.7  # y of the fluid's surface, -1 at the top of the box
    fluid = soft_step((y - surface) / 0.35 + 0.5) * soft_step(across / 0.12)
    return displaced((0.65 + 0.35 * strength) * fluid, tissue_added=0.14 * strength * fluid * box.lung)


def pleural_thickening(box, strength, outward, rng):
    """Dense band along the chest wall or the apex, where the lung borders on them."""
    inside = taper(box.shape, 2.5)
    band = np.clip((0.40 + 0.40 * strength) * min(box.shape), 3, 25)
    plaque = soft_step((band - box.depth) / (0.4 * band) + 0.3)
    if (plaque * box.lung).mean() < 0.08:  # the box does not touch the border: draw along its outer side
        x, _ = unit_grid(box.shape)
        plaque = soft_step((outward * x + 0.3) / 0.6)
    plaque = plaque * box.lung * inside
    return displaced((0.45 + 0.50 * strength) * plaque, tissue_added=(0.05 + 0.16 * strength) * plaque)


def pulmonary_fibrosis(box, strength, outward, rng):
    """Coarse network of lines and small dense islands over lung that has lost some of its air."""
    patch = cloud(box.shape, 0.6, 0.15, rng)
    islands = np.clip(0.5 + 0.6 * smooth_noise(box.shape, 9, rng), 0, 1)
    count = int(np.clip(box.shape[0] * box.shape[1] / 45, 8, 400))
    fine = lines(box.shape, count, 9, 1, rng)
    coarse = lines(box.shape, count // 5, 22, 2, rng)
    return Effect(
        air_kept=1 - (0.20 + 0.45 * strength) * patch * (0.4 + 0.6 * islands),
        markings_added=(0.08 + 0.16 * strength) * patch * box.lung * (fine + coarse - 0.2),
    )


def interstitial_lung_disease(box, strength, outward, rng):
    """Fine, diffuse network."""
    patch = cloud(box.shape, 0.5, 0.1, rng)
    count = int(np.clip(box.shape[0] * box.shape[1] / 40, 10, 500))
    network = lines(box.shape, count, 6, 1, rng) - 0.2
    return Effect(
        air_kept=1 - (0.05 + 0.12 * strength) * patch,
        markings_added=(0.05 + 0.12 * strength) * patch * box.lung * network,
    )


def atelectasis(box, strength, outward, rng):
    """Dense band across the box, with haze about it."""
    x, y = unit_grid(box.shape)
    slope = outward * rng.uniform(0.2, 0.7)
    band = np.exp(-(((y - slope * x) / 0.28) ** 2)) * soft_step((1 - np.abs(x)) / 0.3)
    return displaced((0.30 + 0.45 * strength) * np.maximum(band, 0.3 * oval(box.shape, 0.6)))


def calcification(box, strength, outward, rng):
    """A few small, very dense spots."""
    rows, cols = box.shape
    canvas = np.zeros((rows, cols), np.uint8)
    for _ in range(rng.integers(1, 5)):
        x, y = rng.normal(0.5, 0.15, size=2) * (cols, rows)
        size = np.clip(min(rows, cols) * rng.uniform(0.08, 0.2), 1, 6)
        cv2.circle(canvas, (round(x), round(y)), round(size), 255, -1, cv2.LINE_AA)
    return Effect(tissue_added=(0.10 + 0.22 * strength) * as_mask(canvas, 0.7))


def nodule(box, strength, outward, rng):
    """Round density, thickest in the middle like a ball."""
    x, y = unit_grid(box.shape)
    ball = np.sqrt(np.clip(1 - (x * x + y * y) / 0.85, 0, 1))
    return Effect(tissue_added=(0.10 + 0.20 * strength) * blurred(ball, 0.8) * np.maximum(box.lung, 0.3))


def other_lesion(box, strength, outward, rng):
    """A faint ring, unlike the other findings."""
    x, y = unit_grid(box.shape)
    radius = np.sqrt(x * x + y * y)
    ring = np.exp(-(((radius - 0.75) / 0.12) ** 2))
    return Effect(tissue_added=(0.03 + 0.07 * strength) * ring)


def pneumothorax(box, strength, outward, rng):
    """Rim of free air without vessels, edged by the line of the visceral pleura."""
    x, y = unit_grid(box.shape)
    within = soft_step((outward * x + 1) / 0.6) * soft_step((1 - np.abs(y)) / 0.25)
    rim = np.clip((0.18 + 0.25 * strength) * min(box.shape), 4, 40)
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
