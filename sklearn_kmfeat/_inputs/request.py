"""What an estimator asks of the input layer, and what every form of X is held against."""

from typing import Any, NamedTuple

import numpy as np
import torch

from .base import ImageSource


class Request(NamedTuple):
    """What a form of X is checked for.

    Attributes
    ----------
    estimator : estimator
        Named in messages; fitted where `reset` is False.
    image_shape : (int, int, int) or None
        What the rows of a two-dimensional X are; of other forms, what the images must be.
    reset : bool
        Whether this is a first fit.
    needs_sizes : bool
        False where the estimator brings images to a size of its own.
    scan_bytes : int
        Bytes that are looked through for NaN at a time.
    image_contrast : bool, default=False
        Whether `known_variance` of the source will be asked for, of a first fit.
    """

    estimator: Any
    image_shape: tuple[int, int, int] | None
    reset: bool
    needs_sizes: bool
    scan_bytes: int
    image_contrast: bool = False

    @property
    def name(self) -> str:
        """The class of the estimator."""
        return type(self.estimator).__name__

    @property
    def fitted_shape(self) -> tuple | None:
        """(H, W, C) of the images of `fit`, if that was before."""
        return None if self.reset else getattr(self.estimator, "image_shape_", None)

    @property
    def known_shape(self) -> bool:
        """Whether the user told, or `fit` knows, which axis is which."""
        return self.image_shape is not None or self.fitted_shape is not None


def check_dtype(request: Request, dtype: Any) -> None:
    """Refuse what is neither integers nor floats."""
    kind = getattr(dtype, "kind", None) or np.asarray(torch.empty(0, dtype=dtype)).dtype.kind
    if kind not in "iuf":
        raise TypeError(
            f"{request.name} expects images of an integer or float dtype, got {dtype}. Convert "
            "them, for example with X.astype(np.uint8)."
        )


def check_image_shape(request: Request, source: ImageSource, name: str) -> None:
    """Refuse images of another shape than the `image_shape` that was given."""
    shape = request.image_shape
    if shape is None or not request.needs_sizes:
        return
    wrong = np.flatnonzero((source.sizes != shape[:2]).any(axis=1))
    if source.n_channels != shape[2]:
        wrong = np.arange(1)
    if len(wrong):
        got = source.stored_shape(wrong[0])
        raise ValueError(
            f"image_shape={shape} was given, but image {wrong[0]} of the {name} has shape {got}."
        )


def refuse_channels_first(
    request: Request, shape: tuple[int, int, int], dtype: Any, where: str
) -> None:
    """Refuse images (H, W, C) that are more likely (C, H, W)."""
    if _looks_channels_first(request, shape, dtype):
        raise ValueError(
            f"{where} looks as if its channels come first. Images are (n, H, W, C) here: use "
            "np.moveaxis(X, 1, -1), or give image_shape if they are as they should be, as maps of "
            "another learner are."
        )


def _looks_channels_first(request, shape, dtype):
    """Whether (H, W, C) is more likely (C, H, W)."""
    height, width, channels = shape
    # Below 12 pixels, small images and maps of a few filters look alike.
    if min(width, channels) < 12:
        return False
    if height in (3, 4) or (width == channels and 2 * height < width):
        return True
    # Few images are more than twice as long as wide, which these are read as (H, W, C), and are
    # not read as (C, H, W). But maps of a first layer of wide images look like that: they are
    # floats, have seldom 48 filters and as many columns, and go to second layers.
    takes_maps = getattr(request.estimator, "_takes_maps", False)
    if np.dtype(dtype).kind == "f" and (takes_maps or min(width, channels) < 48):
        return False
    return 2 * height < min(width, channels) and max(width, channels) <= 2 * min(width, channels)


def refuse_one_image(request: Request, shape: tuple[int, ...]) -> None:
    """Refuse one image (H, W, C) that is about to be taken for H grey ones.

    Parameters
    ----------
    request : Request
    shape : tuple of int
        Of X, which has two or three axes.
    """
    fitted = request.fitted_shape
    if len(shape) == 3 and request.image_shape is None:
        height, width, channels = shape
        # A grey image of 1, 3 or 4 by at least 12 pixels would be an odd thing.
        odd = channels in (1, 3, 4) and min(height, width) >= 12
        of_fit = fitted is not None and fitted[2] == channels and channels > 1
        if fitted is not None and fitted[2] > 1 and height == fitted[2] != channels:
            raise ValueError(
                f"X of shape {shape} looks like one image with channels first, (C, H, W). Use "
                "np.moveaxis(X, 0, -1)[np.newaxis]."
            )
        any_size = fitted is None or fitted[0] is None
        if (odd and any_size) or (of_fit and fitted[1] != channels):
            raise ValueError(
                f"X of shape {shape} looks like one image (H, W, C), and would be read as "
                f"{height} grey images of {width} x {channels} pixels. For one image use "
                "X[np.newaxis]; if they are grey images, give image_shape."
            )
    if len(shape) == 2 and fitted is not None and shape == tuple(fitted[:2]):
        raise ValueError(
            f"X of shape {shape} looks like one image (H, W), and would be read as {shape[0]} "
            "rows. For one image use X[np.newaxis]."
        )
