"""How alike two maps are: SSIM, rank correlation, and the correlation of their histograms of oriented gradients."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from cxrlib.explain.maps import ranks, upscale

WINDOW = 5
"""Side in pixels of SSIM's window (Arun et al. 2021)."""


CELL, ORIENTATIONS, BLOCK = 16, 9, 3
"""Histograms of oriented gradients: side of a cell in pixels, directions, and cells along the side of a block."""


CHUNK = 64
"""Pairs that are compared at once."""


SIMILARITIES = ["ssim", "rank correlation", "hog"]


FORMS = ["raw", "absolute"]
"""A map as it is, and its absolute values."""


MEASURES = [(similarity, form) for form in FORMS for similarity in SIMILARITIES]


def similarities(first: torch.Tensor, second: torch.Tensor, size: int) -> dict[tuple[str, str], torch.Tensor]:
    """Every similarity of pairs of maps, of the maps as they are and of their absolute values.

    A layer's map is upscaled to the frame of the network's input first: five cells are fewer than a window.

    Args:
        first, second: raw maps, float32 (n, rows, columns).
        size: side in pixels of the network's input.

    Returns:
        (one of SIMILARITIES, one of FORMS) -> float64 (n,); NaN where a map is constant or holds a value that is no
        number.

    >>> one = torch.rand(1, 3, 3)
    >>> found = similarities(one, -one, size=48)
    >>> [round(found["rank correlation", form].item(), 2) for form in ("raw", "absolute")]
    [-1.0, 1.0]
    """
    return compared(described(first, size), described(second, size))


@dataclass(frozen=True)
class Described:
    """What `compared` needs of maps, made once of maps with which many others are compared.

    Attributes:
        scaled, ranks, hog: one of FORMS -> of each upscaled map, from `scaled`, `ranks` and `hog`.
        usable: one of FORMS -> bool (n,), which maps hold numbers that are not all equal.
    """

    scaled: dict[str, torch.Tensor]
    ranks: dict[str, torch.Tensor]
    hog: dict[str, torch.Tensor]
    usable: dict[str, torch.Tensor]


def described(maps: torch.Tensor, size: int) -> Described:
    """What `compared` needs; arguments as in `similarities`.

    >>> described(torch.zeros(2, 3, 3), size=48).usable["raw"].tolist()
    [False, False]
    """
    large = {form: upscale((maps if form == "raw" else maps.abs()).float().cpu(), size) for form in FORMS}
    within = {form: scaled(one).nan_to_num() for form, one in large.items()}  # what is no number is not usable
    return Described(
        within,
        {form: ranks(one.flatten(1)) for form, one in large.items()},
        {form: torch.cat([hog(part) for part in one.split(CHUNK)]) for form, one in within.items()},
        {form: _varies(one) for form, one in large.items()},
    )


def compared(first: Described, second: Described) -> dict[tuple[str, str], torch.Tensor]:
    """As `similarities`, of maps that are described already.

    >>> one = torch.rand(1, 3, 3)
    >>> compared(described(one, 48), described(one, 48))["hog", "raw"].round(decimals=6).tolist()
    [1.0]
    """
    found = {}
    for form in FORMS:
        parts = zip(first.scaled[form].split(CHUNK), second.scaled[form].split(CHUNK), strict=True)
        usable = first.usable[form] & second.usable[form]
        values = {
            "ssim": torch.cat([ssim(*part) for part in parts]),
            "rank correlation": correlation(first.ranks[form], second.ranks[form]),
            "hog": correlation(first.hog[form], second.hog[form]),
        }
        found |= {(name, form): one.where(usable, math.nan) for name, one in values.items()}
    return {measure: found[measure] for measure in MEASURES}


def scaled(maps: torch.Tensor) -> torch.Tensor:
    """Maps (n, rows, columns) from their least value, which becomes -1, to their greatest, which becomes 1.

    A constant map becomes NaN.

    >>> scaled(torch.tensor([[[2.0, 3.0, 6.0]]])).tolist()
    [[[-1.0, -0.5, 1.0]]]
    """
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return 2 * (maps - low) / (high - low) - 1


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Structural similarity (Wang et al. 2004), mean over all windows of WINDOW pixels that lie within the map.

        ((2 m_a m_b + c1) (2 v_ab + c2)) / ((m_a^2 + m_b^2 + c1) (v_a + v_b + c2)),  c1 = (0.01 L)^2, c2 = (0.03 L)^2

    m, v: mean and sample (co)variance in a window, all pixels alike. L = 2, the range of maps in -1..1.

    Args:
        first, second: float32 (n, rows, columns), in -1..1; at least WINDOW rows and columns.

    Returns:
        float64 (n,), 1 for equal maps.

    >>> ssim(torch.eye(6)[None], torch.eye(6)[None]).item()
    1.0
    """
    a, b = first.double()[:, None], second.double()[:, None]
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = (
        functional.avg_pool2d(values, WINDOW, stride=1) for values in (a, b, a * a, b * b, a * b)
    )
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    var_a, var_b, cov = (
        unbiased * (mean - product)
        for mean, product in ((mean_aa, mean_a**2), (mean_bb, mean_b**2), (mean_ab, mean_a * mean_b))
    )
    c1, c2 = 0.02**2, 0.06**2
    found = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return found.mean((1, 2, 3))


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Spearman's correlation of each map with its partner: Pearson's correlation of the ranks of their values.

    Args:
        first, second: floats (n, rows, columns).

    Returns:
        float64 (n,); NaN where a map is constant.

    >>> rank_correlation(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[10.0, 30.0, 20.0]]])).round(decimals=2)
    tensor([0.5000], dtype=torch.float64)
    """
    return correlation(ranks(first.flatten(1)), ranks(second.flatten(1)))


def mean_similarity(found: list[dict]) -> dict:
    """The mean of several `similarities` of the same maps; where one of them is NaN the others count.

    >>> one = {measure: torch.tensor([0.5, torch.nan]) for measure in MEASURES}
    >>> other = {measure: torch.tensor([1.0, 0.25]) for measure in MEASURES}
    >>> mean_similarity([one, other])["ssim", "raw"].tolist()
    [0.75, 0.25]
    """
    return {measure: torch.stack([one[measure] for one in found]).nanmean(0) for measure in MEASURES}


def correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation of each row with its partner.

    Args:
        first, second: floats (n, values).

    Returns:
        float64 (n,); NaN where a row is constant.

    >>> correlation(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[5.0, 4.0, 3.0]])).round(decimals=2).tolist()
    [-1.0]
    """
    a, b = (values.double() - values.double().mean(1, keepdim=True) for values in (first, second))
    return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).clamp(-1, 1)


def hog(maps: torch.Tensor) -> torch.Tensor:
    """Histograms of oriented gradients (Dalal and Triggs 2005) with the settings of Adebayo et al. 2018.

    Central differences give a direction in 0..180 degrees and a magnitude at each pixel; ORIENTATIONS bins per cell of
    CELL pixels; overlapping blocks of BLOCK x BLOCK cells are divided by their norm, clipped at 0.2 and divided again.
    Below 48 pixels cells are a third of the map's side.

    Args:
        maps: floats (n, rows, columns), square, at least 3 pixels wide.

    Returns:
        float64 (n, blocks * BLOCK * BLOCK * ORIENTATIONS).

    >>> hog(torch.rand(1, 48, 48)).shape
    torch.Size([1, 81])
    """
    maps, size = maps.double(), maps.shape[-1]
    cell = min(CELL, size // BLOCK)
    down, right = torch.zeros_like(maps), torch.zeros_like(maps)
    down[:, 1:-1] = maps[:, 2:] - maps[:, :-2]
    right[:, :, 1:-1] = maps[:, :, 2:] - maps[:, :, :-2]
    degrees = torch.rad2deg(torch.atan2(down, right)) % 180
    bins = (degrees / (180 / ORIENTATIONS)).long().clamp(max=ORIENTATIONS - 1)
    magnitude = torch.hypot(down, right)
    voted = functional.one_hot(bins, ORIENTATIONS).movedim(-1, 1) * magnitude[:, None]
    histograms = functional.avg_pool2d(voted, cell)  # (n, orientations, cells, cells)
    blocks = histograms.unfold(2, BLOCK, 1).unfold(3, BLOCK, 1)  # (n, orientations, blocks, blocks, block, block)
    blocks = blocks.permute(0, 2, 3, 4, 5, 1).flatten(3)
    for limit in (0.2, math.inf):
        blocks = (blocks / (blocks.square().sum(-1, keepdim=True) + 1e-10).sqrt()).clamp(max=limit)
    return blocks.flatten(1)


def _varies(maps: torch.Tensor) -> torch.Tensor:
    """Which maps (n, rows, columns) hold numbers that are not all equal, bool (n,)."""
    return maps.isfinite().all(dim=(1, 2)) & (maps.amax((1, 2)) > maps.amin((1, 2)))
