from math import comb

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from naive import cut, normalize
from sklearn_kmfeat._core.patches import PatchGrid
from sklearn_kmfeat._inputs.arrays import ArraySource
from sklearn_kmfeat._inputs.lists import ListSource
from sklearn_kmfeat._inputs.locations import Locations
from sklearn_kmfeat._inputs.sampling import (
    cut_patches,
    draw_locations,
    even_counts,
    images_per_batch,
    patch_grid,
)

GRID = PatchGrid((2, 3), (1, 2))
CPU = torch.device("cpu")


@pytest.fixture(params=["array", "list"])
def images(request, rng):
    if request.param == "array":
        return ArraySource(rng.rand(6, 5, 7, 3), (5, 7, 3))
    sizes = [(5, 7), (2, 3), (5, 7), (4, 9), (2, 3), (6, 3)]
    return ListSource([rng.rand(*size, 3) for size in sizes], 3)


def arrays_of(images):
    return images.data if isinstance(images, ArraySource) else images.images


def all_patches(images):
    return [cut(image[None], *GRID).reshape(-1, 18) for image in arrays_of(images)]


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


def of_each(locations):
    """The locations of each image."""
    return np.split(locations.places, locations.ends[:-1])


def at(*places):
    """Locations, given those of each image."""
    places = [np.array(each, dtype=int) for each in places]
    return Locations(np.concatenate(places), np.array([len(each) for each in places]))


@pytest.mark.parametrize("seed", range(5))
def test_locations_are_different_and_in_order(seed):
    available = np.array([10, 5, 1000, 7, 1, 0, 1000, 9])
    counts = np.array([3, 5, 400, 0, 1, 0, 999, 5])
    locations = draw_locations(available, counts, np.random.RandomState(seed))
    assert locations.places.dtype == np.int64
    np.testing.assert_array_equal(locations.counts, counts)
    for places, n, count in zip(of_each(locations), available, counts, strict=True):
        assert len(places) == count
        assert (np.diff(places) > 0).all()
        assert ((places >= 0) & (places < n)).all()


def test_locations_without_a_choice_are_literal(rng):
    state = rng.get_state()[1].copy()
    locations = draw_locations(np.array([3, 4, 2]), np.array([3, 0, 2]), rng)
    assert [places.tolist() for places in of_each(locations)] == [[0, 1, 2], [], [0, 1]]
    np.testing.assert_array_equal(rng.get_state()[1], state)  # nothing was drawn


def test_locations_of_no_image(rng):
    none = np.array([], dtype=int)
    locations = draw_locations(none, none, rng)
    assert len(locations.places) == len(locations.counts) == 0


@pytest.mark.parametrize(("n", "count"), [(6, 1), (6, 2), (6, 3), (6, 4), (5, 4)])
def test_every_choice_of_locations_is_equally_likely(n, count, rng):
    """Also of images that lie between others with fewer or more."""
    n_images = 40_000
    available, counts = np.tile([n, 3, 9], n_images), np.tile([count, 1, 8], n_images)
    chosen = draw_locations(available, counts, rng)
    chosen = np.array(of_each(chosen)[::3])
    choices = np.unique(chosen, axis=0, return_counts=True)[1]
    assert len(choices) == comb(n, count)
    assert chisquare(choices).pvalue > 1e-3


def test_locations_as_naive_draws_find_them(rng):
    """Each image takes from a sequence of draws until it has enough different ones."""
    available, counts = np.array([8, 40, 3, 12]), np.array([4, 20, 1, 6])
    again = np.random.RandomState(0)
    expected = [set() for _ in counts]
    while any(len(places) < count for places, count in zip(expected, counts, strict=True)):
        for places, n, count in zip(expected, available, counts, strict=True):
            places |= {again.randint(n) for _ in range(count - len(places))}
    found = of_each(draw_locations(available, counts, np.random.RandomState(0)))
    assert [places.tolist() for places in found] == [sorted(places) for places in expected]


@pytest.mark.parametrize("batch_bytes", [1, 3000, 10**8])
def test_patches_come_in_the_order_of_the_images(images, rng, batch_bytes):
    patches = all_patches(images)
    available = np.array([len(rows) for rows in patches])
    counts = np.array([3, 0, 12, 2, 1, 0])
    locations = draw_locations(available, np.minimum(counts, available), rng)
    [found] = cut_patches(images, GRID, locations, CPU, batch_bytes=batch_bytes)
    expected = [rows[places] for rows, places in zip(patches, of_each(locations), strict=True)]
    np.testing.assert_array_equal(found, np.concatenate(expected))
    assert found.dtype == torch.float64


def test_every_patch(images):
    patches = all_patches(images)
    locations = at(*(range(len(rows)) for rows in patches))
    [found] = cut_patches(images, GRID, locations, CPU)
    np.testing.assert_array_equal(found, np.concatenate(patches))


def test_contrast_of_the_whole_image_comes_first(images):
    normal = [normalize(image.ravel(), 0.01).reshape(image.shape) for image in arrays_of(images)]
    copies = [image.copy() for image in arrays_of(images)]
    locations = at(*[[0]] * 6)
    [found] = cut_patches(images, GRID, locations, CPU, image_eps=0.01)
    expected = [cut(image[None], *GRID).reshape(-1, 18)[0] for image in normal]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    for image, copy in zip(arrays_of(images), copies, strict=True):
        np.testing.assert_array_equal(image, copy)


def test_each_batch_is_reported(images):
    calls = []
    locations = at(*[[0]] * 5, [])
    options = {"on_batch": lambda: calls.append(1), "batch_bytes": 1}
    cut_patches(images, GRID, locations, CPU, **options)
    assert len(calls) == 5


@pytest.mark.parametrize(("dtype", "size"), [(np.uint8, 4), (np.float32, 4), (np.float64, 8)])
def test_images_per_batch(dtype, size):
    images = ArraySource(np.zeros((1, 10, 10, 3), dtype), (10, 10, 3))
    n_images = images_per_batch(images, 7 * size * 300 + 1)
    assert n_images((10, 10)) == 7
    assert n_images((1000, 1000)) == 1


# The grid of patches


def sources_of(*shapes):
    if len(set(shapes)) == 1:
        return ArraySource(np.zeros((len(shapes), *shapes[0])), shapes[0])
    return ListSource([np.zeros(shape) for shape in shapes], shapes[0][2])


def test_patch_grid():
    grid = patch_grid(6, (1, 2), sources_of((8, 9, 3), (8, 9, 3)))
    assert grid == PatchGrid((6, 6), (1, 2))
    assert grid.map_size((8, 9)) == (3, 2)


@pytest.mark.parametrize(
    ("size", "stride", "expected"),
    [(6, 1, (27, 27)), (32, 1, (1, 1)), ((1, 32), (5, 1), (7, 1)), (3, 7, (5, 5)), (6, 40, (1, 1))],
)
def test_map_size_of_32_pixels(size, stride, expected):
    assert patch_grid(size, stride, sources_of((32, 32, 3))).map_size((32, 32)) == expected


def test_ready_patches_have_one_location():
    grid = patch_grid(6, 2, ArraySource(np.zeros((1, 50)), (1, 1, 50), ready=True))
    assert grid.map_size((1, 1)) == (1, 1)


@pytest.mark.parametrize("size", [9, (9, 1), (1, 10)])
def test_a_patch_larger_than_the_images(size):
    with pytest.raises(ValueError, match=r"larger than an image of size \(8, 9\)\.$"):
        patch_grid(size, 1, sources_of((8, 9, 3)))


def test_a_patch_larger_than_one_image_of_a_list():
    images = sources_of((8, 9, 3), (10, 10, 3), (5, 9, 3), (4, 4, 3))
    assert patch_grid(4, 1, images).size == (4, 4)
    with pytest.raises(ValueError, match=r"of size \(5, 9\) \(image 2 of the list\)"):
        patch_grid(6, 1, images)


def test_channels_first_are_guessed():
    with pytest.raises(ValueError, match="Channels come last here"):
        patch_grid(6, 1, sources_of((3, 32, 32)))
    with pytest.raises(ValueError, match=r"size \(3, 32\)\.$"):
        patch_grid(6, 1, sources_of((3, 32, 1)))
