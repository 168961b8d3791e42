"""Lists, tuples, one-dimensional arrays and Series, as a list of what they hold."""

from typing import Any

import numpy as np


def items_of(X: Any) -> list | None:
    """What a container of separate things holds; None for what is none.

    Parameters
    ----------
    X : object
        A list or tuple, a one-dimensional array of objects or strings (or one column of strings),
        a pandas or polars Series of such, or a DataFrame of one such column.

    Returns
    -------
    list or None
    """
    if isinstance(X, list | tuple):
        return list(X)
    if isinstance(X, np.ndarray):
        if X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "UT":
            X = X[:, 0]  # one column of a table
        return X.tolist() if X.ndim == 1 and X.dtype.kind in "OUT" else None
    shape = getattr(X, "shape", ())
    if len(shape) == 2 and shape[1] == 1 and hasattr(X, "columns"):
        X = X[X.columns[0]]
        shape = X.shape
    if len(shape) != 1 or not hasattr(X, "to_list"):
        return None
    items = X.to_list()
    numbers = bool(items) and np.isscalar(items[0]) and not isinstance(items[0], str)
    return None if numbers else items


def is_column(X: Any) -> bool:
    """Whether X is a Series, or a DataFrame of one column."""
    return hasattr(X, "to_list") or hasattr(X, "columns")
