"""Many small images as one."""

import math
from typing import Any

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


def as_drawable(images: np.ndarray) -> np.ndarray:
    """Check the shape of images and make them (n, h, w) in grey or (n, h, w, 3) in colour."""
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(
            "Images of shape (n, height, width) or (n, height, width, channels) are needed, got "
            f"{images.shape}."
        )
    if images.ndim == 4 and images.shape[3] != 3:
        return images.mean(axis=3)
    return images


def as_images(X: Any, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Reshape flattened images; pass others on."""
    if isinstance(X, list | tuple) and len({np.shape(image) for image in X}) > 1:
        raise ValueError("Only images of one size can be drawn side by side.")
    if np.ndim(X) != 2:
        return X if hasattr(X, "shape") else np.asarray(X)
    X = np.asarray(X)
    if image_shape is None or math.prod(image_shape) != X.shape[1]:
        raise ValueError(
            f"Rows of {X.shape[1]} values need an image_shape with as many pixels, got "
            f"{image_shape}."
        )
    return X.reshape(len(X), *image_shape)
