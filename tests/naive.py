"""What the package does fast, in a few plain lines of NumPy; tests compare with them."""

import numpy as np


def cut(images, size, stride):
    """Every patch of (n, H, W, C), an array (n, H', W', h * w * C)."""
    (h, w), (down, across) = size, stride
    rows = range(0, images.shape[1] - h + 1, down)
    columns = range(0, images.shape[2] - w + 1, across)
    return np.array(
        [[[image[i : i + h, j : j + w].ravel() for j in columns] for i in rows] for image in images]
    )


def normalize(rows, eps):
    """Contrast normalisation along the last axis."""
    rows = rows - rows.mean(-1, keepdims=True)
    return rows / np.sqrt(rows.var(-1, ddof=1, keepdims=True) + eps)


def squared_distances(rows, filters):
    """Of all rows (..., d) to all filters (K, d)."""
    return ((rows[..., None, :] - filters) ** 2).sum(-1)


def encode(rows, filters, encoder, alpha=0.25, knn_fraction=0.4):
    """Codes (..., K) of whitened patches (..., d)."""
    distances = squared_distances(rows, filters)
    if encoder == "hard":
        return np.eye(len(filters))[distances.argmin(-1)]
    if encoder == "triangle":
        distances = np.sqrt(distances)
        return np.maximum(0, distances.mean(-1, keepdims=True) - distances)
    if encoder == "soft_threshold":
        return np.maximum(0, rows @ filters.T - alpha)
    n_nearest = max(1, round(knn_fraction * len(filters)))
    return (distances.argsort(-1).argsort(-1) < n_nearest).astype(float)


def pool(maps, rows, columns, how):
    """Maps (n, H', W', K) pooled over cells from row to row and column to column."""
    reduce = getattr(np, how)
    cells = [[reduce(maps[:, a:b, c:d], axis=(1, 2)) for c, d in columns] for a, b in rows]
    return np.moveaxis(np.array(cells), 2, 0)
