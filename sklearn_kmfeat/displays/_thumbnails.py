"""Small pictures of chosen images, whatever form the images come in.

The displays draw images through `thumbnails` alone, and only what is drawn is read. Arrays and
lists are read here, as the input layer refuses NaN; all other forms through their `ImageSource`.
"""

import math
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch.nn.functional import interpolate

from .._inputs.base import ImageSource
from .._inputs.check import check_images
from .._inputs.image_files import ImageFiles
from .._inputs.items import items_of
from .._inputs.lists import is_list_of_images
from .._utils.labels import to_numpy
from ._mosaic import check_shape, choose_bands

#: A tile of a gallery is 0.45 inch: at 300 dots an inch, more pixels than these are not seen.
LARGEST_SIDE = 128
# Images that are read before the first of them is made small.
BLOCK_BYTES = 64 * 2**20


def thumbnails(
    X: Any,
    index: Any,
    size: tuple[int, int],
    image_shape: tuple[int, ...] | None = None,
    bands: int | tuple[int, ...] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> np.ndarray:
    """Images of one size: each as large as fits, its sides in proportion, blank around.

    Parameters
    ----------
    X : array of shape (n, H, W), (n, H, W, C) or (n, f), list of images, or any form of images
        Of which an array may be a tensor, or one on disk; images of a list may differ in size and
        in their number of channels. NaN and infinity are blank.
    index : int array of shape (m,)
        Which images, in any order.
    size : (int, int)
        Height and width of a thumbnail.
    image_shape : tuple of int, default=None
        What the rows of a two-dimensional X are.
    bands : int or tuple of int, default=None
        See `choose_bands`.
    block_bytes : int, default=64 MiB
        Bytes of images that are read at a time.

    Returns
    -------
    ndarray of shape (m, *size) or (m, *size, 3)
        In colour if an image is. Values in 0..1, NaN where blank: uint8 by 255, others from the
        smallest to the largest value of all thumbnails, unless these are within 0..1.
    """
    places, which = np.unique(np.asarray(index, dtype=np.intp), return_inverse=True)
    parts, in_bytes = [], []
    for block, of_bytes in _blocks(as_images(X, image_shape), places, block_bytes):
        images = _finite(choose_bands(_thinned(block, size), bands), of_bytes)
        parts.append(_letterbox(images, size))
        in_bytes += [of_bytes] * len(block)
    if len({tiles.ndim for tiles in parts}) > 1:
        parts = [_in_colour(tiles) for tiles in parts]
    tiles, scaled = np.concatenate(parts), ~np.array(in_bytes)
    tiles[scaled] = _unit_range(tiles[scaled])
    return tiles.clip(0, 1)[which.ravel()]  # what is resized is rounded


def as_images(X: Any, image_shape: tuple[int, ...] | None = None) -> Any:
    """Bring X to what has a length and can be drawn; what is that already is handed back.

    Parameters
    ----------
    X : array, list of images, or any form of images
        As in `thumbnails`.
    image_shape : tuple of int, default=None
        What the rows of a two-dimensional X are.

    Returns
    -------
    list of arrays, array of shape (n, H, W[, C]), or ImageSource
        An array may be a tensor, or on disk: it is not read.
    """
    if isinstance(X, ImageSource):
        return X
    if is_list_of_images(X) and not _holds_pictures(X):
        images = [to_numpy(image) for image in items_of(X)]
        for image in images:
            check_shape((1, *image.shape))
        return images
    if isinstance(X, list | tuple) and _holds_numbers(X):
        X = np.asarray(X)
    if hasattr(X, "iloc") and items_of(X) is None:
        X = np.asarray(X)
    is_array = all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__"))
    if not is_array or items_of(X) is not None or isinstance(X, ImageFiles):
        source = check_images(Display(), X, image_shape=image_shape, needs_sizes=False)
        # Twice what is drawn: files are decoded in a fraction of the time.
        return source.in_size(2 * LARGEST_SIDE)
    if len(X.shape) == 2:
        return rows_as_images(X, image_shape)
    check_shape(X.shape)
    # zarr's arrays have no length.
    return X if hasattr(X, "__len__") else _Reshaped(X, tuple(X.shape[1:]))


def rows_as_images(X: Any, image_shape: tuple[int, ...] | None) -> Any:
    """Reshape flattened images; those on disk as they are read."""
    if image_shape is None or math.prod(image_shape) != X.shape[1]:
        raise ValueError(
            f"Rows of {X.shape[1]} values need an image_shape with as many pixels, got "
            f"{image_shape}."
        )
    if isinstance(X, np.ndarray | torch.Tensor):
        return X.reshape(len(X), *image_shape)
    return _Reshaped(X, tuple(image_shape))


def natural_size(images: Any) -> tuple[int, int]:
    """Height and width that thumbnails had best: those of the images, or the median of them.

    Both are scaled down where the longer one is beyond `LARGEST_SIDE`. Where images would have to
    be read to know their size, that of the first.

    Parameters
    ----------
    images : list of arrays, array, or ImageSource
        From `as_images`.

    Returns
    -------
    (int, int)
    """
    if isinstance(images, ImageSource):
        sizes = images.sizes if images.sizes_known else [images.first_size]
    elif isinstance(images, list):
        sizes = [image.shape[:2] for image in images]
    else:
        sizes = [images.shape[1:3]]
    return scaled_size(np.median(sizes, axis=0), LARGEST_SIDE, enlarge=False)


def scaled_size(
    size: tuple[float, float], longer: float, *, enlarge: bool = True
) -> tuple[int, int]:
    """Scale a size so that its longer side is as given, or at most that."""
    scale = longer / max(size)
    scale = scale if enlarge else min(1, scale)
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


class _Reshaped:
    """Rows on disk, or in another container, as images."""

    def __init__(self, rows, image_shape):
        self.rows = rows
        self.shape = (rows.shape[0], *image_shape)
        self.dtype = rows.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        return np.asarray(self.rows[index]).reshape(-1, *self.shape[1:])


class Display:
    """Stands for the estimator in messages of the input layer."""


def _holds_pictures(X):
    """Whether X is a list of Pillow images."""
    return isinstance(items_of(X)[0], Image)


def _holds_numbers(X):
    """Whether X is a list, of lists, of numbers or of arrays of them."""
    while isinstance(X, list | tuple):
        if not len(X):
            return True
        X = X[0]
    return np.ndim(X) > 0 or isinstance(X, int | float | np.number)


def _blocks(X, places, block_bytes):
    """Read images at increasing places: blocks of one shape, and whether they are bytes."""
    if isinstance(X, list):
        for i in places:
            yield X[i][np.newaxis], X[i].dtype == np.uint8
        return
    of_source = isinstance(X, ImageSource)
    shape = X.shape if of_source else X.shape[1:]
    step = 1 if shape is None else max(1, block_bytes // (8 * math.prod(shape)))
    for start in range(0, len(places), step):
        index = places[start : start + step]
        block = X.read(index).numpy() if of_source else to_numpy(X[index])
        yield block, (X.pixel_dtype if of_source else block.dtype) == np.uint8


def _finite(images, in_bytes):
    """As floats, bytes in 0..1; a pixel that has no value in one colour is blank in all."""
    images = images / 255.0 if in_bytes else images.astype(np.float64)
    blank = ~np.isfinite(images)
    if blank.any():
        images[blank.any(axis=3) if images.ndim == 4 else blank] = np.nan
    return images


def _in_colour(images):
    return images if images.ndim == 4 else np.repeat(images[..., np.newaxis], 3, axis=3)


def _thinned(images, size):
    """Leave out rows and columns of images many times as large as their thumbnails.

    Eight pixels for one are kept, which no eye tells from all: photographs of three million pixels
    are four times as fast.
    """
    scale = min(size[0] / images.shape[1], size[1] / images.shape[2])
    step = max(1, int(1 / (8 * scale)))
    top, left = (min(step, side) // 2 for side in images.shape[1:3])
    return images[:, top::step, left::step]


def _letterbox(images, size):
    """Scale images (n, h, w[, 3]) into the middle of thumbnails."""
    height, width = images.shape[1:3]
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(scale * height)), max(1, round(scale * width))
    images = images if inner == (height, width) else _resize(images, inner)
    if inner == tuple(size):
        return images
    tiles = np.full((len(images), *size, *images.shape[3:]), np.nan)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    tiles[:, top : top + inner[0], left : left + inner[1]] = images
    return tiles


def _resize(images, size):
    """Resize (n, h, w[, 3]); a pixel is blank where more than half of what it covers is."""
    pixels = torch.from_numpy(images if images.ndim == 4 else images[..., np.newaxis])
    pixels = pixels.movedim(3, 1)
    blank = pixels[:, :1].isnan()
    if not blank.any():
        resized = _interpolate(pixels, size)
    else:
        seen = _interpolate((~blank).to(pixels.dtype), size)
        resized = _interpolate(pixels.nan_to_num(0.0), size) / seen.clamp(min=1e-6)
        resized = torch.where(seen >= 0.5, resized, torch.nan)
    resized = resized.movedim(1, 3).numpy()
    return resized if images.ndim == 4 else resized[..., 0]


def _interpolate(pixels, size):
    return interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)


def _unit_range(images):
    """Scale values into 0..1, unless they are."""
    if not np.isfinite(images).any():
        return images
    low, high = np.nanmin(images), np.nanmax(images)
    if low >= -1e-6 and high <= 1 + 1e-6:  # what is resized is rounded
        return images
    return (images - low) / (high - low if high > low else 1)
