import pytest
import torch

from cxrlib.explain.superpixels import grid_superpixels, labels_of


def test_a_grid_has_sides_that_differ_by_one_pixel():
    labels = grid_superpixels((23, 16), cells=7)
    assert labels.unique().tolist() == list(range(49))
    for label in range(49):
        rows, columns = (labels == label).nonzero().T
        assert len(rows) == len(rows.unique()) * len(columns.unique())
        assert len(rows.unique()) in {3, 4} and len(columns.unique()) in {2, 3}


def test_a_grid_has_no_more_cells_than_pixels():
    assert grid_superpixels((2, 3), cells=7).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_each_image_may_have_superpixels_of_its_own():
    images = torch.zeros(2, 1, 1, 4)
    (first, two), (second, three) = labels_of(images, torch.tensor([[[7, 7, -1, 7]], [[0, 5, 9, 9]]]))
    assert (first.tolist(), two) == ([[1, 1, 0, 1]], 2)
    assert (second.tolist(), three) == ([[0, 1, 2, 2]], 3)


def test_images_share_a_label_map():
    maps = labels_of(torch.zeros(3, 1, 4, 4), cells=2)
    assert [count for _, count in maps] == [4] * 3 and all(labels is maps[0][0] for labels, _ in maps)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(4, 3, dtype=int), r"shape \(4, 3\); give \(3, 4\) for all images"),
        (torch.zeros(3, 3, 4, dtype=int), r"shape \(3, 3, 4\); .* each of the 2 images"),
        (torch.zeros(3, 4), "labels are torch.float32; give whole numbers"),
    ],
)
def test_a_label_map_that_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        labels_of(torch.zeros(2, 1, 3, 4), given)


def test_no_cell_is_refused():
    with pytest.raises(ValueError, match="cells=0 must be at least 1"):
        grid_superpixels((3, 4), cells=0)
