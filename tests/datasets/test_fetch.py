import gzip
import hashlib
import importlib.util
import os
import pickle
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, MNIST, STL10, utils

from sklearn_kmfeat.datasets import (
    fetch_cifar10,
    fetch_mnist,
    fetch_stl10,
    load_cifar10_sample,
    load_mnist_sample,
)
from sklearn_kmfeat.datasets._fetch import _FILES

FULL_DATA = os.environ.get("SKLEARN_KMFEAT_DATA")


@pytest.fixture(autouse=True)
def empty_data_home(monkeypatch, tmp_path):
    monkeypatch.delenv("SKLEARN_KMFEAT_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit_learn_data"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(utils, "_get_redirect_url", fail)
    monkeypatch.setattr(utils, "_urlretrieve", fail)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def expect_these_files(monkeypatch, name, folder):
    """Put the sums of the small files in the place of those of the full set."""
    sums = {file: md5(folder / file) for file in _FILES[name]}
    files = {file: (_FILES[name][file][0], sums[file]) for file in sums}
    monkeypatch.setitem(_FILES, name, files)
    if name == "MNIST":
        return
    torchvision_set = {"CIFAR10": CIFAR10, "STL10": STL10}[name]
    for part in ("train_list", "test_list"):
        part_sums = [[file, sums[file]] for file, _ in getattr(torchvision_set, part)]
        monkeypatch.setattr(torchvision_set, part, part_sums)
    if name == "CIFAR10":
        monkeypatch.setitem(CIFAR10.meta, "md5", sums["batches.meta"])


def pixels(seed, shape):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


@pytest.fixture
def mnist_home(tmp_path, monkeypatch):
    """MNIST of 5 training and 3 test images; the labels are 0, 1, ..."""
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for seed, (name, n) in enumerate([("train", 5), ("t10k", 3)]):
        sizes = np.array([n, 28, 28], dtype=">i4").tobytes()
        images = bytes([0, 0, 8, 3]) + sizes + pixels(seed, (n, 28, 28)).tobytes()
        labels = bytes([0, 0, 8, 1]) + sizes[:4] + bytes(range(n))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    expect_these_files(monkeypatch, "MNIST", folder)
    return tmp_path / "data"


@pytest.fixture
def cifar10_home(tmp_path, monkeypatch):
    """CIFAR-10 of 5 x 2 training and 2 test images."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        batch = {"data": pixels(seed, (2, 3072)), "labels": [seed, 9]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    expect_these_files(monkeypatch, "CIFAR10", folder)
    return tmp_path / "data"


@pytest.fixture
def stl10_home(tmp_path, monkeypatch):
    """STL-10 of 2 images a part."""
    folder = tmp_path / "data" / "stl10_binary"
    folder.mkdir(parents=True)
    for seed, name in enumerate(["train", "test", "unlabeled"]):
        (folder / f"{name}_X.bin").write_bytes(pixels(seed, (2, 3, 96, 96)).tobytes())
    for name in ("train", "test"):
        (folder / f"{name}_y.bin").write_bytes(bytes([1, 10]))
    expect_these_files(monkeypatch, "STL10", folder)
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


DAMAGES = {
    "empty": lambda content: b"",
    "garbage": lambda content: b"<html>404 not found</html>",
    "half": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "longer": lambda content: content + b"\0",
}


def damage(path, how="flipped"):
    path.write_bytes(DAMAGES[how](path.read_bytes()))


def message_of(fetch, **options):
    with pytest.raises(OSError, match="download_if_missing=True") as caught:
        fetch(**options)
    return str(caught.value)


@pytest.mark.parametrize("download_if_missing", [False, True])
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize(
    ("file", "subset", "content"),
    [
        ("train-images-idx3-ubyte", "train", "60,000 images"),
        ("train-labels-idx1-ubyte", "all", "60,000 labels"),
        ("t10k-images-idx3-ubyte", "test", "10,000 images"),
        ("t10k-labels-idx1-ubyte", "all", "10,000 labels"),
    ],
)
def test_mnist_names_the_damaged_file(file, subset, content, how, download_if_missing, mnist_home):
    path = mnist_home / "MNIST" / "raw" / file
    expected = md5(path)
    damage(path, how)
    found, size = md5(path), path.stat().st_size
    message = message_of(
        fetch_mnist,
        data_home=mnist_home,
        subset=subset,
        download_if_missing=download_if_missing,
    )
    assert f"The file {str(path)!r} is damaged" in message
    assert f"expected {content}" in message
    assert f"{expected}, got {size:,} bytes with the md5 sum {found}" in message
    assert "Remove this file and fetch again with download_if_missing=True" in message
    assert md5(path) == found


def test_mnist_labels_for_other_images_are_damaged(mnist_home):
    labels = mnist_home / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 100]) + bytes(100))
    message = message_of(fetch_mnist, data_home=mnist_home)
    assert f"{str(labels)!r} is damaged: expected 60,000 labels" in message
    assert "got 108 bytes" in message


def test_mnist_checks_what_is_asked_for(mnist_home):
    damage(mnist_home / "MNIST" / "raw" / "t10k-images-idx3-ubyte")
    assert len(fetch_mnist(data_home=mnist_home, subset="train").images) == 5
    for subset in ("test", "all"):
        assert "t10k-images" in message_of(fetch_mnist, data_home=mnist_home, subset=subset)


def test_mnist_is_mended_as_the_message_says(mnist_home, monkeypatch):
    folder = mnist_home / "MNIST" / "raw"
    resources = []
    for file in _FILES["MNIST"]:
        archive = folder / f"{file}.gz"
        archive.write_bytes(gzip.compress((folder / file).read_bytes()))
        resources.append((archive.name, md5(archive)))
    monkeypatch.setattr(MNIST, "resources", resources)
    expected = fetch_mnist(data_home=mnist_home).images
    for file in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        damage(folder / file, "half")
    # with one of the files removed, all are unpacked again
    (folder / "train-labels-idx1-ubyte").unlink()
    assert "train-images" in message_of(fetch_mnist, data_home=mnist_home)
    data = fetch_mnist(data_home=mnist_home, download_if_missing=True)
    np.testing.assert_array_equal(data.images, expected)


@pytest.mark.parametrize("how", ["empty", "garbage", "half"])
def test_mnist_of_an_old_torchvision(how, tmp_path):
    folder = tmp_path / "MNIST" / "processed"
    folder.mkdir(parents=True)
    for file, n in (("training.pt", 5), ("test.pt", 3)):
        torch.save((torch.zeros(n, 28, 28, dtype=torch.uint8), torch.arange(n)), folder / file)
    assert fetch_mnist(data_home=tmp_path).target.tolist() == [0, 1, 2, 3, 4]
    damage(folder / "training.pt", how)
    for download_if_missing in (False, True):
        message = message_of(
            fetch_mnist, data_home=tmp_path, download_if_missing=download_if_missing
        )
        assert f"in {str(folder)!r} cannot be read" in message
        assert "Remove this folder" in message


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data_batch_3", "10,000 labeled images"),
        ("test_batch", "10,000 labeled images"),
        ("batches.meta", "the names of 10 classes"),
    ],
)
def test_cifar10_names_the_damaged_file(file, content, how, cifar10_home):
    folder = cifar10_home / "cifar-10-batches-py"
    expected = md5(folder / file)
    damage(folder / file, how)
    remove = f"the folder {str(folder)!r}" if file == "batches.meta" else "this file"
    for download_if_missing in (False, True):
        message = message_of(
            fetch_cifar10, data_home=cifar10_home, download_if_missing=download_if_missing
        )
        assert f"The file {str(folder / file)!r} is damaged: expected {content}" in message
        assert f"{expected}, got {(folder / file).stat().st_size:,} bytes" in message
        assert f"Remove {remove} and fetch again with download_if_missing=True" in message
        assert ("could not be downloaded" in message) == download_if_missing


@pytest.mark.parametrize(
    ("file", "content"), [("train_X.bin", "5,000 images"), ("test_y.bin", "8,000 labels")]
)
def test_stl10_names_the_damaged_file(file, content, stl10_home):
    path = stl10_home / "stl10_binary" / file
    damage(path)
    for download_if_missing in (False, True):
        message = message_of(
            fetch_stl10, data_home=stl10_home, download_if_missing=download_if_missing
        )
        assert f"The file {str(path)!r} is damaged: expected {content}" in message
        assert "Remove this file and fetch again with download_if_missing=True" in message


def test_a_damaged_cifar10_is_unpacked_again(cifar10_home, monkeypatch):
    folder = cifar10_home / "cifar-10-batches-py"
    archive = cifar10_home / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    expected = fetch_cifar10(data_home=cifar10_home).images
    damage(folder / "data_batch_3")
    data = fetch_cifar10(data_home=cifar10_home, download_if_missing=True)
    np.testing.assert_array_equal(data.images, expected)


def test_a_missing_file_is_named(mnist_home, cifar10_home):
    (mnist_home / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    assert "no file 't10k-labels-idx1-ubyte'" in message_of(fetch_mnist, data_home=mnist_home)
    folder = cifar10_home / "cifar-10-batches-py"
    (folder / "batches.meta").unlink()
    message = message_of(fetch_cifar10, data_home=cifar10_home)
    # asking for a download would not bring this file alone
    assert f"The file {str(folder / 'batches.meta')!r} is missing" in message
    assert "Remove the folder" in message


@pytest.mark.parametrize("fetch", [fetch_mnist, fetch_cifar10, fetch_stl10])
def test_a_failed_download(fetch, tmp_path):
    with pytest.raises(OSError, match=r"(?s)could not be downloaded to .*elsewhere.*no network"):
        fetch(data_home=tmp_path / "elsewhere", download_if_missing=True)


@pytest.mark.parametrize("torchvision_set", [CIFAR10, STL10])
def test_the_sums_are_those_of_torchvision(torchvision_set):
    sums = dict(torchvision_set.train_list + torchvision_set.test_list)
    if torchvision_set is CIFAR10:
        sums[CIFAR10.meta["filename"]] = CIFAR10.meta["md5"]
    files = _FILES[torchvision_set.__name__]
    assert {file: expected for file, (_, expected) in files.items()} == sums


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
