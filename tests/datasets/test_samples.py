import hashlib
from importlib.resources import files

import numpy as np
import pytest

from sklearn_kmfeat.datasets import load_cifar10_sample, load_mnist_sample
from sklearn_kmfeat.datasets._samples import CIFAR10_NAMES, split_mosaic

SAMPLES = {
    load_mnist_sample: {
        "shape": (10_000, 28, 28),
        "names": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "images": "2c44a0a1f720eab3c5e530e1ad302746623485e71e2716c400870ac64a141ca2",
        "target": "ef62d1ff86af68a84fdc181735f2e70068f8190999c2bf8efc55e90a74232927",
    },
    load_cifar10_sample: {
        "shape": (2_000, 32, 32, 3),
        "names": list(CIFAR10_NAMES),
        "images": "35f2acc40d36f252f5262b79071bdb5683da660e01399e028251187888f4da80",
        "target": "6c5d3a824160393c72676294e3b845968c0a594ae50f3fceaa24abb4be7c8b2a",
    },
}


@pytest.mark.parametrize(("load", "expected"), SAMPLES.items())
def test_sample(load, expected):
    data = load()
    assert data.images.shape == expected["shape"]
    assert data.images.dtype == np.uint8
    assert data.images.flags.c_contiguous
    assert data.images.flags.writeable
    assert data.target.dtype == np.int64
    assert data.target_names.tolist() == expected["names"]
    np.testing.assert_array_equal(np.bincount(data.target), len(data.images) // 10)
    assert hashlib.sha256(data.images).hexdigest() == expected["images"]
    assert hashlib.sha256(data.target.astype(np.uint8)).hexdigest() == expected["target"]
    assert "drawn at random" in data.DESCR


@pytest.mark.parametrize("load", SAMPLES)
def test_return_X_y_and_independent_copies(load):
    data = load()
    images, target = load(return_X_y=True)
    np.testing.assert_array_equal(images, data.images)
    np.testing.assert_array_equal(target, data.target)
    images[:] = 0
    assert load().images.any()


@pytest.mark.parametrize("load", SAMPLES)
def test_the_first_tenth_is_a_sample_too(load):
    target = load().target
    share = np.bincount(target[: len(target) // 10]) / (len(target) // 10)
    assert np.abs(share - 0.1).max() < 0.05


def test_the_files_stay_small():
    folder = files("sklearn_kmfeat.datasets") / "data"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 6e6


@pytest.mark.parametrize("channels", [(), (3,)])
def test_split_mosaic(channels):
    images = np.arange(6 * 4 * 5 * (3 if channels else 1)).reshape(6, 4, 5, *channels)
    mosaic = np.concatenate(
        [np.concatenate(list(images[row : row + 3]), axis=1) for row in (0, 3)], axis=0
    )
    np.testing.assert_array_equal(split_mosaic(mosaic, (4, 5, *channels)), images)
