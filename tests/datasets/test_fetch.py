import importlib.util
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, STL10, cifar

from sklearn_kmfeat.datasets import (
    fetch_cifar10,
    fetch_mnist,
    fetch_stl10,
    load_cifar10_sample,
    load_mnist_sample,
)

FULL_DATA = os.environ.get("SKLEARN_KMFEAT_DATA")


@pytest.fixture(autouse=True)
def empty_data_home(monkeypatch, tmp_path):
    monkeypatch.delenv("SKLEARN_KMFEAT_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit_learn_data"))


def pixels(seed, shape):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


@pytest.fixture
def mnist_home(tmp_path):
    """MNIST of 5 training and 3 test images; the labels are 0, 1, ..."""
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for seed, (name, n) in enumerate([("train", 5), ("t10k", 3)]):
        sizes = np.array([n, 28, 28], dtype=">i4").tobytes()
        images = bytes([0, 0, 8, 3]) + sizes + pixels(seed, (n, 28, 28)).tobytes()
        labels = bytes([0, 0, 8, 1]) + sizes[:4] + bytes(range(n))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    return tmp_path / "data"


@pytest.fixture
def cifar10_home(tmp_path, monkeypatch):
    """CIFAR-10 of 5 x 2 training and 2 test images."""
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(cifar, "check_integrity", lambda *args: True)
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        batch = {"data": pixels(seed, (2, 3072)), "labels": [seed, 9]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    return tmp_path / "data"


@pytest.fixture
def stl10_home(tmp_path, monkeypatch):
    """STL-10 of 2 images a part."""
    monkeypatch.setattr(STL10, "_check_integrity", lambda self: True)
    folder = tmp_path / "data" / "stl10_binary"
    folder.mkdir(parents=True)
    for seed, name in enumerate(["train", "test", "unlabeled"]):
        (folder / f"{name}_X.bin").write_bytes(pixels(seed, (2, 3, 96, 96)).tobytes())
    for name in ("train", "test"):
        (folder / f"{name}_y.bin").write_bytes(bytes([1, 10]))
    return tmp_path / "data"


def test_mnist(mnist_home):
    data = fetch_mnist(data_home=mnist_home)
    np.testing.assert_array_equal(data.images, pixels(0, (5, 28, 28)))
    assert data.images.dtype == np.uint8
    assert data.target.tolist() == [0, 1, 2, 3, 4]
    assert data.target.dtype == np.int64
    assert data.target_names.tolist() == list("0123456789")
    assert data.DESCR.startswith("MNIST")


def test_cifar10(cifar10_home):
    data = fetch_cifar10(data_home=cifar10_home)
    first = pixels(0, (2, 3, 32, 32))
    np.testing.assert_array_equal(data.images[:2], first.transpose(0, 2, 3, 1))
    assert data.images.shape == (10, 32, 32, 3)
    assert data.images.dtype == np.uint8
    assert data.target.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert data.target_names[[0, 9]].tolist() == ["airplane", "truck"]


def test_stl10(stl10_home):
    data = fetch_stl10(data_home=stl10_home)
    # torchvision stores columns before rows, as MATLAB does
    np.testing.assert_array_equal(data.images, pixels(0, (2, 3, 96, 96)).transpose(0, 3, 2, 1))
    assert data.target.tolist() == [0, 9]
    assert data.target_names[[0, 9]].tolist() == ["airplane", "truck"]
    unlabeled = fetch_stl10(data_home=stl10_home, subset="unlabeled")
    assert unlabeled.images.shape == (2, 96, 96, 3)
    assert unlabeled.target.tolist() == [-1, -1]


def test_subsets(mnist_home, cifar10_home):
    for fetch in (fetch_mnist, fetch_cifar10):
        parts = [fetch(data_home=mnist_home, subset=s) for s in ("train", "test")]
        images, target = fetch(data_home=mnist_home, subset="all", return_X_y=True)
        np.testing.assert_array_equal(images, np.concatenate([p.images for p in parts]))
        np.testing.assert_array_equal(target, np.concatenate([p.target for p in parts]))


def test_data_home_from_the_variable_then_from_scikit_learn(mnist_home, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(mnist_home))
    assert len(fetch_mnist().images) == 5
    monkeypatch.setenv("SKLEARN_KMFEAT_DATA", str(mnist_home / "elsewhere"))
    with pytest.raises(OSError, match="elsewhere"):
        fetch_mnist()
    assert len(fetch_mnist(data_home=str(mnist_home)).images) == 5


@pytest.mark.parametrize("fetch", [fetch_mnist, fetch_cifar10, fetch_stl10])
def test_missing_data(fetch, tmp_path):
    with pytest.raises(OSError, match=r"empty.*download_if_missing=True.*SKLEARN_KMFEAT_DATA"):
        fetch(data_home=tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10", "STL10"])
def test_missing_data_are_downloaded_when_asked(name, monkeypatch, tmp_path):
    asked = []

    class Downloaded:
        data = torch.zeros(1, 28, 28) if name == "MNIST" else np.zeros((1, 3, 8, 8))
        targets = torch.zeros(1) if name == "MNIST" else [0]
        labels = (0,)

        def __init__(self, root, *, download, **options):
            asked.append((root, download))
            if not download:
                raise RuntimeError("Dataset not found")

    monkeypatch.setattr(f"torchvision.datasets.{name}", Downloaded)
    fetch = {"MNIST": fetch_mnist, "CIFAR10": fetch_cifar10, "STL10": fetch_stl10}[name]
    fetch(data_home=tmp_path, download_if_missing=True)
    assert asked == [(tmp_path, False), (tmp_path, True)]


@pytest.mark.parametrize("fetch", [fetch_mnist, fetch_cifar10, fetch_stl10])
def test_unknown_subset(fetch):
    with pytest.raises(ValueError, match="subset must be one of"):
        fetch(subset="validation")


def test_global_generators_are_left_alone(mnist_home):
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    fetch_mnist(data_home=mnist_home)
    load_mnist_sample()
    np.testing.assert_array_equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.skipif(not FULL_DATA, reason="SKLEARN_KMFEAT_DATA names no full data")
@pytest.mark.parametrize(
    ("fetch", "load", "n_per_class"),
    [(fetch_mnist, load_mnist_sample, 1000), (fetch_cifar10, load_cifar10_sample, 200)],
)
def test_the_samples_come_from_the_full_sets(fetch, load, n_per_class):
    script = Path(__file__).parents[2] / "tools" / "make_samples.py"
    spec = importlib.util.spec_from_file_location("make_samples", script)
    make_samples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_samples)
    images, target = fetch(data_home=FULL_DATA, return_X_y=True)
    chosen = make_samples.balanced_sample(target, n_per_class)
    sample = load()
    np.testing.assert_array_equal(sample.images, images[chosen])
    np.testing.assert_array_equal(sample.target, target[chosen])
