import numpy as np
import pytest
import torch

from naive import cut, normalize
from sklearn_kmfeat._inputs import sampling
from sklearn_kmfeat._inputs.geometry import PatchGrid
from sklearn_kmfeat._inputs.images import Images
from sklearn_kmfeat._inputs.sampling import batch_size, cut_patches, draw_locations, even_counts

GRID = PatchGrid((2, 3), (1, 2))


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture(params=["array", "list"])
def images(request, rng):
    if request.param == "array":
        return Images(rng.rand(6, 5, 7, 3), (5, 7, 3), 3, torch.float64)
    sizes = [(5, 7), (2, 3), (5, 7), (4, 9), (2, 3), (6, 3)]
    return Images([rng.rand(*size, 3) for size in sizes], None, 3, torch.float64)


def all_patches(images):
    return [cut(image[None], *GRID).reshape(-1, 18) for image in images.data]


@pytest.mark.parametrize("total", [1, 7, 10, 23, 40, 63, 64, 65, 10**6])
def test_even_counts(total, rng):
    available = np.array([10, 1, 20, 3, 10, 20])
    counts = even_counts(available, total, rng)
    assert counts.sum() == min(total, 64)
    assert (counts <= available).all()
    assert (counts >= 0).all()
    room = counts[counts < available]  # who could give more gives no less than another
    if len(room):
        assert counts.max() <= room.min() + 1


def test_even_counts_are_literal_where_nothing_is_drawn(rng):
    assert even_counts(np.array([9, 9, 9]), 6, rng).tolist() == [2, 2, 2]
    assert even_counts(np.array([1, 9, 9]), 7, rng).tolist() == [1, 3, 3]
    assert even_counts(np.array([1, 2, 9]), 10, rng).tolist() == [1, 2, 7]


def test_even_counts_leave_their_argument_alone(rng):
    available = np.array([4, 5])
    even_counts(available, 3, rng)
    assert available.tolist() == [4, 5]


def test_fewer_patches_than_images_come_from_any_image():
    times = sum(even_counts(np.full(10, 5), 3, np.random.RandomState(i)) for i in range(300))
    assert times.sum() == 900
    assert 60 < times.min() <= times.max() < 120


def test_locations_are_different_and_in_order(rng):
    available, counts = np.array([10, 5, 1000, 7, 1]), np.array([3, 5, 400, 0, 1])
    for places, n, count in zip(
        draw_locations(available, counts, rng), available, counts, strict=True
    ):
        assert len(places) == count
        assert (np.diff(places) > 0).all()
        assert ((places >= 0) & (places < n)).all()


def test_every_location_is_drawn_equally_often():
    times = np.zeros(10)
    for i in range(500):
        places = draw_locations(np.array([10]), np.array([3]), np.random.RandomState(i))[0]
        times[places] += 1
    assert 110 < times.min() <= times.max() < 190


@pytest.mark.parametrize("batch_bytes", [1, 3000, 10**8])
def test_patches_come_in_the_order_of_the_images(images, rng, batch_bytes, monkeypatch):
    monkeypatch.setattr(sampling, "_BATCH_BYTES", batch_bytes)
    patches = all_patches(images)
    available = np.array([len(rows) for rows in patches])
    counts = np.array([3, 0, 12, 2, 1, 0])
    locations = draw_locations(available, np.minimum(counts, available), rng)
    found = cut_patches(images, GRID, locations, torch.device("cpu"))
    expected = [rows[places] for rows, places in zip(patches, locations, strict=True)]
    np.testing.assert_array_equal(found, np.concatenate(expected))
    assert found.dtype == torch.float64


def test_every_patch(images):
    patches = all_patches(images)
    locations = [np.arange(len(rows)) for rows in patches]
    found = cut_patches(images, GRID, locations, torch.device("cpu"))
    np.testing.assert_array_equal(found, np.concatenate(patches))


def test_contrast_of_the_whole_image_comes_first(images):
    normal = [normalize(image.ravel(), 0.01).reshape(image.shape) for image in images.data]
    copies = [image.copy() for image in images.data]
    locations = [np.array([0])] * 6
    found = cut_patches(images, GRID, locations, torch.device("cpu"), image_eps=0.01)
    expected = [cut(image[None], *GRID).reshape(-1, 18)[0] for image in normal]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    for image, copy in zip(images.data, copies, strict=True):
        np.testing.assert_array_equal(image, copy)


def test_batches_are_told(images, monkeypatch):
    monkeypatch.setattr(sampling, "_BATCH_BYTES", 1)
    told = []
    locations = [np.array([0])] * 5 + [np.array([], dtype=int)]
    cut_patches(images, GRID, locations, torch.device("cpu"), on_batch=lambda: told.append(1))
    assert len(told) == 5


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.float64, 8)])
def test_batch_size(dtype, size, monkeypatch):
    images = Images(np.zeros((1, 10, 10, 3)), (10, 10, 3), 3, dtype)
    monkeypatch.setattr(sampling, "_BATCH_BYTES", 7 * size * 300 + 1)
    assert batch_size(images)((10, 10)) == 7
    assert batch_size(images)((1000, 1000)) == 1
