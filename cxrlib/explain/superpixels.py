"""The parts of an image that LIME and KernelSHAP hide: a regular grid, or any label map."""

import torch


def grid_superpixels(size: tuple[int, int], cells: int = 7) -> torch.Tensor:
    """A regular grid of cells x cells rectangles, of sides that differ by one pixel at most.

    Args:
        size: height and width of the image.
        cells: along each side; at most one for each pixel.

    Returns:
        Labels, int64 (h, w), 0 .. number of superpixels - 1.

    Raises:
        ValueError: there is no cell.

    >>> grid_superpixels((2, 5), cells=2).tolist()
    [[0, 0, 0, 1, 1], [2, 2, 2, 3, 3]]
    """
    if cells < 1:
        raise ValueError(f"superpixels: cells={cells} must be at least 1")
    across = [min(cells, side) for side in size]
    rows, columns = (torch.arange(side) * number // side for side, number in zip(size, across, strict=True))
    return rows[:, None] * across[1] + columns


def labels_of(
    images: torch.Tensor, superpixels: torch.Tensor | None = None, cells: int = 7
) -> list[tuple[torch.Tensor, int]]:
    """Superpixels of each image, numbered without gaps.

    Args:
        images: (n, c, h, w).
        superpixels: a label map (h, w) for all images, or one for each (n, h, w), of whole numbers, e.g. from
            `skimage.segmentation.slic`; a regular grid when None.
        cells: as in `grid_superpixels`.

    Returns:
        For each image labels, int64 (h, w) on the device of the images, and the number of its superpixels. Images that
        share a label map share one tensor.

    Raises:
        ValueError: the label map is not of the images' size or not of whole numbers.

    >>> [(labels, count)] = labels_of(torch.zeros(1, 1, 1, 3), torch.tensor([[5, 9, 5]]))
    >>> labels.tolist(), count
    ([[0, 1, 0]], 2)
    """
    size = (images.shape[2], images.shape[3])
    given = grid_superpixels(size, cells) if superpixels is None else torch.as_tensor(superpixels)
    if tuple(given.shape) not in {size, (len(images), *size)}:
        raise ValueError(
            f"superpixels: the label map has shape {tuple(given.shape)}; give {size} for all images, or one such map "
            f"for each of the {len(images)} images"
        )
    if given.is_floating_point() or given.is_complex():
        raise ValueError(f"superpixels: labels are {given.dtype}; give whole numbers, one for each superpixel")
    maps = []
    for one in given[None] if given.ndim == 2 else given:
        values, labels = torch.unique(one, return_inverse=True)
        maps.append((labels.to(images.device), len(values)))
    return maps * len(images) if given.ndim == 2 else maps


def hidden_pixels(present: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The pixels that are hidden where only some superpixels are present.

    Args:
        present: bool (samples, superpixels).
        labels: int64 (h, w).

    Returns:
        bool (samples, h, w), true where a pixel is hidden.

    >>> hidden_pixels(torch.tensor([[True, False]]), torch.tensor([[0, 1, 1]])).int().tolist()
    [[[0, 1, 1]]]
    """
    return ~present.to(labels.device)[:, labels]
