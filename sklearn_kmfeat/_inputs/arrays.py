"""Arrays in memory as sources of images."""

from typing import Any

import numpy as np
import torch
from sklearn import config_context
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .base import ImageSource
from .lists import SAMPLED, as_image, refuse_masked, thinned
from .request import Request, check_dtype, refuse_channels_first, refuse_one_image
from .values import UNSEEN, ValueRange, checked_range, compute_dtype, numpy_dtype


class ArraySource(ImageSource):
    """Images of one size in one array.

    Parameters
    ----------
    data : array of shape (n, H, W), (n, H, W, C) or (n, f)
        As the caller gave it; never changed, never copied whole.
    shape : (int, int, int)
        Height, width, channels.
    ready : bool, default=False
        Whether each row is a ready patch.
    values : ValueRange, default=UNSEEN
        Of the data.
    """

    def __init__(
        self,
        data: Any,
        shape: tuple[int, int, int],
        ready: bool = False,
        values: ValueRange = UNSEEN,
    ):
        dtype = np.dtype(data.dtype)
        computed = compute_dtype([dtype], values)
        super().__init__(data.shape[0], shape, shape[2], computed, dtype, ready, values)
        self.data = data

    def stored_shape(self, i):
        return tuple(self.data.shape[1:])

    def sample(self):
        some = self.data[:: 1 + (len(self) - 1) // SAMPLED]
        return [thinned(image) for image in some]

    def read(self, index, writable=False):
        return self.as_tensor(np.asarray(self.data[index]), writable)

    def as_tensor(self, block: np.ndarray, writable: bool = False) -> torch.Tensor:
        """Images (n, H, W, C) from what was read, in the dtype to compute in."""
        # torch takes no read-only memory, even to read it.
        copy = writable or not block.flags.writeable
        block = block.astype(numpy_dtype(self.dtype), order="C", copy=copy)
        return torch.from_numpy(block).reshape(len(block), *self.shape)


def array_source(X: Any, request: Request) -> ArraySource:
    """The source of an array in memory, or of anything that scikit-learn makes one of."""
    X = _in_memory(X, request)
    shape, ready = shape_of_images(X, request)
    return ArraySource(X, shape, ready, checked_range(X, "Input X", request.scan_bytes))


def shape_of_images(X: Any, request: Request) -> tuple[tuple[int, int, int], bool]:
    """(H, W, C) of the images in an array, and whether each is a ready patch.

    Raises
    ------
    ValueError
        For what are no images, and where the axes are in another order.
    """
    given = tuple(int(side) for side in X.shape)
    if len(given) not in (2, 3, 4):
        raise ValueError(
            f"X must be images (n, H, W) or (n, H, W, C), rows (n, f), or a list of images; "
            f"got an array of shape {given}."
        )
    if not given[0]:
        raise ValueError(f"Found array with 0 sample(s) (shape={given}), expected images.")
    if min(given) < 1:
        raise ValueError(f"X holds images without pixels: its shape is {given}.")
    refuse_one_image(request, given)
    wanted = request.image_shape
    if len(given) == 2:
        if wanted is None:
            return (1, 1, given[1]), True
        if given[1] != np.prod(wanted):
            raise ValueError(
                f"X has {given[1]} features, but {request.name} is expecting {np.prod(wanted)} "
                f"features as input: that is image_shape={wanted}."
            )
        return wanted, False
    shape = given[1:] if len(given) == 4 else (*given[1:], 1)
    if wanted is not None and shape != wanted:
        raise ValueError(f"image_shape={wanted} was given, but X has images of shape {shape}.")
    if not request.known_shape:
        refuse_channels_first(request, shape, X.dtype, f"X of shape {given}")
    return shape, False


def _in_memory(X, request):
    """An in-memory X as NumPy's array, checked for everything but its values and axes."""
    if torch.is_tensor(X):
        X = as_image(X)
    if isinstance(X, np.ma.MaskedArray):
        refuse_masked(X)
    if isinstance(X, list | tuple) and _depth(X) > 2:
        X = np.asarray(X)
    ndim = getattr(X, "ndim", None)
    if ndim == 2:
        refuse_one_image(request, tuple(X.shape))
    if ndim is not None and ndim > 2:
        check_dtype(request, X.dtype)
        return np.asarray(X)
    check = {"dtype": "numeric", "ensure_min_features": 1, "ensure_all_finite": False}
    # Of tensors and the like NumPy's arrays come out, whatever scikit-learn's settings are.
    with config_context(array_api_dispatch=False):
        if request.reset:
            return check_array(X, input_name="X", estimator=request.estimator, **check)
        return validate_data(request.estimator, X, reset=False, **check)


def _depth(X):
    """How many lists of lists there are, one in the other, at the beginning."""
    depth = 0
    while isinstance(X, list | tuple) and len(X):
        X, depth = X[0], depth + 1
    return depth
