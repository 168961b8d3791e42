"""The values of images: whether they are finite, and in which dtype they can be computed."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

# Bytes of images that are looked through at a time: a fraction of the caches that readers of files
# keep, so that checking needs no more memory.
SCAN_BYTES = 64 * 2**20
# Integers of more than two bytes are computed in float64 where they are larger than those of two
# bytes can be: at ten million most patches would count as constant.
_LARGEST_INT_IN_FLOAT32 = 2**16
# Values farther from zero than 17 times their range are computed in float64. The mean of a patch is
# rounded as the values are: at 20,000 to 20,255, features in float32 were wrong by half a percent.
_RESOLUTION = 2e-6
# From here, contrasts of a few units are close to the rounding of their mean in float64.
_LARGEST_INT = 2**45
# Sums of thousands of squares, and squares of a hundred-millionth of the largest value, are numbers
# of the dtype for magnitudes in between.
_LIMITS = {torch.float32: (1e-15, 1e15), torch.float64: (1e-140, 1e140)}


class ValueRange(NamedTuple):
    """The lowest and the highest value of images.

    Attributes
    ----------
    low, high : float or int
    """

    low: float
    high: float

    def __or__(self, other: "ValueRange") -> "ValueRange":
        return ValueRange(min(self.low, other.low), max(self.high, other.high))

    @property
    def known(self) -> bool:
        """Whether values were looked at."""
        return self.low <= self.high

    @property
    def magnitude(self) -> float:
        """The largest absolute value; 0 for those that were not looked at."""
        return max(abs(self.low), abs(self.high)) if self.known else 0.0

    def fits(self, dtype: torch.dtype) -> bool:
        """Whether squares of the values are numbers of a dtype; zeros fit any."""
        least, most = _LIMITS[dtype]
        return self.magnitude == 0 or least <= self.magnitude <= most

    def resolution(self, dtype: torch.dtype) -> float:
        """What rounding to a dtype takes from the values, as a share of their range.

        0 for values that are all the same.
        """
        extent = self.high - self.low
        return self.magnitude * torch.finfo(dtype).eps / extent if extent > 0 else 0.0


#: That of images whose values need not be looked at, or were not.
UNSEEN = ValueRange(np.inf, -np.inf)


class NotFiniteError(ValueError):
    """Images hold NaN or infinity; `where` is the first such value's index in the array."""

    def __init__(self, value: float, where: tuple[int, ...]):
        super().__init__(f"{value} at {where}")
        self.value, self.where = float(value), where


def value_range(
    data: Any,
    scan_bytes: int = SCAN_BYTES,
    ends: np.ndarray | None = None,
    on_block: Callable[[np.ndarray], None] | None = None,
) -> ValueRange:
    """The range of an array of images, looked through a part at a time.

    Parameters
    ----------
    data : array of shape (n, ...)
        In memory or on disk. Bytes are not looked at.
    scan_bytes : int, default=64 MiB
    ends : increasing int array or None, default=None
        Where chunks end. Parts are whole chunks, if that takes more memory, too.
    on_block : callable or None, default=None
        Called with each part that is read.

    Returns
    -------
    ValueRange

    Raises
    ------
    NotFiniteError
        For NaN or infinity.
    """
    dtype = np.dtype(data.dtype)
    if not data.shape[0] or dtype.itemsize == 1:
        return UNSEEN
    row_bytes = max(1, int(np.prod(data.shape[1:])) * dtype.itemsize)
    ranges = None
    for start, stop in parts_of_chunks(data.shape[0], max(1, scan_bytes // row_bytes), ends):
        block = np.asarray(data[start:stop])
        low, high = block.min(), block.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            first = np.unravel_index(np.argmin(np.isfinite(block)), block.shape)
            where = (start + int(first[0]), *map(int, first[1:]))
            raise NotFiniteError(block[first], where)
        found = ValueRange(low.item(), high.item())
        ranges = found if ranges is None else ranges | found
        if on_block is not None:
            on_block(block)
    return ranges


def parts_of_chunks(n: int, step: int, ends: np.ndarray | None = None) -> Iterator[tuple[int, int]]:
    """Where parts of `n` images begin and end.

    Parameters
    ----------
    n, step : int
        Images in all, and at most in a part.
    ends : increasing int array or None, default=None
        Where chunks end, the last of them at `n`. Parts are whole chunks, at least one.
    """
    start = 0
    while start < n:
        stop = min(start + step, n)
        if ends is not None:
            next_end = np.searchsorted(ends, start, side="right")
            last = np.searchsorted(ends, stop, side="right") - 1
            stop = int(ends[max(next_end, last)])
        yield start, stop
        start = stop


def checked_range(
    data: Any, name: str, *scan: Any, first: int | None = None, **options: Any
) -> ValueRange:
    """The range of an array of images, or of one image; NaN and infinity are refused.

    Parameters
    ----------
    data : array of shape (n, ...); of one image (H, W) or (H, W, C)
    name : str
        What the images, or the one image, are called in messages.
    *scan, **options
        As in `value_range`.
    first : int or None, default=None
        The number of the first image where `data` is a part of them.

    Returns
    -------
    ValueRange

    Raises
    ------
    ValueError
        With the place of the first value that is not finite.
    """
    try:
        return value_range(data, *scan, **options)
    except NotFiniteError as error:
        value = "NaN" if np.isnan(error.value) else "infinity"
        if name != "Input X":
            where = f"at {_place(error.where)}"
        else:
            image, *place = error.where
            image += first or 0
            where = f"in image {image}, at {_place(place)}"
            if len(data.shape) == 2:
                where = f"in row {image}, column {place[0]}"
        raise ValueError(
            f"{name} contains {value} {where}. Images must be finite: leave it out, or replace "
            "such values, for example with np.nan_to_num(X)."
        ) from None


def _place(index):
    return ", ".join(map("{} {}".format, ("row", "column", "channel"), index))


def compute_dtype(dtypes: Iterable[np.dtype], values: ValueRange, name: str = "X") -> torch.dtype:
    """The dtype that images are computed in.

    Parameters
    ----------
    dtypes : iterable of numpy dtype
        Of the images, integers or floats.
    values : ValueRange
        Of all images together.
    name : str, default="X"
        What the images are called in messages.

    Returns
    -------
    torch.dtype
        float64 for floats of 64 bits and more, and for values that float32 cannot hold; otherwise
        float32.

    Raises
    ------
    ValueError
        For values that float64 cannot hold.
    """
    dtypes = [np.dtype(dtype) for dtype in dtypes]
    whole = all(dtype.kind in "iu" for dtype in dtypes)
    if whole and values.magnitude > _LARGEST_INT:
        raise ValueError(
            f"{name} holds integers up to {values.magnitude}, whose differences are lost in "
            f"float64. Subtract what they have in common, for example X - {values.low}."
        )
    if not values.fits(torch.float64):
        raise ValueError(
            f"{name} holds values up to {values.magnitude:.3g}, whose squares float64 cannot hold. "
            f"Scale them, for example by X / {values.magnitude:.3g}."
        )
    if any(dtype.kind == "f" and dtype.itemsize >= 8 for dtype in dtypes):
        return torch.float64
    if whole and values.magnitude >= _LARGEST_INT_IN_FLOAT32:
        return torch.float64
    held = values.fits(torch.float32) and values.resolution(torch.float32) <= _RESOLUTION
    return torch.float32 if held else torch.float64


def numpy_dtype(dtype: torch.dtype) -> type:
    """float64 or float32 as NumPy has it."""
    return np.float64 if dtype is torch.float64 else np.float32
