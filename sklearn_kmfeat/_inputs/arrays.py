"""Arrays, in memory or on disk, and lists of arrays, as sources of images."""

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .base import ImageSource
from .request import Request
from .values import UNSEEN, NotFiniteError, ValueRange, compute_dtype, numpy_dtype, value_range


class ArraySource(ImageSource):
    """Images of one size in one array, in memory or on disk.

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
        super().__init__(len(data), shape, shape[2], computed, dtype, ready, values)
        self.data = data

    def stored_shape(self, i):
        return tuple(self.data.shape[1:])

    def read(self, index, writable=False):
        block = np.asarray(self.data[index])
        # torch takes no read-only memory, even to read it.
        copy = writable or not block.flags.writeable
        block = block.astype(numpy_dtype(self.dtype), order="C", copy=copy)
        return torch.from_numpy(block).reshape(len(block), *self.shape)


class ListSource(ImageSource):
    """Images that may differ in size, one array each.

    Parameters
    ----------
    images : list of arrays of shape (H, W) or (H, W, C)
        Never changed.
    n_channels : int
    values : ValueRange, default=UNSEEN
        Of all images together.
    """

    def __init__(self, images: list[np.ndarray], n_channels: int, values: ValueRange = UNSEEN):
        kinds = {image.dtype for image in images}
        dtype, pixel_dtype = compute_dtype(kinds, values), np.result_type(*kinds)
        super().__init__(len(images), None, n_channels, dtype, pixel_dtype, values=values)
        self.images = images

    @property
    def sizes(self):
        """(height, width) of every image, an int array of shape (n, 2)."""
        return np.array([image.shape[:2] for image in self.images])

    def stored_shape(self, i):
        return self.images[i].shape

    def read(self, index, writable=False):
        dtype = numpy_dtype(self.dtype)
        chosen = (np.asarray(self.images[i], dtype=dtype) for i in index)
        # The stack is memory of its own.
        block = np.stack([image.reshape(*image.shape[:2], self.n_channels) for image in chosen])
        return torch.from_numpy(block)


def is_list_of_images(X: Any) -> bool:
    """Whether X is a list, tuple or object array of arrays."""
    if isinstance(X, np.ndarray):
        if X.dtype != object or X.ndim != 1:
            return False
    elif not isinstance(X, list | tuple):
        return False
    return any(getattr(image, "ndim", 0) >= 2 for image in X)


def list_source(X: Any, request: Request) -> ListSource:
    """The source of a list, tuple or object array of images."""
    images = [_as_numpy(image) for image in X]
    shape, values = request.image_shape, UNSEEN
    for i, image in enumerate(images):
        if image.ndim not in (2, 3) or not image.size:
            came = f"has shape {image.shape}" if image.ndim or X[i] is not None else "is None"
            raise ValueError(f"Image {i} of the list {came}; expected (H, W) or (H, W, C).")
        _check_dtype(request, image.dtype)
        if shape is None and image.ndim == 3:
            _refuse_channels_first(image.shape, f"Image {i} of the list, of shape {image.shape},")
        values |= _range_of_image(image, i)
    channels = [1 if image.ndim == 2 else image.shape[-1] for image in images]
    usual = max(channels, key=channels.count)
    other = next((i for i, n in enumerate(channels) if n != usual), None)
    if other is not None:
        raise ValueError(
            "All images of a list must have the same number of channels, but image "
            f"{other} has {channels[other]}, most have {usual}. Convert it, for example "
            "with PIL's image.convert('RGB')."
        )
    if shape is not None:
        wrong = [i for i, image in enumerate(images) if (*image.shape, 1)[:3] != shape]
        if wrong:
            raise ValueError(
                f"image_shape={shape} was given, but image {wrong[0]} of the list has shape "
                f"{images[wrong[0]].shape}."
            )
    return ListSource(images, usual, values)


def is_array_on_disk(X: Any) -> bool:
    """Whether X is an array that is not in memory, such as those of h5py and zarr."""
    if isinstance(X, np.ndarray) or torch.is_tensor(X) or issparse(X) or hasattr(X, "iloc"):
        return False
    return getattr(X, "ndim", 0) > 1 and hasattr(X, "dtype") and hasattr(X, "__getitem__")


def array_source(X: Any, request: Request) -> ArraySource:
    """The source of an array, or of anything that scikit-learn makes one of."""
    X = X if is_array_on_disk(X) else _in_memory(X, request)
    return _source_of_rows(X, request) if X.ndim == 2 else _source_of_images(X, request)


def _in_memory(X, request):
    """An in-memory X as NumPy's array, checked for everything but its values and axes."""
    X = _as_numpy(X) if torch.is_tensor(X) else X
    if isinstance(X, list | tuple) and not len(X):
        raise ValueError(
            "X is an empty list: expected images, at least one, or rows. Were no files found in "
            "the folder that was meant?"
        )
    ndim = getattr(X, "ndim", None)
    if ndim is not None and ndim > 2:
        _check_dtype(request, X.dtype)
        return np.asarray(X)
    check = {"dtype": "numeric", "ensure_min_features": 1, "ensure_all_finite": False}
    # Of tensors and the like NumPy's arrays come out, whatever scikit-learn's settings are.
    with config_context(array_api_dispatch=False):
        if request.reset:
            return check_array(X, input_name="X", estimator=request.estimator, **check)
        return validate_data(request.estimator, X, reset=False, **check)


def _as_numpy(image):
    """NumPy's array of an array, a tensor on any device, or the like."""
    if torch.is_tensor(image):
        image = image.detach().cpu()
        image = (image.float() if image.dtype is torch.bfloat16 else image).numpy()
    return np.asarray(image)


def _source_of_rows(X, request):
    if is_array_on_disk(X):
        _check_dtype(request, X.dtype)
    shape = request.image_shape
    if shape is None:
        return ArraySource(X, (1, 1, X.shape[1]), ready=True, values=_range_of(X, request))
    if X.shape[1] != np.prod(shape):
        raise ValueError(
            f"X has {X.shape[1]} features, but {request.name} is expecting {np.prod(shape)} "
            f"features as input: that is image_shape={shape}."
        )
    return ArraySource(X, shape, values=_range_of(X, request))


def _source_of_images(X, request):
    if X.ndim not in (3, 4):
        raise ValueError(
            f"X must be images (n, H, W) or (n, H, W, C), rows (n, f), or a list of images; "
            f"got an array of shape {tuple(X.shape)}."
        )
    if not len(X):
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}), expected images.")
    if not isinstance(X, np.ndarray):
        _check_dtype(request, X.dtype)
    shape = tuple(int(side) for side in X.shape[1:]) + (() if X.ndim == 4 else (1,))
    if min(shape) < 1:
        raise ValueError(f"X holds images without pixels: its shape is {tuple(X.shape)}.")
    if request.image_shape is None:
        _refuse_channels_first(shape, f"X of shape {tuple(X.shape)}")
    elif shape != request.image_shape:
        raise ValueError(
            f"image_shape={request.image_shape} was given, but X has images of shape {shape}."
        )
    return ArraySource(X, shape, values=_range_of(X, request))


def _check_dtype(request, dtype):
    kind = getattr(dtype, "kind", None) or np.asarray(torch.empty(0, dtype=dtype)).dtype.kind
    if kind not in "iuf":
        raise TypeError(
            f"{request.name} expects images of an integer or float dtype, got {dtype}. Convert "
            "them, for example with X.astype(np.uint8)."
        )


def _range_of(X, request):
    """The range of an array; NaN and infinity are refused."""
    try:
        return value_range(X, request.scan_bytes)
    except NotFiniteError as error:
        first, *place = error.where
        if X.ndim == 2:
            raise _not_finite("X", error, f"in row {first}, column {place[0]}") from None
        raise _not_finite("X", error, f"in image {first}, at {_place(place)}") from None


def _range_of_image(image, i):
    """The range of one image of a list; NaN and infinity are refused."""
    try:
        return value_range(image)
    except NotFiniteError as error:
        raise _not_finite(f"X[{i}]", error, f"at {_place(error.where)}") from None


def _not_finite(name, error, where):
    value = "NaN" if np.isnan(error.value) else "infinity"
    return ValueError(
        f"Input {name} contains {value} {where}. Images must be finite: leave it out, or replace "
        "such values, for example with np.nan_to_num(X)."
    )


def _place(index):
    return ", ".join(map("{} {}".format, ("row", "column", "channel"), index))


def _refuse_channels_first(shape, where):
    if _looks_channels_first(shape):
        raise ValueError(
            f"{where} looks as if its channels come first. Images are (n, H, W, C) here: use "
            "np.moveaxis(X, 1, -1), or give image_shape if they are as they should be."
        )


def _looks_channels_first(shape):
    """Whether (H, W, C) is more likely (C, H, W)."""
    height, width, channels = shape
    # Below 12 pixels, small images and maps of a few filters look alike.
    if min(width, channels) < 12:
        return False
    return height in (3, 4) or (width == channels and 2 * height < width)
