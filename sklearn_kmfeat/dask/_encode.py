"""Features and labels of the blocks of a dask array, each where it is, when they are asked for."""

import math
import threading
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import dask
import dask.array as da
import numpy as np
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._dictionary.patch_extractor import PatchExtractor
from .._inputs.check import check_images
from .._inputs.locations import Locations
from .._inputs.values import checked_range
from .._utils.threads import coarse_threads
from ._arrays import dask_images, image_blocks, in_numpy


def transform(estimator: Any, X: da.Array) -> da.Array:
    """The features of images, block by block; nothing is computed yet.

    Each block becomes what ``estimator.transform`` makes of it. The estimator, as it is now, is one
    value of the graph, which goes to each worker once.

    Parameters
    ----------
    estimator : fitted transformer
        Of this package or of scikit-learn, or a Pipeline of such, which transforms each row by
        itself.
    X : dask array of shape (n, H, W), (n, H, W, C) or (n, f)
        In the form and pixel range of `fit`. Blocks that are parts of images are joined.

    Returns
    -------
    dask array
        (n, features), or maps (n, H', W', K'), in the blocks of `X`, of NumPy's arrays whatever
        `set_output` says. Shape and dtype are found by a single image of zeros, here. A
        PatchExtractor gives as many rows as there are patches.

    Raises
    ------
    TypeError
        If `X` is no dask array of NumPy's arrays, or the estimator has no method `transform`.
    ValueError
        If the images have another shape than those of `fit`. NaN and infinity are found when a
        block is computed.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn_kmfeat import KMeansFilterLearner
    >>> from sklearn_kmfeat import dask as kd
    >>> from sklearn_kmfeat.datasets import load_cifar10_sample
    >>> images = load_cifar10_sample().images[:500]
    >>> learner = KMeansFilterLearner(10, n_patches=5000, max_iter=3, random_state=0).fit(images)
    >>> X = da.from_array(images, chunks=(200, 32, 32, 3))
    >>> features = kd.transform(learner, X)
    >>> features.shape, features.chunks[0], features.dtype
    ((500, 40), (200, 200, 100), dtype('float32'))
    >>> features[:2].compute().shape  # of one block
    (2, 40)
    """
    return _mapped(estimator, X, "transform")


def predict(estimator: Any, X: da.Array) -> da.Array:
    """The labels of images, block by block; nothing is computed yet.

    As `transform`, with the method `predict`: of a learner of patches a map of its nearest filters,
    of a clusterer or classifier one label for each image.

    Parameters
    ----------
    estimator : fitted estimator
        Of this package or of scikit-learn, or a Pipeline of such, which labels each row by itself.
    X : dask array of shape (n, H, W), (n, H, W, C) or (n, f)
        In the form and pixel range of `fit`. Blocks that are parts of images are joined.

    Returns
    -------
    dask array
        (n,), or maps (n, H', W') of a learner of patches, in the blocks of `X`.

    Raises
    ------
    TypeError, ValueError
        As in `transform`.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn_kmfeat import BagOfPatches
    >>> from sklearn_kmfeat import dask as kd
    >>> from sklearn_kmfeat.datasets import load_mnist_sample
    >>> images = load_mnist_sample().images[:100]
    >>> bag = BagOfPatches(5, n_patches=1000, random_state=0).fit(images)
    >>> kd.predict(bag, da.from_array(images, chunks=(50, 28, 28))).shape
    (100, 23, 23)
    """
    return _mapped(estimator, X, "predict")


def _mapped(estimator, X, method):
    name = type(estimator).__name__
    if not hasattr(estimator, method):
        raise TypeError(f"{name} has no method {method}.")
    X = image_blocks(X, name)
    if any(map(math.isnan, X.shape[1:])):
        raise ValueError(
            f"X has the shape {X.shape}: only the number of images may be unknown. Call "
            "X.compute_chunk_sizes() before."
        )
    check_is_fitted(estimator)
    # A refit before the blocks are computed changes nothing.
    estimator = deepcopy(estimator)
    # Zeros are of any pixel range, and the logarithm of a step in a Pipeline may not like them.
    with np.errstate(all="ignore"):
        made = _as_array(_called(getattr(estimator, method), np.zeros((1, *X.shape[1:]), X.dtype)))
    value = dask.delayed(estimator, pure=False, traverse=False)
    if _draws_patches(estimator):
        return _drawn(estimator, value, X, made[:0])
    lengths = tuple(len(made) * length for length in X.chunks[0])
    return X.map_blocks(
        encoded_block,
        estimator=value,
        method=method,
        empty=made[:0],
        chunks=(lengths, *((side,) for side in made.shape[1:])),
        drop_axis=list(range(1, X.ndim)),
        new_axis=list(range(1, made.ndim)),
        dtype=made.dtype,
        meta=made[:0],
    )


def _drawn(extractor, value, X, empty):
    """Patches that are drawn from all images: where, is decided here, as for an array in memory."""
    images = dask_images(extractor, X, extractor.image_shape)
    locations = extractor._locations(images)
    blocks = []
    delayed = images.data.to_delayed().ravel()
    for block, start, length in zip(delayed, images.starts, images.lengths, strict=True):
        some = locations.part(start, start + length)
        shape = (len(some.places), *empty.shape[1:])
        patches = dask.delayed(_cut, pure=False)(block, value, some.places, some.counts, start)
        blocks.append(da.from_delayed(patches, shape, meta=empty))
    return da.concatenate(blocks)


def encoded_block(block, estimator, method, empty, block_info):
    if not len(block):
        return empty
    start = block_info[0]["array-location"][0][0]
    made = _of_images(getattr(estimator, method), in_numpy(block), start)
    return _as_array(made).astype(empty.dtype, copy=False)


def _cut(block, extractor, places, counts, start):
    def cut(images):
        source = check_images(extractor, images, image_shape=extractor.image_shape, reset=False)
        return extractor._cut(source, Locations(places, counts))

    return _of_images(cut, in_numpy(block), start)


def _of_images(function, images, start):
    """What a function gives; a message that numbers an image has its number in the whole array."""
    try:
        return _called(function, images)
    except ValueError as error:
        if images.dtype.kind != "f" or math.isnan(start) or str(error) != _not_finite(images, 0):
            raise
        raise ValueError(_not_finite(images, start)) from None


def _called(function, images):
    """What a function gives, on one thread inside a thread of dask's: others have blocks, too."""
    alone = threading.current_thread() is threading.main_thread()
    with nullcontext() if alone else coarse_threads(1):
        return function(images)


def _not_finite(images, start):
    """The message on the first value that is not finite, with the number of its image."""
    try:
        checked_range(images, "Input X", first=start)
    except ValueError as error:
        return str(error)
    return None


def _draws_patches(estimator: Any) -> bool:
    """Whether a PatchExtractor draws patches; a Pipeline with one that does is refused."""
    if isinstance(estimator, PatchExtractor):
        return estimator.max_patches is not None or estimator.n_patches is not None
    if isinstance(estimator, Pipeline) and any(_draws_patches(step) for _, step in estimator.steps):
        raise ValueError(
            "A Pipeline with a PatchExtractor that draws patches would draw the same places in "
            "every block: give its steps to sklearn_kmfeat.dask.transform one after the other."
        )
    return False


def _as_array(made):
    """NumPy's array of what a method gave: a DataFrame, or an array already."""
    if issparse(made):
        raise TypeError(
            "The estimator gives sparse matrices, which are no blocks of a dask array: set its "
            "sparse_output, or the like, to False."
        )
    return np.asarray(made)
