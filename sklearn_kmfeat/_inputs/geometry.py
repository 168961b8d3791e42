"""What the parameters that describe patches and pooling mean."""

from numbers import Integral
from typing import NamedTuple

import numpy as np

from .._core.patches import map_shape
from .._core.pooling import grid_edges, window_edges


class PatchGrid(NamedTuple):
    """Patches of one size on a regular grid.

    Attributes
    ----------
    size, stride : (int, int)
        Down and across, in pixels.
    """

    size: tuple
    stride: tuple

    def map_shape(self, image_size):
        """Number of locations down and across in an image (H, W)."""
        return map_shape(image_size, self.size, self.stride)

    def n_locations(self, image_sizes):
        """Number of locations in each image; sizes and result are int arrays, (n, 2) and (n,)."""
        return ((image_sizes - np.array(self.size)) // self.stride + 1).prod(axis=1)


def pair(value, name):
    """An int or two ints as a pair of positive ints."""
    values = (value, value) if isinstance(value, Integral) else tuple(value)
    if len(values) != 2 or not all(isinstance(v, Integral) and v >= 1 for v in values):
        raise ValueError(f"{name} must be a positive int or two of them, got {value!r}.")
    return tuple(int(v) for v in values)


def patch_grid(patch_size, stride, images, name="patch_size"):
    """The grid of patches for these images, checked against their sizes.

    Parameters
    ----------
    patch_size, stride : int or (int, int)
    images : Images
        Ready patches have one location, whatever the patch size.
    name : str, default="patch_size"
        What the size is called in messages.

    Returns
    -------
    PatchGrid

    Raises
    ------
    ValueError
        When a patch is larger than an image.
    """
    grid = PatchGrid(pair(patch_size, name), pair(stride, "stride"))
    if images.ready:
        return PatchGrid((1, 1), (1, 1))
    small = np.flatnonzero((images.sizes < np.array(grid.size)).any(axis=1))
    if len(small):
        first = tuple(images.sizes[small[0]].tolist())
        where = "" if images.shape is not None else f" (image {small[0]} of the list)"
        message = f"{name}={grid.size} is larger than an image of size {first}{where}."
        if images.shape is not None and images.shape[0] <= 4 < images.shape[2]:
            message += " Channels come last here, (n, H, W, C): use np.moveaxis(X, 1, -1)."
        raise ValueError(message)
    return grid


def pooling_edges(locations, pool_grid, pool_size):
    """Edges of the pooling cells down and across.

    Parameters
    ----------
    locations : (int, int)
        Size of the map.
    pool_grid : (int, int) or None
        Number of cells; None leaves every location its own cell.
    pool_size : (int, int) or None
        Size of local windows; comes before `pool_grid`.

    Returns
    -------
    list of int, list of int

    Raises
    ------
    ValueError
        When there are more cells than locations.
    """
    if pool_size is not None:
        return tuple(window_edges(n, size) for n, size in zip(locations, pool_size, strict=True))
    if pool_grid is None:
        return tuple(window_edges(n, 1) for n in locations)
    if any(cells > n for cells, n in zip(pool_grid, locations, strict=True)):
        raise ValueError(
            f"pool_grid={pool_grid} is finer than the map of {locations[0]} x {locations[1]} "
            "locations."
        )
    return tuple(grid_edges(n, cells) for n, cells in zip(locations, pool_grid, strict=True))
