import numpy as np
import pytest
import torch

from sklearn_kmfeat._inputs.geometry import PatchGrid, pair, patch_grid, pooling_edges
from sklearn_kmfeat._inputs.images import Images


def images_of(*shapes, ready=False):
    data = [np.zeros(shape) for shape in shapes]
    shape = shapes[0] if len(set(shapes)) == 1 else None
    return Images(data, shape, shapes[0][2], torch.float32, ready)


@pytest.mark.parametrize("value", [3, np.int64(3), (3, 3), [3, 3], np.array([3, 3])])
def test_pair(value):
    assert pair(value, "size") == (3, 3)
    assert all(type(side) is int for side in pair(value, "size"))


def test_pair_of_two_lengths():
    assert pair((2, 5), "size") == (2, 5)


@pytest.mark.parametrize("value", [0, -1, (2, 0), (1, 2, 3), (1,), (2.0, 2.0), (), "ab"])
def test_pair_says_what_is_wrong(value):
    with pytest.raises(ValueError, match="stride must be a positive int or two of them, got"):
        pair(value, "stride")


def test_patch_grid():
    grid = patch_grid(6, (1, 2), images_of((8, 9, 3), (8, 9, 3)))
    assert grid == PatchGrid((6, 6), (1, 2))
    assert grid.map_shape((8, 9)) == (3, 2)


@pytest.mark.parametrize(
    ("size", "stride", "expected"),
    [(6, 1, (27, 27)), (32, 1, (1, 1)), ((1, 32), (5, 1), (7, 1)), (3, 7, (5, 5)), (6, 40, (1, 1))],
)
def test_map_shape_of_32_pixels(size, stride, expected):
    assert patch_grid(size, stride, images_of((32, 32, 3))).map_shape((32, 32)) == expected


def test_ready_patches_have_one_location():
    grid = patch_grid(6, 2, images_of((1, 1, 50), ready=True))
    assert grid.map_shape((1, 1)) == (1, 1)


@pytest.mark.parametrize("size", [9, (9, 1), (1, 10)])
def test_a_patch_larger_than_the_images(size):
    with pytest.raises(ValueError, match=r"larger than an image of size \(8, 9\)\.$"):
        patch_grid(size, 1, images_of((8, 9, 3)))


def test_a_patch_larger_than_one_image_of_a_list():
    images = images_of((8, 9, 3), (10, 10, 3), (5, 9, 3), (4, 4, 3))
    assert patch_grid(4, 1, images).size == (4, 4)
    with pytest.raises(ValueError, match=r"of size \(5, 9\) \(image 2 of the list\)"):
        patch_grid(6, 1, images)


def test_channels_first_are_guessed():
    with pytest.raises(ValueError, match="Channels come last here"):
        patch_grid(6, 1, images_of((3, 32, 32)))
    with pytest.raises(ValueError, match=r"size \(3, 32\)\.$"):
        patch_grid(6, 1, images_of((3, 32, 1)))


@pytest.mark.parametrize(
    ("grid", "window", "expected"),
    [
        ((2, 2), None, ([0, 14, 27], [0, 13, 25])),
        ((1, 3), None, ([0, 27], [0, 9, 17, 25])),
        ((2, 2), (10, 25), ([0, 10, 20, 27], [0, 25])),
        (None, (30, 30), ([0, 27], [0, 25])),
        (None, None, ([*range(28)], [*range(26)])),
        ((27, 25), None, ([*range(28)], [*range(26)])),
    ],
)
def test_pooling_edges(grid, window, expected):
    assert pooling_edges((27, 25), grid, window) == expected


@pytest.mark.parametrize("grid", [(4, 1), (1, 6), (10, 10)])
def test_more_cells_than_locations(grid):
    with pytest.raises(ValueError, match="finer than the map of 3 x 5 locations"):
        pooling_edges((3, 5), grid, None)


def test_number_of_locations():
    grid = PatchGrid((3, 2), (2, 1))
    sizes = np.array([[3, 2], [8, 9], [4, 2]])
    np.testing.assert_array_equal(grid.n_locations(sizes), [1, 24, 1])
