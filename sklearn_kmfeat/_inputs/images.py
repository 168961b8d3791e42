"""The input layer: the forms of X that every estimator takes, as batches of tensors."""

import warnings
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

_SCAN_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Images:
    """Checked images that are read a batch at a time.

    Attributes
    ----------
    data : array or list of arrays
        As the caller gave it; never changed, never copied whole.
    shape : (int, int, int) or None
        Height, width, channels; None where the images differ in size. Ready patches
        are images of one pixel with as many channels as features.
    n_channels : int
    dtype : torch.dtype
        float64 for float64 data, otherwise float32.
    ready : bool
        Whether each row is a ready patch.
    """

    data: object
    shape: tuple | None
    n_channels: int
    dtype: torch.dtype
    ready: bool = False

    def __len__(self):
        return len(self.data)

    @property
    def sizes(self):
        """(height, width) of every image, an int array of shape (n, 2)."""
        if self.shape is not None:
            return np.broadcast_to(self.shape[:2], (len(self), 2))
        return np.array([image.shape[:2] for image in self.data])

    @property
    def n_features(self):
        """H * W * C, or None where the images differ in size."""
        return None if self.shape is None else int(np.prod(self.shape))

    def read(self, index):
        """The images at `index` as a tensor (len(index), H, W, C) on the CPU.

        Parameters
        ----------
        index : slice or increasing int array
            Images of one size.
        """
        dtype = np.float64 if self.dtype is torch.float64 else np.float32
        if self.shape is None:
            found = (np.asarray(self.data[i], dtype=dtype) for i in index)
            block = np.stack([image.reshape(*image.shape[:2], self.n_channels) for image in found])
            shape = block.shape[1:]
        else:
            block, shape = np.asarray(self.data[index]), self.shape
            block = block.astype(dtype, order="C", copy=not block.flags.writeable)
        return torch.from_numpy(block).reshape(len(block), *shape)

    def batches(self, n_images, members=None):
        """Batches of images of one size.

        Parameters
        ----------
        n_images : callable
            From (height, width) to the largest number of images in a batch.
        members : increasing int array or None, default=None
            Which images; None is all of them.

        Yields
        ------
        index : slice or int array
        images : tensor of shape (batch, H, W, C)
        """
        if self.shape is not None and members is None:
            step = n_images(self.shape[:2])
            for start in range(0, len(self), step):
                index = slice(start, min(start + step, len(self)))
                yield index, self.read(index)
            return
        members = np.arange(len(self)) if members is None else members
        sizes, which = np.unique(self.sizes[members], axis=0, return_inverse=True)
        for k, size in enumerate(sizes):
            group = members[which.ravel() == k]
            step = n_images(tuple(size.tolist()))
            for start in range(0, len(group), step):
                index = group[start : start + step]
                yield index, self.read(index)


def check_images(estimator, X, *, image_shape=None, reset=True):
    """Check X in any of its forms.

    Parameters
    ----------
    estimator : estimator
        Named in messages. With ``reset=False`` it is fitted, and X is held against
        its `image_shape_` and `n_features_in_`.
    X : array of shape (n, H, W), (n, H, W, C) or (n, f), or list of images
        Integers or floats.
    image_shape : tuple or None, default=None
        What the rows of a two-dimensional X are.
    reset : bool, default=True
        Whether this is a first fit. Nothing is set on the estimator: see `remember`.

    Returns
    -------
    Images

    Raises
    ------
    ValueError, TypeError
        With what was expected and what came.
    """
    shape = _checked_image_shape(image_shape)
    if _is_list_of_images(X):
        images = _ragged(estimator, X, shape)
    else:
        X = X if _is_sliceable(X) else _array(estimator, X, reset)
        from_X = _from_rows if X.ndim == 2 else _from_array
        images = from_X(estimator, X, shape)
    if not reset:
        check_same_kind(estimator, images)
    return images


def remember(estimator, X, images):
    """Set `image_shape_`, `n_features_in_` and the like once a fit has succeeded."""
    for name in ("n_features_in_", "feature_names_in_"):
        estimator.__dict__.pop(name, None)
    if images.shape is not None and getattr(X, "ndim", 2) == 2 and not _is_sliceable(X):
        validate_data(estimator, X, reset=True, skip_check_array=True)
    elif images.shape is not None:
        estimator.n_features_in_ = images.n_features
    estimator.image_shape_ = described_shape(images)


def described_shape(images):
    """(H, W, C); (None, None, C) for images that differ in size; None for ready patches."""
    if images.ready:
        return None
    return images.shape if images.shape is not None else (None, None, images.n_channels)


def check_same_kind(estimator, images):
    """Refuse images of another shape or channel count than in fit."""
    check_is_fitted(estimator)
    expected, got = estimator.image_shape_, described_shape(images)
    name = type(estimator).__name__
    if (expected is None) != (got is None):
        forms = {True: "ready patches, one a row", False: f"images of shape {expected or got}"}
        raise ValueError(
            f"{name} was fitted on {forms[expected is None]}, but X holds {forms[got is None]}. "
            "For flattened images set image_shape."
        )
    if expected is None:
        if images.n_features != estimator.n_features_in_:
            raise ValueError(
                f"X has {images.n_features} features, but {name} is expecting "
                f"{estimator.n_features_in_} features as input."
            )
        return
    if expected[2] != got[2]:
        raise ValueError(f"X has {got[2]} channels, but {name} was fitted on {expected[2]}.")
    if expected[0] is None or expected == got:
        return
    if got[0] is None:
        wrong = np.flatnonzero((images.sizes != expected[:2]).any(axis=1))
        if not len(wrong):
            return
        got = (*images.sizes[wrong[0]].tolist(), got[2])
        got = f"{got} (image {wrong[0]})"
    raise ValueError(f"X has images of shape {got}, but {name} was fitted on shape {expected}.")


def warn_if_flattened(estimator, images):
    """Warn when ready patches are as long as flattened images usually are."""
    if not images.ready:
        return
    for channels in (1, 3):
        side = round((images.n_channels / channels) ** 0.5)
        if side >= 12 and side * side * channels == images.n_channels:
            shape = (side, side) if channels == 1 else (side, side, 3)
            warnings.warn(
                f"Each row of X counts as one ready patch. If the rows are flattened images, "
                f"give {type(estimator).__name__} image_shape={shape}.",
                UserWarning,
                stacklevel=5,
            )
            return


def _is_sliceable(X):
    """Whether X is an array that is not in memory, such as those of h5py and zarr."""
    if isinstance(X, np.ndarray) or torch.is_tensor(X) or issparse(X) or hasattr(X, "iloc"):
        return False
    return getattr(X, "ndim", 0) > 1 and hasattr(X, "dtype") and hasattr(X, "__getitem__")


def _looks_channels_first(shape):
    """Whether (H, W, C) is more likely (C, H, W)."""
    height, width, channels = shape
    if min(width, channels) < 12:
        return False
    return height in (3, 4) or (width == channels and 2 * height < width)


def _refuse_channels_first(shape, where):
    if _looks_channels_first(shape):
        raise ValueError(
            f"{where} looks as if its channels come first. Images are (n, H, W, C) here: use "
            "np.moveaxis(X, 1, -1), or give image_shape if they are as they should be."
        )


def _is_list_of_images(X):
    if isinstance(X, np.ndarray):
        if X.dtype != object or X.ndim != 1:
            return False
    elif not isinstance(X, list | tuple):
        return False
    return len(X) > 0 and getattr(X[0], "ndim", 0) >= 2


def _checked_image_shape(image_shape):
    if image_shape is None:
        return None
    shape = tuple(image_shape)
    whole = all(isinstance(side, Integral) for side in shape)
    if not whole or len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(
            f"image_shape must be (H, W) or (H, W, C) of positive ints, got {image_shape!r}."
        )
    shape = tuple(int(side) for side in shape)
    return shape if len(shape) == 3 else (*shape, 1)


def _array(estimator, X, reset):
    """An in-memory X, checked for everything but the meaning of its axes."""
    ndim = getattr(X, "ndim", None)
    if ndim is not None and ndim > 2:
        _check_dtype(estimator, X.dtype)
        X = np.asarray(X)
        _check_finite(estimator, X)
        return X
    check = {"dtype": "numeric", "ensure_min_features": 1}
    if reset:
        return check_array(X, input_name="X", estimator=estimator, **check)
    return validate_data(estimator, X, reset=False, **check)


def _check_dtype(estimator, dtype):
    kind = getattr(dtype, "kind", None) or np.asarray(torch.empty(0, dtype=dtype)).dtype.kind
    if kind not in "iuf":
        raise TypeError(
            f"{type(estimator).__name__} expects images of an integer or float dtype, got "
            f"{dtype}. Convert them, for example with X.astype(np.uint8)."
        )


def _check_finite(estimator, data):
    if getattr(data.dtype, "kind", "f") != "f":
        return
    step = max(1, _SCAN_BYTES // max(1, int(np.prod(data.shape[1:])) * data.dtype.itemsize))
    for start in range(0, len(data), step):
        block = np.asarray(data[start : start + step])
        assert_all_finite(block, input_name="X", estimator_name=type(estimator).__name__)


def _compute_dtype(dtype):
    return torch.float64 if np.dtype(dtype).type is np.float64 else torch.float32


def _from_rows(estimator, X, shape):
    if _is_sliceable(X):
        _check_dtype(estimator, X.dtype)
        _check_finite(estimator, X)
    dtype = _compute_dtype(X.dtype)
    if shape is None:
        return Images(X, (1, 1, X.shape[1]), X.shape[1], dtype, ready=True)
    if X.shape[1] != np.prod(shape):
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{np.prod(shape)} features as input: image_shape={shape} says so."
        )
    return Images(X, shape, shape[2], dtype)


def _from_array(estimator, X, shape):
    if X.ndim not in (3, 4):
        raise ValueError(
            f"X must be images (n, H, W) or (n, H, W, C), rows (n, f), or a list of images; "
            f"got an array of shape {tuple(X.shape)}."
        )
    if not len(X):
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}), expected images.")
    if not isinstance(X, np.ndarray):
        _check_dtype(estimator, X.dtype)
        _check_finite(estimator, X)
    found = tuple(int(side) for side in X.shape[1:]) + (() if X.ndim == 4 else (1,))
    if min(found) < 1:
        raise ValueError(f"X holds images without pixels: its shape is {tuple(X.shape)}.")
    if shape is not None and found != shape:
        raise ValueError(f"image_shape={shape} was given, but X has images of shape {found}.")
    if shape is None:
        _refuse_channels_first(found, f"X of shape {tuple(X.shape)}")
    return Images(X, found, found[2], _compute_dtype(X.dtype))


def _ragged(estimator, X, shape):
    images = [image if isinstance(image, np.ndarray) else np.asarray(image) for image in X]
    channels = {1 if image.ndim == 2 else image.shape[-1] for image in images if image.ndim > 1}
    for i, image in enumerate(images):
        if image.ndim not in (2, 3) or not image.size:
            raise ValueError(
                f"Image {i} of the list has shape {image.shape}; expected (H, W) or (H, W, C)."
            )
        _check_dtype(estimator, image.dtype)
        if shape is None and image.ndim == 3:
            _refuse_channels_first(image.shape, f"Image {i} of the list, of shape {image.shape},")
        if image.dtype.kind == "f":
            assert_all_finite(image, input_name=f"X[{i}]", estimator_name=type(estimator).__name__)
    if len(channels) > 1:
        raise ValueError(
            f"All images of a list must have the same number of channels, got {sorted(channels)}."
        )
    if shape is not None:
        wrong = [i for i, image in enumerate(images) if (*image.shape, 1)[:3] != shape]
        if wrong:
            raise ValueError(
                f"image_shape={shape} was given, but image {wrong[0]} of the list has shape "
                f"{images[wrong[0]].shape}."
            )
    dtype = np.result_type(
        *{image.dtype for image in images if image.dtype.kind == "f"} or [np.uint8]
    )
    return Images(images, None, channels.pop(), _compute_dtype(dtype))
