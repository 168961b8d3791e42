"""The samples of MNIST and CIFAR-10 that ship with the package.

Each is one lossless mosaic of all images (`NAME.webp`) and one file of labels (`NAME.npy`);
`tools/make_samples.py` in the repository makes them from the full sets.
"""

from importlib.resources import as_file, files
from typing import Any

import numpy as np
from sklearn.utils import Bunch

CIFAR10_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
MNIST_NAMES = tuple("0123456789")

_MNIST_DESCR = """\
10,000 handwritten digits of MNIST, 1,000 of each class, drawn at random from the 60,000
training images and shuffled. Grey levels 0..255 on a black ground.

LeCun, Bottou, Bengio, Haffner (1998). "Gradient-based learning applied to document
recognition." Proceedings of the IEEE 86(11). The full set: `fetch_mnist`.
"""

_CIFAR10_DESCR = """\
2,000 colour photographs of CIFAR-10, 200 of each of its ten classes, drawn at random from the
50,000 training images and shuffled. RGB values 0..255.

Krizhevsky (2009). "Learning multiple layers of features from tiny images." Technical report,
University of Toronto. The full set: `fetch_cifar10`.
"""


def load_mnist_sample(*, return_X_y: bool = False) -> Any:
    """Load 10,000 real handwritten digits that ship with the package.

    The classes are balanced (1,000 images each) and shuffled, so that the first rows are a
    sample too. All come from the training part of MNIST [1]_.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return `(images, target)` instead of a `Bunch`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        images : ndarray of shape (10000, 28, 28), dtype uint8
            The images, grey levels 0..255.
        target : ndarray of shape (10000,), dtype int64
            The digit each image shows.
        target_names : ndarray of shape (10,)
            The names of the classes, `"0"` to `"9"`.
        DESCR : str
            What the data are and where they come from.

    (images, target) : tuple of ndarrays if `return_X_y` is True
        The two arrays alone.

    See Also
    --------
    fetch_mnist : The full set, 70,000 images.
    load_cifar10_sample : Colour photographs.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner (1998). "Gradient-based learning applied to document
       recognition." Proceedings of the IEEE 86(11), 2278-2324.

    Examples
    --------
    >>> from sklearn_kmfeat.datasets import load_mnist_sample
    >>> digits = load_mnist_sample()
    >>> digits.images.shape, digits.images.dtype
    ((10000, 28, 28), dtype('uint8'))
    >>> digits.target[:5]
    array([0, 5, 5, 7, 3])
    """
    images, target = _read_sample("mnist_sample", image_shape=(28, 28))
    return as_result(images, target, MNIST_NAMES, _MNIST_DESCR, return_X_y)


def load_cifar10_sample(*, return_X_y: bool = False) -> Any:
    """Load 2,000 real colour photographs that ship with the package.

    The classes are balanced (200 images each) and shuffled, so that the first rows are a
    sample too. All come from the training part of CIFAR-10 [1]_.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return `(images, target)` instead of a `Bunch`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the attributes

        images : ndarray of shape (2000, 32, 32, 3), dtype uint8
            The images, channels last, RGB values 0..255.
        target : ndarray of shape (2000,), dtype int64
            The class of each image.
        target_names : ndarray of shape (10,)
            The names of the classes, `"airplane"` to `"truck"`.
        DESCR : str
            What the data are and where they come from.

    (images, target) : tuple of ndarrays if `return_X_y` is True
        The two arrays alone.

    See Also
    --------
    fetch_cifar10 : The full set, 60,000 images.
    load_mnist_sample : Handwritten digits.

    References
    ----------
    .. [1] Krizhevsky (2009). "Learning multiple layers of features from tiny images."
       Technical report, University of Toronto.

    Examples
    --------
    >>> from sklearn_kmfeat.datasets import load_cifar10_sample
    >>> photos = load_cifar10_sample()
    >>> photos.images.shape, photos.images.dtype
    ((2000, 32, 32, 3), dtype('uint8'))
    >>> print(photos.target_names[photos.target[0]])
    bird
    """
    images, target = _read_sample("cifar10_sample", image_shape=(32, 32, 3))
    return as_result(images, target, CIFAR10_NAMES, _CIFAR10_DESCR, return_X_y)


def _read_sample(name, image_shape):
    """Read `images` and `target` of a stored sample, cutting the mosaic into its images."""
    from PIL import Image

    folder = files(__package__) / "data"
    with as_file(folder / f"{name}.npy") as path:
        target = np.load(path).astype(np.int64)
    with as_file(folder / f"{name}.webp") as path, Image.open(path) as mosaic:
        pixels = np.asarray(mosaic.convert("RGB" if len(image_shape) == 3 else "L"))
    return split_mosaic(pixels, image_shape), target


def split_mosaic(mosaic: np.ndarray, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Cut a mosaic without gaps into its images, row by row."""
    height, width, *channels = image_shape
    n_rows, n_cols = mosaic.shape[0] // height, mosaic.shape[1] // width
    grid = mosaic.reshape(n_rows, height, n_cols, width, *channels)
    return np.ascontiguousarray(grid.swapaxes(1, 2)).reshape(-1, *image_shape)


def as_result(
    images: np.ndarray, target: np.ndarray, names: Any, description: str, return_X_y: bool
) -> Any:
    """Make what loaders and fetchers return: a Bunch, or the two arrays."""
    if return_X_y:
        return images, target
    return Bunch(images=images, target=target, target_names=np.array(names), DESCR=description)
