import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from sklearn_kmfeat._inputs.arrays import ArraySource
from sklearn_kmfeat.displays._thumbnails import LARGEST_SIDE, as_images, natural_size, thumbnails

BYTES = np.random.RandomState(0).randint(0, 256, (7, 4, 6, 3)).astype(np.uint8)
CHOSEN = np.array([5, 0, 5, 2])


class Images(Dataset):
    """Items (C, H, W) in 0..1, which note that they were read."""

    def __init__(self, images):
        self.images, self.read = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.read.append(i)
        return torch.from_numpy(self.images[i] / 255.0).movedim(-1, 0), 0


class Counted:
    """An array on disk, of which it is known what was read."""

    def __init__(self, data):
        self.data, self.read = data, []
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        self.read.extend(index.tolist())
        return self.data[index]


FORMS = {
    "array": lambda: BYTES,
    "read-only": lambda: np.frombuffer(BYTES.tobytes(), np.uint8).reshape(BYTES.shape),
    "tensor": lambda: torch.from_numpy(BYTES.copy()),
    "list": lambda: list(BYTES),
    "tuple of tensors": lambda: tuple(torch.from_numpy(BYTES.copy())),
    "object array": lambda: np.array([*BYTES, None], dtype=object)[:-1],
    "PIL images": lambda: [Image.fromarray(image) for image in BYTES],
    "nested lists": lambda: (BYTES / 255).tolist(),
    "float32": lambda: (BYTES / 255).astype(np.float32),
    "bfloat16": lambda: torch.from_numpy(np.round(BYTES / 255)).to(torch.bfloat16),
    "Dataset": lambda: Images(BYTES),
    "source": lambda: ArraySource(BYTES, BYTES.shape[1:]),
    "on disk": lambda: Counted(BYTES),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(form):
    expected = BYTES[CHOSEN] / 255
    expected = np.round(expected) if form == "bfloat16" else expected
    np.testing.assert_allclose(thumbnails(FORMS[form](), CHOSEN, (4, 6)), expected, atol=1e-6)
    assert natural_size(as_images(FORMS[form]())) == (4, 6)
    assert len(as_images(FORMS[form]())) == 7


def test_h5py(tmp_path):
    with h5py.File(tmp_path / "images.h5", "w") as file:
        stored = file.create_dataset("X", data=BYTES)
        rows = file.create_dataset("rows", data=BYTES.reshape(7, -1))
        np.testing.assert_array_equal(thumbnails(stored, CHOSEN, (4, 6)), BYTES[CHOSEN] / 255)
        found = thumbnails(rows, CHOSEN, (4, 6), image_shape=(4, 6, 3))
        np.testing.assert_array_equal(found, BYTES[CHOSEN] / 255)


@pytest.mark.parametrize(
    "make", [np.asarray, pd.DataFrame, torch.from_numpy, list, np.ndarray.tolist]
)
def test_rows(make):
    rows = BYTES.reshape(7, -1) / 255
    found = thumbnails(make(rows), CHOSEN, (4, 6), image_shape=(4, 6, 3))
    np.testing.assert_array_equal(found, BYTES[CHOSEN] / 255)
    with pytest.raises(ValueError, match=r"Rows of 72 values need an image_shape .* got \(4, 6\)"):
        thumbnails(make(rows), CHOSEN, (4, 6), image_shape=(4, 6))


def test_only_what_is_drawn_is_read_and_once():
    stored, dataset = Counted(BYTES), Images(BYTES)
    thumbnails(stored, CHOSEN, (4, 6), block_bytes=1)
    assert stored.read == [0, 2, 5]
    flat = Counted(BYTES.reshape(7, -1))
    thumbnails(flat, CHOSEN, (4, 6), image_shape=(4, 6, 3))
    assert flat.read == [0, 2, 5]
    source = as_images(dataset)
    assert natural_size(source) == (4, 6)
    dataset.read.clear()
    thumbnails(source, CHOSEN, (4, 6))
    assert dataset.read == [0, 2, 5]


def test_sides_stay_in_proportion():
    wide, tall = np.full((2, 8), 0.25), np.full((12, 3), 0.75)
    found = thumbnails([wide, tall], [0, 1], (4, 4))
    expected = np.full((2, 4, 4), np.nan)
    expected[0, 1:2] = 0.25
    expected[1, :, 1:2] = 0.75
    np.testing.assert_allclose(found, expected)


def test_smaller_images_are_averages():
    image = np.array([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    (found,) = thumbnails([np.kron(image, np.ones((8, 8)))], [0], (2, 4))
    np.testing.assert_allclose(found[:, [0, 3]], [[0, 1], [0, 1]], atol=1e-6)
    (found,) = thumbnails([np.tile([[0.0, 1.0]], (8, 4))], [0], (1, 1))
    np.testing.assert_allclose(found, 0.5)


def test_large_images():
    ramp = np.linspace(0, 1, 3000)[:, np.newaxis] * np.ones((1, 1500))
    (found,) = thumbnails(ramp[np.newaxis], [0], (10, 10))
    np.testing.assert_array_equal(np.isnan(found[0]), [True] * 2 + [False] * 5 + [True] * 3)
    expected = (np.arange(10) + 0.5) / 10
    np.testing.assert_allclose(found[:, 2:7], np.tile(expected, (5, 1)).T, atol=0.02)
    np.testing.assert_allclose(thumbnails([np.ones((1, 5000))], [0], (4, 4))[0, 1], 1)


def test_natural_size():
    assert natural_size(as_images([np.ones((4, 9)), np.ones((6, 5)), np.ones((8, 7))])) == (6, 7)
    assert natural_size(as_images(np.ones((2, 1280, 640)))) == (LARGEST_SIDE, LARGEST_SIDE // 2)
    assert natural_size(as_images(np.ones((2, 1280, 1)))) == (LARGEST_SIDE, 1)


def test_grey_beside_colour():
    grey = BYTES[0, :, :, 0]
    found = thumbnails([BYTES[1], grey, grey[..., np.newaxis]], [0, 1, 2], (4, 6))
    np.testing.assert_array_equal(found[0], BYTES[1] / 255)
    np.testing.assert_array_equal(found[1], np.stack([grey / 255] * 3, axis=2))
    np.testing.assert_array_equal(found[2], found[1])
    assert thumbnails([grey, grey], [0], (4, 6)).shape == (1, 4, 6)


def test_bytes_beside_others_keep_their_scale():
    levels = np.array([[100, 300], [500, 700]])
    found = thumbnails([np.full((2, 2), 51, np.uint8), levels, levels + 200], [0, 1, 2], (2, 2))
    np.testing.assert_allclose(found[0], 0.2)
    np.testing.assert_allclose(found[1:], (np.stack([levels, levels + 200]) - 100) / 800)


@pytest.mark.parametrize("make", [np.asarray, list, torch.from_numpy])
def test_what_is_no_number_is_blank(make):
    images = np.arange(48.0).reshape(2, 4, 2, 3)
    images[0, 1, 1, 2] = np.nan
    images[1, 0, 0] = np.inf
    found = thumbnails(make(images.copy()), [0, 1], (4, 2))
    expected = images / 47
    expected[0, 1, 1] = expected[1, 0, 0] = np.nan
    np.testing.assert_allclose(found, expected)
    assert np.isnan(thumbnails(make(np.full((1, 2, 2), np.nan)), [0], (2, 2))).all()


def test_blank_pixels_do_not_spread_when_resized():
    image = np.full((8, 8), 0.5)
    image[:4, :4] = np.nan
    (found,) = thumbnails([image], [0], (2, 2))
    np.testing.assert_allclose(found, [[np.nan, 0.5], [0.5, 0.5]])


def test_input_is_not_changed():
    images = np.random.RandomState(0).randn(3, 4, 4, 3)
    images[1, 2] = np.nan
    before = images.copy()
    for X in (images, list(images), torch.from_numpy(images)):
        thumbnails(X, [0, 1], (4, 4))
        thumbnails(X, [0, 1], (2, 2))
    np.testing.assert_array_equal(images, before)


def test_bands():
    images = np.random.RandomState(0).rand(3, 4, 4, 8)
    found = thumbnails(images, [1], (4, 4), bands=(7, 3, 1))
    np.testing.assert_array_equal(found[0], images[1][..., [7, 3, 1]])
    for band in (2, (2,), np.int64(2)):
        np.testing.assert_array_equal(
            thumbnails(images, [1], (4, 4), bands=band)[0], images[1, ..., 2]
        )
    np.testing.assert_allclose(thumbnails(images, [1], (4, 4))[0], images[1].mean(axis=2))
    grey = thumbnails(images[..., 0], [1], (4, 4), bands=(0, 0, 0))
    np.testing.assert_array_equal(grey[0], np.stack([images[1, ..., 0]] * 3, axis=2))
    for bands in (8, -1, (1, 2), (7, 3, 8), (), "red", (0.0, 1.0, 2.0)):
        with pytest.raises(ValueError, match=r"from 0 to 7, as the images have 8 channels; got "):
            thumbnails(images, [1], (4, 4), bands=bands)
    with pytest.raises(ValueError, match="the images have one channel; got 1"):
        thumbnails(images[..., 0], [1], (4, 4), bands=1)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones((2, 3, 4, 5, 6)), ValueError, "Images of shape"),
        (np.ones((2, 0, 4)), ValueError, "Images of shape"),
        ([np.ones((2, 2)), np.ones(2)], ValueError, r"got \(1, 2\)"),
        (np.ones(5), ValueError, r"got \(5,\)"),
    ],
)
def test_errors(X, error, message):
    with pytest.raises(error, match=message):
        as_images(X)
