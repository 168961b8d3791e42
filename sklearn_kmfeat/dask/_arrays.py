"""Dask arrays as images: what is known of all of them here, and a source of each block there.

The blocks of an array are whole images. What is decided from its shape and dtype, is decided once
and for the whole array, as for one in memory; what depends on values, of each block, where it is.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from dask.delayed import Delayed

from .._inputs.arrays import ArraySource, shape_of_images
from .._inputs.check import checked_image_shape
from .._inputs.request import Request, check_dtype
from .._inputs.values import SCAN_BYTES, ValueRange, checked_range


class DaskImages(ArraySource):
    """Images in the blocks of a dask array.

    To read images here, as a source does, computes their blocks; nothing else does.

    Parameters
    ----------
    data : dask array of shape (n, H, W), (n, H, W, C) or (n, f)
        In blocks of whole images, none of them without images.
    shape, ready
        As in `ArraySource`.
    values : ValueRange, default=UNSEEN
        Of all images, as `block_values` of each block, joined by ``|``, gives it. They decide in
        which dtype is computed.
    """

    @property
    def lengths(self) -> list[int]:
        """Images in each block."""
        return list(self.data.chunks[0])

    @property
    def starts(self) -> list[int]:
        """The number of the first image of each block."""
        return np.cumsum([0, *self.lengths])[:-1].tolist()

    @property
    def of_block(self) -> Callable[[np.ndarray], ArraySource]:
        """A function from a block to the source of its images; small, and can be pickled.

        The images of all blocks have the same dtype in it: that of the range of all images.
        """
        return partial(_source, self.shape, self.ready, self.values)

    @property
    def pixel_range(self) -> ValueRange:
        """The range of the pixels, of bytes what was noted in ``seen.values``.

        That of a block of bytes is the `pixel_range` of its source.
        """
        return self.values if self.values.known else self.seen.values


def dask_images(estimator: Any, X: da.Array, image_shape: Any = None) -> DaskImages:
    """Check a dask array for a first fit, as `check_images` does; nothing is computed.

    With one exception: blocks of unknown length are computed to know it.

    Parameters
    ----------
    estimator : estimator
        Named in messages.
    X : dask array of shape (n, H, W), (n, H, W, C) or (n, f)
        Never changed. Blocks that are parts of images are joined, which reads nothing twice; those
        without images are left out.
    image_shape : tuple or None, default=None
        What the rows of a two-dimensional X are.

    Returns
    -------
    DaskImages

    Raises
    ------
    TypeError
        For what is no dask array of NumPy's arrays, of integers or floats.
    ValueError
        For what are no images, and where the axes are in another order.
    """
    request = Request(estimator, checked_image_shape(image_shape), True, True, SCAN_BYTES)
    X = image_blocks(X, request.name)
    check_dtype(request, X.dtype)
    if any(map(math.isnan, X.shape)):
        X = image_blocks(X.copy().compute_chunk_sizes(), request.name)
    shape, ready = shape_of_images(X, request)
    lengths = np.array(X.chunks[0])
    if not lengths.all():
        X = X.blocks[np.flatnonzero(lengths).tolist()]
    return DaskImages(X, shape, ready)


def image_blocks(X: Any, name: str) -> da.Array:
    """A dask array in blocks of whole images; nothing is computed.

    Parameters
    ----------
    X : object
    name : str
        The class of the estimator.

    Returns
    -------
    dask array
        X itself where its blocks are whole images. Otherwise with those joined that are parts of
        the same images: every block of X is still computed once.

    Raises
    ------
    TypeError
        For anything but a dask array of NumPy's arrays, with what to type.
    """
    if not isinstance(X, da.Array):
        raise TypeError(
            f"sklearn_kmfeat.dask expects a dask array as X for {name}, got "
            f"{type(X).__module__}.{type(X).__name__}: {_advice(X)}."
        )
    _refuse_other_blocks(meta_from_array(X))
    parts = [axis for axis in range(1, X.ndim) if len(X.chunks[axis]) > 1]
    known = not any(math.isnan(size) for axis in parts for size in X.chunks[axis])
    return X.rechunk(dict.fromkeys(parts, -1)) if parts and known else X


def block_values(block: np.ndarray, start: int) -> ValueRange:
    """The range of the values of a block, as `checked_range` gives that of a whole array.

    Parameters
    ----------
    block : array of shape (n, ...)
    start : int
        The number of its first image, for messages.

    Raises
    ------
    ValueError
        For NaN or infinity, with the number of the image.
    """
    return checked_range(in_numpy(block), "Input X", first=start)


def in_numpy(block: Any) -> np.ndarray:
    """A block, refused unless it is NumPy's array: what dask knows of it may be wrong."""
    _refuse_other_blocks(block)
    return np.asarray(block)


def _source(shape, ready, values, block):
    return ArraySource(in_numpy(block), shape, ready, values)


def _refuse_other_blocks(block):
    """Refuse blocks that are no arrays of NumPy, masked ones among them."""
    if isinstance(block, np.ma.MaskedArray):
        raise TypeError(
            "X has masked arrays as blocks, whose hidden values would be used as if they were not: "
            "use dask.array.ma.filled(X, value)."
        )
    if not isinstance(block, np.ndarray):
        kind = type(block)
        raise TypeError(
            f"X has blocks of the type {kind.__module__}.{kind.__name__}, but NumPy's arrays are "
            f"expected: use X.map_blocks({_converter(block)})."
        )


def _converter(block):
    """What makes NumPy's array of a block."""
    if hasattr(block, "todense"):  # of the package sparse, and of SciPy
        return "lambda block: numpy.asarray(block.todense())"
    if type(block).__module__.partition(".")[0] == "cupy":
        return "cupy.asnumpy"
    return "numpy.asarray"


def _advice(X):
    """What to type where X is no dask array."""
    if isinstance(X, Delayed):  # which has any attribute
        return "use dask.array.from_delayed(X, shape, dtype)"
    if hasattr(X, "to_dask_array"):  # a DataFrame of dask
        return "use X.to_dask_array(lengths=True)"
    if isinstance(getattr(X, "data", None), da.Array):  # of xarray
        return "use X.data"
    if hasattr(X, "shape") and hasattr(X, "dtype"):
        return (
            "use dask.array.from_array(X, chunks=(1000, *X.shape[1:])), or the method of the "
            "estimator itself"
        )
    return "for files and lists use the method of the estimator itself"
