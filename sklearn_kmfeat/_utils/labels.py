"""Labels from any container, and those that are unknown."""

from numbers import Number
from typing import Any

import numpy as np
import torch


def to_numpy(values: Any) -> np.ndarray:
    """Tensors of any device and type as arrays, and the rest as NumPy reads it."""
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()  # NumPy has no bfloat16
    return (values.double() if values.is_floating_point() else values).numpy()


def read_labels(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read labels from any container: an array, and which of its entries are unknown.

    None, NaN, pandas' NA and NaT, nulls of polars and what is masked are unknown; what the
    array holds in their place means nothing.
    """
    if isinstance(labels, np.ma.MaskedArray):
        return labels.data, _is_missing(labels.data) | np.ma.getmaskarray(labels)
    array = to_numpy(labels)
    if array.dtype.kind in "UST" or (array.dtype.kind == "f" and np.isnan(array).any()):
        # NumPy makes "nan" of NaN among strings, and floats of integers beside a null.
        array = _as_objects(labels, array)
    return array, _is_missing(array)


def _as_objects(labels, array):
    """Read labels again, as objects, where they are not an array of one type to begin with."""
    if array.dtype.kind == "T":
        return array.astype(object)
    if isinstance(labels, np.ndarray | torch.Tensor):
        return array
    to_list = getattr(labels, "to_list", getattr(labels, "tolist", None))
    items = to_list() if to_list else labels
    if not isinstance(items, list | tuple) or isinstance(items[0], torch.Tensor):
        return array
    return np.array(items, dtype=object)


def _is_missing(array):
    if array.dtype.kind == "O":
        found = [_is_missing_object(label) for label in array.ravel().tolist()]
        return np.array(found, dtype=bool).reshape(array.shape)
    return array != array  # NaN and NaT are the values that differ from themselves


def _is_missing_object(label):
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(label, Number | np.generic) and bool(label != label)


def of_one_type(labels: np.ndarray, name: str) -> np.ndarray:
    """Objects that are numbers or booleans as an array of those; strings stay what they are."""
    items = labels.tolist()
    if labels.dtype.kind != "O" or all(isinstance(label, str) for label in items):
        return labels
    array = np.array(items)
    if array.dtype.kind == "U":
        others = [label for label in items if not isinstance(label, str)]
        raise ValueError(
            f"{name} must be all strings or all numbers, got strings and {others[0]!r}. "
            "Make them one type, and leave out what stands for unknown."
        )
    return array if array.ndim == 1 else labels


def refuse_unknown(unknown: np.ndarray, name: str, other: str) -> None:
    """Say how many labels are unknown, and how to select the others."""
    if unknown.any():
        raise ValueError(
            f"{name} must hold known labels only, got {unknown.sum()} unknown (None, NaN, NA or "
            f"masked) of {unknown.size}. Select the known ones first: known = {name}.notna() in "
            f"pandas, known = ~np.isnan({name}) for an array of numbers; then pass "
            f"{name}[known] and {other}[known]."
        )
