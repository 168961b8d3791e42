"""The full image sets, read from (and downloaded to) where torchvision keeps them."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import get_data_home

from ._samples import CIFAR10_NAMES, MNIST_NAMES, as_result

DATA_HOME_VARIABLE = "SKLEARN_KMFEAT_DATA"

STL10_NAMES = (
    "airplane",
    "bird",
    "car",
    "cat",
    "deer",
    "dog",
    "horse",
    "monkey",
    "ship",
    "truck",
)

_FOLDERS = {"MNIST": "MNIST/raw", "CIFAR10": "cifar-10-batches-py", "STL10": "stl10_binary"}

# What is in each file, and its md5 sum. torchvision knows the sums of MNIST's archives only, and
# reads whatever lies unpacked.
_FILES = {
    "MNIST": {
        "train-images-idx3-ubyte": (
            "60,000 images in 47,040,016 bytes",
            "6bbc9ace898e44ae57da46a324031adb",
        ),
        "train-labels-idx1-ubyte": (
            "60,000 labels in 60,008 bytes",
            "a25bea736e30d166cdddb491f175f624",
        ),
        "t10k-images-idx3-ubyte": (
            "10,000 images in 7,840,016 bytes",
            "2646ac647ad5339dbf082846283269ea",
        ),
        "t10k-labels-idx1-ubyte": (
            "10,000 labels in 10,008 bytes",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    },
    "CIFAR10": {
        "data_batch_1": ("10,000 labeled images", "c99cafc152244af753f735de768cd75f"),
        "data_batch_2": ("10,000 labeled images", "d4bba439e000b95fd0a9bffe97cbabec"),
        "data_batch_3": ("10,000 labeled images", "54ebc095f3ab1f0389bbae665268c751"),
        "data_batch_4": ("10,000 labeled images", "634d18415352ddfa80567beed471001a"),
        "data_batch_5": ("10,000 labeled images", "482c414d41f54cd18b22e5b47cb7c3cb"),
        "test_batch": ("10,000 labeled images", "40351d587109b95175f43aff81a1287e"),
        "batches.meta": ("the names of 10 classes", "5ff9c542aee3614f3951f8cda6e48888"),
    },
    "STL10": {
        "train_X.bin": ("5,000 images", "918c2871b30a85fa023e0c44e0bee87f"),
        "train_y.bin": ("5,000 labels", "5a34089d4802c674881badbb80307741"),
        "unlabeled_X.bin": ("100,000 images", "5242ba1fed5e4be9e1e742405eb56ca4"),
        "test_X.bin": ("8,000 images", "7f263ba9f9e0b06b93213547f721ac82"),
        "test_y.bin": ("8,000 labels", "36f9794fa4beb8a2c72628de14fa638e"),
    },
}

# What torchvision raises on files that are missing or that it cannot make sense of.
_UNREADABLE = (RuntimeError, FileNotFoundError, ValueError, EOFError, pickle.UnpicklingError)

_MNIST_DESCR = """\
MNIST: handwritten digits, 60,000 for training and 10,000 for testing, 28x28 grey levels 0..255.

LeCun, Bottou, Bengio, Haffner (1998). "Gradient-based learning applied to document
recognition." Proceedings of the IEEE 86(11).
"""

_CIFAR10_DESCR = """\
CIFAR-10: colour photographs of ten classes, 50,000 for training and 10,000 for testing, 32x32
RGB values 0..255.

Krizhevsky (2009). "Learning multiple layers of features from tiny images." Technical report,
University of Toronto.
"""

_STL10_DESCR = """\
STL-10: colour photographs, 5,000 for training and 8,000 for testing of ten classes, and 100,000
without labels, 96x96 RGB values 0..255.

Coates, Lee, Ng (2011). "An analysis of single-layer networks in unsupervised feature
learning." AISTATS.
"""


def fetch_mnist(
    *,
    subset: str = "train",
    data_home: Any = None,
    download_if_missing: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load the full MNIST, handwritten digits of ten classes [1]_.

    ================  ======================
    Classes                               10
    Images            60,000 train + 10,000 test
    Image shape                     (28, 28)
    ================  ======================

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        Which images: the training part, the test part, or the first followed by the second.

    data_home : str or path-like, default=None
        The folder that holds torchvision's `MNIST` folder. `None`: the environment variable
        `SKLEARN_KMFEAT_DATA` if it is set, otherwise
        :func:`sklearn.datasets.get_data_home`.

    download_if_missing : bool, default=False
        Download the data to `data_home` when they are not there. If False, an `OSError` is
        raised instead.

    return_X_y : bool, default=False
        Return `(images, target)` instead of a `Bunch`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes `images` (ndarray of shape (n_images, 28, 28), dtype uint8),
        `target` (ndarray of shape (n_images,), dtype int64), `target_names` and `DESCR`.

    (images, target) : tuple of ndarrays if `return_X_y` is True
        The two arrays alone.

    Raises
    ------
    OSError
        If the data are not in `data_home` and `download_if_missing` is False, if they cannot
        be downloaded, or if a file is damaged: the message names it and says what to do.

    See Also
    --------
    load_mnist_sample : 10,000 of these images, without a download.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner (1998). "Gradient-based learning applied to document
       recognition." Proceedings of the IEEE 86(11), 2278-2324.

    Examples
    --------
    >>> from sklearn_kmfeat.datasets import fetch_mnist
    >>> mnist = fetch_mnist(download_if_missing=True)  # doctest: +SKIP
    >>> mnist.images.shape  # doctest: +SKIP
    (60000, 28, 28)
    """
    _check_subset(subset, ("train", "test", "all"))
    parts = [
        _read("MNIST", data_home, download_if_missing, train=train) for train in _parts_of(subset)
    ]
    images = _join([part.data.numpy() for part in parts])
    target = _join([part.targets.numpy() for part in parts])
    return as_result(images, target, MNIST_NAMES, _MNIST_DESCR, return_X_y)


def fetch_cifar10(
    *,
    subset: str = "train",
    data_home: Any = None,
    download_if_missing: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load the full CIFAR-10, small colour photographs of ten classes [1]_.

    ================  ======================
    Classes                               10
    Images            50,000 train + 10,000 test
    Image shape                  (32, 32, 3)
    ================  ======================

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        Which images: the training part, the test part, or the first followed by the second.

    data_home : str or path-like, default=None
        The folder that holds torchvision's `cifar-10-batches-py` folder. `None`: the
        environment variable `SKLEARN_KMFEAT_DATA` if it is set, otherwise
        :func:`sklearn.datasets.get_data_home`.

    download_if_missing : bool, default=False
        Download the data (170 MB) to `data_home` when they are not there. If False, an
        `OSError` is raised instead.

    return_X_y : bool, default=False
        Return `(images, target)` instead of a `Bunch`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes `images` (ndarray of shape (n_images, 32, 32, 3), dtype uint8),
        `target` (ndarray of shape (n_images,), dtype int64), `target_names` and `DESCR`.

    (images, target) : tuple of ndarrays if `return_X_y` is True
        The two arrays alone.

    Raises
    ------
    OSError
        If the data are not in `data_home` and `download_if_missing` is False, if they cannot
        be downloaded, or if a file is damaged: the message names it and says what to do.

    See Also
    --------
    load_cifar10_sample : 2,000 of these images, without a download.

    References
    ----------
    .. [1] Krizhevsky (2009). "Learning multiple layers of features from tiny images."
       Technical report, University of Toronto.

    Examples
    --------
    >>> from sklearn_kmfeat.datasets import fetch_cifar10
    >>> cifar10 = fetch_cifar10(download_if_missing=True)  # doctest: +SKIP
    >>> cifar10.images.shape  # doctest: +SKIP
    (50000, 32, 32, 3)
    """
    _check_subset(subset, ("train", "test", "all"))
    parts = [
        _read("CIFAR10", data_home, download_if_missing, train=train) for train in _parts_of(subset)
    ]
    images = _join([part.data for part in parts])
    target = _join([np.asarray(part.targets, dtype=np.int64) for part in parts])
    return as_result(images, target, CIFAR10_NAMES, _CIFAR10_DESCR, return_X_y)


def fetch_stl10(
    *,
    subset: str = "train",
    data_home: Any = None,
    download_if_missing: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load STL-10, colour photographs most of which have no label [1]_.

    ================  ======================
    Classes                               10
    Images            5,000 train + 8,000 test + 100,000 without labels
    Image shape                  (96, 96, 3)
    ================  ======================

    Parameters
    ----------
    subset : {"train", "test", "unlabeled"}, default="train"
        Which images. The images of `"unlabeled"` (2.8 GB in memory) have the target -1.

    data_home : str or path-like, default=None
        The folder that holds torchvision's `stl10_binary` folder. `None`: the environment
        variable `SKLEARN_KMFEAT_DATA` if it is set, otherwise
        :func:`sklearn.datasets.get_data_home`.

    download_if_missing : bool, default=False
        Download the data (2.6 GB) to `data_home` when they are not there. If False, an
        `OSError` is raised instead.

    return_X_y : bool, default=False
        Return `(images, target)` instead of a `Bunch`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes `images` (ndarray of shape (n_images, 96, 96, 3), dtype uint8),
        `target` (ndarray of shape (n_images,), dtype int64), `target_names` and `DESCR`.
        The images are a view with the channels last of what is stored with the channels
        first: nothing is copied.

    (images, target) : tuple of ndarrays if `return_X_y` is True
        The two arrays alone.

    Raises
    ------
    OSError
        If the data are not in `data_home` and `download_if_missing` is False, if they cannot
        be downloaded, or if a file is damaged: the message names it and says what to do.

    See Also
    --------
    fetch_cifar10 : Smaller photographs of similar classes.

    References
    ----------
    .. [1] Coates, Lee, Ng (2011). "An analysis of single-layer networks in unsupervised feature
       learning." AISTATS.

    Examples
    --------
    >>> from sklearn_kmfeat.datasets import fetch_stl10
    >>> stl10 = fetch_stl10(download_if_missing=True)  # doctest: +SKIP
    >>> stl10.images.shape  # doctest: +SKIP
    (5000, 96, 96, 3)
    """
    _check_subset(subset, ("train", "test", "unlabeled"))
    part = _read("STL10", data_home, download_if_missing, split=subset)
    images = part.data.transpose(0, 2, 3, 1)
    target = np.asarray(part.labels, dtype=np.int64)
    return as_result(images, target, STL10_NAMES, _STL10_DESCR, return_X_y)


def _check_subset(subset, allowed):
    if subset not in allowed:
        raise ValueError(f"subset must be one of {allowed}, got {subset!r}.")


def _parts_of(subset):
    """List the values of torchvision's `train` flag that make up a subset."""
    return {"train": (True,), "test": (False,), "all": (True, False)}[subset]


def _join(arrays):
    """Concatenate, without a copy where there is nothing to join."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _resolve_data_home(data_home):
    """Find the data folder: the argument, the variable, scikit-learn's data home."""
    folder = data_home or os.environ.get(DATA_HOME_VARIABLE) or get_data_home()
    return Path(folder).expanduser()


def _read(name, data_home, download_if_missing, **options):
    """Read one part of a torchvision data set, or say which file stands in the way."""
    from torchvision import datasets

    root = _resolve_data_home(data_home)
    if name == "MNIST":
        _check_mnist(root, train=options["train"])
    read = getattr(datasets, name)
    try:
        return read(root, download=False, **options)
    except _UNREADABLE as error:
        if not download_if_missing:
            raise OSError(_damage(name, root) or _absence(name, root)) from error
    try:
        return read(root, download=True, **options)
    except (*_UNREADABLE, OSError) as error:
        reason = f"{name} could not be downloaded to {str(root)!r}: {str(error).strip()}"
        # the damage first: it says what to do
        raise OSError(" ".join(filter(None, [_damage(name, root), reason]))) from error


def _check_mnist(root, train):
    """Hold the files of one part against their sums, which torchvision does not do."""
    if _missing("MNIST", root):
        # torchvision unpacks all four files again as soon as one is missing
        return
    part = "train" if train else "t10k"
    files = [file for file in _FILES["MNIST"] if file.startswith(part)]
    damage = _damaged_file("MNIST", root, files)
    if damage:
        raise OSError(damage)


def _absence(name, root):
    missing = _missing(name, root)
    there_is_no = f"there is no file {missing[0]!r}" if missing else "torchvision rejects the files"
    return (
        f"{name} was not found in {str(root)!r}: {there_is_no} in its folder {_FOLDERS[name]!r}. "
        "Pass download_if_missing=True to download it there, or name with data_home or the "
        f"environment variable {DATA_HOME_VARIABLE} where torchvision keeps it."
    )


def _missing(name, root):
    return [file for file in _FILES[name] if not (root / _FOLDERS[name] / file).is_file()]


def _damage(name, root):
    """Describe what torchvision could not read, or return None where files are just missing."""
    old = root / "MNIST" / "processed"
    if name == "MNIST" and (old / "training.pt").is_file() and (old / "test.pt").is_file():
        # torchvision prefers this pair, which it wrote before 2021, and then downloads nothing
        return (
            f"The files training.pt and test.pt in {str(old)!r} cannot be read: expected what "
            "torchvision saved there. Remove this folder and fetch again with "
            "download_if_missing=True."
        )
    return _damaged_file(name, root, _FILES[name])


def _damaged_file(name, root, files):
    """Describe the first of these files that is there with other bytes than it should have."""
    from torchvision.datasets.utils import calculate_md5

    folder = root / _FOLDERS[name]
    for file in files:
        path, remove = folder / file, "this file"
        content, expected = _FILES[name][file]
        if file == "batches.meta" and folder.is_dir():
            # torchvision does not download CIFAR-10 again for this file alone, missing or not
            remove = f"the folder {str(folder)!r}"
        elif not path.is_file():
            continue
        found = calculate_md5(path) if path.is_file() else None
        if found != expected:
            fault = "damaged" if found else "missing"
            got = f"{path.stat().st_size:,} bytes with the md5 sum {found}" if found else "none"
            return (
                f"The file {str(path)!r} is {fault}: expected {content} with the md5 sum "
                f"{expected}, got {got}. Remove {remove} and fetch again with "
                "download_if_missing=True."
            )
    return None
