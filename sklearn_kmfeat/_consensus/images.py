"""What the recipe for images gets: images in memory and of one size, or rows."""

from typing import Any

import numpy as np

from .._inputs.arrays import ArraySource
from .._inputs.base import ImageSource
from .._inputs.check import check_images, warn_if_flattened
from .._inputs.resize import common_size, resized_images
from .._utils.validation import as_pair

# Pixels on the shorter side. The patches of the recipe are six pixels wide, and an image of 64 has
# a hundred times as many of them as it has values in its pooled features.
_LARGEST_SIDE = 64


def checked_source(consensus: Any, X: Any, reset: bool) -> ImageSource:
    """X in any of its forms; in `fit` with a warning where rows look like flattened images."""
    source = check_images(
        consensus, X, image_shape=consensus.image_shape, reset=reset, needs_sizes=False
    )
    if reset:
        warn_if_flattened(consensus, source)
    return source


def input_size_of(consensus: Any, source: ImageSource) -> tuple[int, int] | None:
    """Height and width of the images that the members get; None for rows."""
    if source.ready:
        return None
    if consensus.input_size is not None:
        return as_pair(consensus.input_size, "input_size")
    size = common_size(source, _LARGEST_SIDE)
    scale = min(1.0, _LARGEST_SIDE / min(size))
    return tuple(max(1, round(scale * side)) for side in size)


def in_memory(source: ImageSource, X: Any, size: tuple[int, int] | None) -> Any:
    """X as the members get it.

    Parameters
    ----------
    source : ImageSource
    X : object
        What the source was made of.
    size : (int, int) or None

    Returns
    -------
    ndarray of shape (n, *size, C), or X
        X where it holds rows. A view of its memory, where it is an array of that size.
    """
    if size is None:
        return X
    if isinstance(source, ArraySource) and source.shape[:2] == tuple(size):
        return np.asarray(source.data[:]).reshape(len(source), *source.shape)
    return resized_images(source.in_size(size), size)
