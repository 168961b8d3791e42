"""What cannot be taken as X, and what to type instead."""

import os
from collections.abc import Iterator, KeysView, Mapping, Set, ValuesView
from typing import Any

from PIL.Image import Image
from scipy.sparse import issparse
from torch.utils.data import DataLoader, IterableDataset

from .image_files import PATHS
from .items import items_of


def refuse(X: Any, name: str) -> None:
    """Refuse what is a known mistake.

    Parameters
    ----------
    X : object
    name : str
        The class of the estimator.

    Raises
    ------
    TypeError, ValueError
        Saying what to type instead.
    """
    advice = _advice(X)
    if advice is not None:
        raise TypeError(f"{name} got {_described(X)} as X: {advice}.")
    items = items_of(X)
    advice = None if not items else _advice_on_items(X, items[0])
    if advice is not None:
        raise TypeError(f"{name} got {_described(X)} of {advice}.")
    if items == []:
        raise ValueError(
            f"X is an empty {type(X).__name__}: expected images, at least one, or rows. Were no "
            "files found in the folder that was meant?"
        )


def _advice(X):
    if isinstance(X, str | os.PathLike):
        path = os.fspath(X)
        if isinstance(path, str) and os.path.isfile(os.path.expanduser(path)):
            return f"for one image file use ImageFiles([{path!r}])"
        return f"for the images in a folder use ImageFiles.from_folder({path!r})"
    if isinstance(X, bytes | bytearray):
        return "decode it first, for example with PIL.Image.open(io.BytesIO(X)), and give a list"
    if isinstance(X, Image):
        return "for one image use a list, [X]"
    if isinstance(X, DataLoader):
        return "give its Dataset, X.dataset; it is read a batch at a time anyway"
    if isinstance(X, IterableDataset):
        return "images are read more than once and by number: give a map-style Dataset, or a list"
    if isinstance(X, Mapping) and not issparse(X):  # SciPy's dok_array is a dict
        return "give one of its values, X['images'] or the like" + _keys(X)
    if isinstance(X, KeysView | ValuesView):
        return "use list(X)"
    if isinstance(X, Set):
        return "a set has no order, and results are in the order of X: use sorted(X) or list(X)"
    if isinstance(X, Iterator):
        return "images are read more than once: use list(X)"
    if hasattr(X, "data_vars"):
        return "give one of its arrays, X['images'] or the like" + _keys(X.data_vars)
    if callable(getattr(X, "keys", None)) and not hasattr(X, "iloc") and not hasattr(X, "dtype"):
        return "give one of its arrays, X['images'] or the like" + _keys(X)
    if X is None:
        return "expected images; see the class for the forms"
    if hasattr(X, "columns") and hasattr(X, "dtypes") and items_of(X) is None:
        dtypes = dict(zip(X.columns, X.dtypes, strict=True))
        texts = [name for name, dtype in dtypes.items() if _holds_text(dtype)]
        if texts:
            return f"for a column of paths or images give it alone, X[{texts[0]!r}]"
    return None


def _holds_text(dtype):
    return str(dtype).lower() in ("object", "str", "string", "utf8")


def _advice_on_items(X, first):
    """Of what a container of things that are no images holds, and what to type instead."""
    if first is None and all(item is None for item in items_of(X)):
        return "None: expected images"
    if isinstance(first, bytes | bytearray):
        return (
            "bytes: decode them, for example with [PIL.Image.open(io.BytesIO(b)) for b in X]; "
            "paths are str or path-like"
        )
    if isinstance(first, Mapping):
        return "dicts: give one value of each, [item['image'] for item in X]" + _keys(first)
    if callable(getattr(first, "read", None)) and not isinstance(first, (Image, *PATHS)):
        return "open files: decode them, for example with [PIL.Image.open(file) for file in X]"
    if isinstance(first, list | tuple) and len(first):
        if isinstance(first[0], Image) or getattr(first[0], "ndim", 0) > 1:
            return (
                f"{type(first).__name__}s that begin with an image: give the images alone, "
                "[item[0] for item in X]; a Dataset of such is cut by "
                "skorch.helper.SliceDataset(dataset)"
            )
        if isinstance(first[0], PATHS):
            return "lists of paths: give one list of paths"
    return None


def _keys(X):
    names = [repr(name) for name in list(X)[:5]]
    return f" (it has {', '.join(names)})" if names else ""


def _described(X):
    if isinstance(X, str | os.PathLike):
        return f"the path {os.fspath(X)!r}"
    kind = type(X)
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}"
