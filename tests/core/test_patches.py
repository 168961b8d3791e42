import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from naive import cut
from sklearn_kmfeat._core.patches import (
    PatchGrid,
    all_patches,
    map_size,
    overlap_average,
    patch_columns,
    patches_at,
)

SHAPES = [
    ((5, 6, 1), (1, 1), (1, 1)),
    ((5, 6, 3), (3, 3), (1, 1)),
    ((7, 6, 2), (2, 4), (1, 1)),
    ((8, 9, 3), (3, 2), (2, 3)),
    ((8, 8, 13), (4, 4), (4, 4)),
    ((9, 8, 1), (2, 2), (3, 3)),
    ((4, 5, 3), (4, 5), (1, 2)),
]
DTYPES = [torch.float32, torch.float64]


def numbered(n, shape, dtype=torch.float64):
    """Images in which every value is another one."""
    return torch.arange(n * np.prod(shape), dtype=dtype).reshape(n, *shape)


@pytest.mark.parametrize(("shape", "size", "stride"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_cut_equals_the_loop(shape, size, stride, dtype):
    images = numbered(3, shape, dtype)
    expected = cut(images.numpy(), size, stride)
    assert map_size(shape[:2], size, stride) == expected.shape[1:3]

    view = all_patches(images, PatchGrid(size, stride))
    assert view.shape == (*expected.shape[:3], *size, shape[2])
    assert view.data_ptr() == images.data_ptr()
    np.testing.assert_array_equal(view.flatten(3), expected)

    columns = patch_columns(images, PatchGrid(size, stride))
    assert columns.dtype == dtype
    assert columns.is_contiguous()
    np.testing.assert_array_equal(columns[:-1].T, expected.reshape(-1, expected.shape[3]))
    assert (columns[-1] == 1).all()


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 6)])
def test_order_is_that_of_scikit_learn(shape, size):
    images = np.random.RandomState(0).rand(2, *shape)
    expected = np.concatenate([extract_patches_2d(image, size) for image in images])
    tensor = torch.tensor(images).reshape(2, 5, 6, -1)
    columns = patch_columns(tensor, PatchGrid(size, (1, 1)))
    np.testing.assert_array_equal(columns[:-1].T, expected.reshape(len(expected), -1))


def test_order_inside_a_patch_is_row_column_channel():
    patch = patch_columns(numbered(1, (2, 2, 3)), PatchGrid((2, 2), (1, 1)))[:-1, 0]
    np.testing.assert_array_equal(patch, range(12))
    second = patch_columns(numbered(1, (2, 3, 2)), PatchGrid((2, 2), (1, 1)))[:-1, 1]
    np.testing.assert_array_equal(second, [2, 3, 4, 5, 8, 9, 10, 11])


@pytest.mark.parametrize("n_channels", [1, 3, 13])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_products_with_patches_are_torchs_convolution(n_channels, stride):
    """No order of channels is mixed up, and no kernel turned round."""
    generator = torch.manual_seed(0)
    images = torch.rand(2, 7, 8, n_channels, generator=generator, dtype=torch.float64)
    filters = torch.rand(5, 3, 2, n_channels, generator=generator, dtype=torch.float64)
    responses = filters.flatten(1) @ patch_columns(images, PatchGrid((3, 2), stride))[:-1]
    kernels = filters.permute(0, 3, 1, 2)
    expected = F.conv2d(images.permute(0, 3, 1, 2), kernels, stride=stride)
    found = responses.view(5, 2, *expected.shape[2:]).transpose(0, 1)
    torch.testing.assert_close(found, expected)
    turned = F.conv2d(images.permute(0, 3, 1, 2), kernels.flip(2, 3), stride=stride)
    assert (found - turned).abs().max() > 0.01


@pytest.mark.parametrize(("shape", "size", "stride"), SHAPES)
def test_patches_at_chosen_places(shape, size, stride):
    images = numbered(3, shape)
    expected = cut(images.numpy(), size, stride)
    n_locations = expected.shape[1] * expected.shape[2]
    rng = np.random.RandomState(0)
    image, location = rng.randint(3, size=20), rng.randint(n_locations, size=20)
    found = patches_at(images, torch.tensor(image), torch.tensor(location), PatchGrid(size, stride))
    np.testing.assert_array_equal(found, expected.reshape(3, n_locations, -1)[image, location])


def test_no_places():
    none = torch.empty(0, dtype=torch.int64)
    assert patches_at(numbered(1, (4, 4, 3)), none, none, PatchGrid((2, 2), (1, 1))).shape == (
        0,
        12,
    )


def test_cutting_copies():
    images = numbered(2, (4, 4, 1))
    before = images.clone()
    patch_columns(images, PatchGrid((2, 2), (1, 1))).zero_()
    zero = torch.tensor([0])
    patches_at(images, zero, zero, PatchGrid((4, 4), (1, 1))).zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize(("shape", "size", "stride"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_images_come_back_from_their_patches(shape, size, stride, dtype):
    images = numbered(3, shape, dtype)
    patches = patch_columns(images, PatchGrid(size, stride))[:-1].T
    rebuilt, covered = overlap_average(patches, shape, PatchGrid(size, stride))
    times = np.zeros(shape[:2])
    for i in range(0, shape[0] - size[0] + 1, stride[0]):
        for j in range(0, shape[1] - size[1] + 1, stride[1]):
            times[i : i + size[0], j : j + size[1]] += 1
    np.testing.assert_array_equal(covered, times > 0)
    np.testing.assert_array_equal(rebuilt, images * covered[:, :, None])
    assert rebuilt.dtype == dtype


def test_overlaps_are_averaged():
    patches = torch.tensor([[0.0, 1.0], [3.0, 4.0], [10.0, 20.0]])
    images, covered = overlap_average(patches, (1, 4, 1), PatchGrid((1, 2), (1, 1)))
    np.testing.assert_array_equal(images.ravel(), [0, 2, 7, 20])
    assert covered.all()


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_average_equals_scikit_learn(shape):
    patches = np.random.RandomState(0).rand(3 * 5, 3, 2, *shape[2:])
    expected = reconstruct_from_patches_2d(patches, shape)
    flat = torch.tensor(patches).flatten(1)
    images, _ = overlap_average(flat, (*shape, 1)[:3], PatchGrid((3, 2), (1, 1)))
    np.testing.assert_allclose(images[0].reshape(shape), expected, rtol=1e-12)


def test_number_of_locations():
    grid = PatchGrid((3, 2), (2, 1))
    sizes = np.array([[3, 2], [8, 9], [4, 2]])
    np.testing.assert_array_equal(grid.n_locations(sizes), [1, 24, 1])
