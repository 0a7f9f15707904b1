"""Replacements that are computed from the pixels around a mask, so that its edge gives less away than a grey area."""

import cv2
import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu

RADIUS = 3
"""Pixels around a masked one that in-painting looks at."""


NOISE = 0.01
"""Standard deviation of ROAD's noise as a fraction of the range of greys, as in the authors' code."""


NEIGHBOURS = {
    (-1, -1): 1 / 12,
    (-1, 0): 1 / 6,
    (-1, 1): 1 / 12,
    (0, -1): 1 / 6,
    (0, 1): 1 / 6,
    (1, -1): 1 / 12,
    (1, 0): 1 / 6,
    (1, 1): 1 / 12,
}
"""ROAD's weights: rows down and columns right of a pixel -> weight."""


def inpainted(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The masked pixels continued from the rim of the mask inwards (Telea 2004, as in OpenCV).

    Args:
        image: uint8 (1, height, width).
        mask: boolean (height, width).

    Returns:
        uint8 (1, height, width).

    >>> image = torch.full((1, 5, 5), 90, dtype=torch.uint8)
    >>> image[0, 2, 2], mask = 255, torch.zeros(5, 5, dtype=torch.bool)
    >>> mask[2, 2] = True
    >>> inpainted(image, mask)[0, 2].tolist()
    [90, 90, 90, 90, 90]
    """
    holes = mask.numpy().astype(np.uint8)
    return torch.from_numpy(cv2.inpaint(image[0].numpy(), holes, RADIUS, cv2.INPAINT_TELEA))[None]


def linear_imputation(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Every masked pixel as the weighted mean of its neighbours (Rong et al. 2022, "ROAD", without the noise).

        x_i = sum_j w_ij x_j / sum_j w_ij

    The sum runs over the eight neighbours inside the image. The weight is 1/6 for a neighbour at the side and 1/12 at a
    corner. The masked pixels depend on each other, so that the equations are solved together.

    Args:
        image: (height, width), in any unit.
        mask: boolean (height, width).

    Returns:
        float64 (height, width); the pixels outside of the mask are those of the image.

    Raises:
        ValueError: no pixel is known.

    A masked corner has three neighbours: (1/6 * 10 + 1/6 * 20 + 1/12 * 60) / (5/12) = 24:

    >>> image, mask = np.array([[99.0, 10.0], [20.0, 60.0]]), np.array([[True, False], [False, False]])
    >>> print(linear_imputation(image, mask)[0, 0].round(6))
    24.0
    """
    if mask.all():
        raise ValueError("no pixel is left from which the others could be computed")
    filled, (rows, columns) = np.asarray(image, np.float64).copy(), np.nonzero(mask)
    if not len(rows):
        return filled
    unknown = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -2)  # -2: outside of the image, -1: known
    unknown[1:-1, 1:-1] = -1
    unknown[rows + 1, columns + 1] = np.arange(len(rows))
    padded = np.pad(filled, 1)
    total, known, parts = np.zeros(len(rows)), np.zeros(len(rows)), []
    for (down, right), weight in NEIGHBOURS.items():
        place = (rows + 1 + down, columns + 1 + right)
        other = unknown[place]
        total += weight * (other > -2)
        known += weight * padded[place] * (other == -1)
        (inside,) = np.nonzero(other >= 0)
        parts.append((inside, other[inside], np.full(len(inside), -weight)))
    parts.append((np.arange(len(rows)), np.arange(len(rows)), total))
    place, other, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    equations = sparse.csc_matrix((values, (place, other)), (len(rows), len(rows)))
    symmetric = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    filled[rows, columns] = splu(equations, **symmetric).solve(known)
    return filled


def noisy_linear(image: torch.Tensor, mask: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """ROAD's replacement: `linear_imputation` plus normal noise of NOISE times 255, rounded.

    Args:
        image: uint8 (1, height, width).
        mask: boolean (height, width), not all set.
        random: draws the noise.

    Returns:
        uint8 (1, height, width).

    >>> image, mask = torch.tensor([[[99, 10], [20, 60]]], dtype=torch.uint8), torch.tensor([[True, False]] * 2)
    >>> noisy_linear(image, mask, np.random.default_rng(0))[0, :, 1].tolist()
    [10, 60]
    """
    pixels, holes = image[0].numpy(), mask.numpy()
    filled = linear_imputation(pixels, holes)
    filled[holes] += random.normal(0.0, 255 * NOISE, int(holes.sum()))
    return torch.from_numpy(filled.round().clip(0, 255).astype(np.uint8))[None]
