"""Many small images as one."""

import math
from numbers import Integral

import numpy as np


def join_tiles(grid: np.ndarray, gap: tuple[int, int]) -> np.ndarray:
    """Join a (rows, columns) grid of tiles to one image, with `gap` blank lines between them.

    What is blank, NaN in `grid`, is transparent in grey and white in colour.
    """
    n_rows, n_cols, height, width = grid.shape[:4]
    below, right = gap
    pad = [(0, 0), (0, 0), (0, below), (0, right)] + [(0, 0)] * (grid.ndim - 4)
    padded = np.pad(grid, pad, constant_values=np.nan).swapaxes(1, 2)
    joined = padded.reshape(n_rows * (height + below), n_cols * (width + right), *grid.shape[4:])
    joined = joined[: joined.shape[0] - below, : joined.shape[1] - right]
    return np.nan_to_num(joined, nan=1.0) if joined.ndim == 3 else joined


def in_rows(tiles: np.ndarray, n_cols: int | None) -> np.ndarray:
    """Arrange tiles in a grid, row by row; what is left of the last row is NaN."""
    n_rows = math.ceil(len(tiles) / n_cols)
    grid = np.full((n_rows * n_cols, *tiles.shape[1:]), np.nan)
    grid[: len(tiles)] = tiles
    return grid.reshape(n_rows, n_cols, *tiles.shape[1:])


def in_columns(tiles: np.ndarray, n_rows: int) -> np.ndarray:
    """Arrange tiles in a grid, column by column; what is left of the last column is NaN."""
    return in_rows(tiles, n_rows).swapaxes(0, 1)


def as_drawable(images: np.ndarray, bands: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Check the shape of images and make them (n, h, w) in grey or (n, h, w, 3) in colour."""
    check_shape(images.shape)
    return choose_bands(images, bands)


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse what are no images, or none."""
    if len(shape) not in (3, 4) or 0 in shape:
        raise ValueError(
            "Images of shape (n, height, width) or (n, height, width, channels) are needed, got "
            f"{tuple(shape)}."
        )


def choose_bands(images: np.ndarray, bands: int | tuple[int, ...] | None) -> np.ndarray:
    """Make images (n, h, w) in grey or (n, h, w, 3) in colour.

    Parameters
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, C)
    bands : int, tuple of one or three ints, or None
        One channel in grey, or three as red, green and blue. None: one and three channels as
        they are, of any other number the mean in grey.

    Returns
    -------
    ndarray of shape (n, h, w) or (n, h, w, 3)
    """
    if bands is None:
        return images.mean(axis=3) if images.ndim == 4 and images.shape[3] != 3 else images
    n_channels = 1 if images.ndim == 3 else images.shape[3]
    chosen = bands if isinstance(bands, tuple | list | np.ndarray) else (bands,)
    whole = all(isinstance(band, Integral) for band in chosen)
    if not whole or len(chosen) not in (1, 3) or not set(chosen) <= set(range(n_channels)):
        channels = "one channel" if n_channels == 1 else f"{n_channels} channels"
        raise ValueError(
            f"bands must be one channel or three, counted from 0 to {n_channels - 1}, as the "
            f"images have {channels}; got {bands!r}."
        )
    images = images[..., np.newaxis] if images.ndim == 3 else images
    return images[..., list(chosen)] if len(chosen) == 3 else images[..., chosen[0]]
