"""The range of the pixels that an estimator was fitted on, which later images are held against."""

from functools import partial
from typing import Any

import numpy as np

from .._utils.warn import warn
from .base import ImageSource
from .values import ValueRange

# 0..255 and 0..1 differ by 255, standardised pixels (about -3..3) and 0..255 by 85. Photographs of
# one range differ by less, unless they are almost black: 255 and 6.
_FACTOR = 40
# A range with so large a share below zero has another zero than one that begins there; less is what
# smooth scaling of images leaves there.
_BELOW_ZERO = 0.2
# So many images, all without a pixel below zero, are not of a range with half of it there.
_SEVERAL = 8


def remembered(source: ImageSource) -> tuple[float, float, str] | None:
    """What an estimator keeps of the images that it was fitted on: lowest, highest, dtype."""
    values = source.pixel_range
    return (*values, str(source.pixel_dtype)) if values.known and not source.ready else None


def watch_range(estimator: Any, source: ImageSource) -> None:
    """Warn, at once or when all are read, if images have another range than those of `fit`.

    Parameters
    ----------
    estimator : fitted estimator
    source : ImageSource
    """
    kept = getattr(estimator, "_pixel_range", None)
    if kept is None or source.ready:
        return
    compare = partial(_compare, type(estimator).__name__, kept, source)
    if source.seen_when_read:
        source.seen.on_end = compare
    else:
        compare(source.pixel_range)


def _compare(name, kept, source, values):
    fitted, dtype = ValueRange(*kept[:2]), str(source.pixel_dtype)
    # Bytes are bytes, however dark the images.
    may_be_dark = dtype == kept[2] and source.pixel_dtype.kind in "iu"
    if differs(fitted, values, len(source) >= _SEVERAL, may_be_dark):
        cure = _cure(fitted, values, source)
        example = f", for example with {cure}" if cure else ""
        warn(
            f"X has pixels from {values.low:.4g} to {values.high:.4g}, but {name} was fitted on "
            f"pixels from {fitted.low:.4g} to {fitted.high:.4g}. What it gives depends on the "
            f"range: bring them to the range of fit{example}."
        )


def differs(
    fitted: ValueRange, values: ValueRange, several: bool = True, may_be_dark: bool = False
) -> bool:
    """Whether two ranges are of pixels in different units, or with another zero.

    Parameters
    ----------
    fitted, values : ValueRange
    several : bool, default=True
        Whether the values are of more than a few images.
    may_be_dark : bool, default=False
        Whether smaller values are dark images rather than other units.
    """
    if not (fitted.magnitude and values.magnitude):
        return False
    ratio = values.magnitude / fitted.magnitude
    if ratio > _FACTOR or (ratio < 1 / _FACTOR and not may_be_dark):
        return True
    below, below_now = _below_zero(fitted), _below_zero(values)
    return (below_now and fitted.low >= 0) or (several and below and values.low >= 0)


def _below_zero(values):
    return values.low < -_BELOW_ZERO * values.magnitude


def _cure(fitted, values, source):
    """What to type, where the two ranges are usual ones that begin at zero."""
    if _below_zero(fitted) or _below_zero(values):
        return None
    ratio = fitted.magnitude / values.magnitude
    # White is 1, 255 or 65,535; the largest pixel is seldom quite that.
    units = min(fitted.magnitude, values.magnitude) < 2
    step = max(ratio, 1 / ratio)
    usual = (255, 65535) if units else (257,)
    factor = min(usual, key=lambda factor: abs(np.log(step / factor)))
    if not 0.5 < step / factor < 2:
        return None
    if source.decodes:
        dtype = {"uint8": "uint16", "uint16": "uint8"}.get(str(source.pixel_dtype))
        return f"ImageFiles(..., dtype={dtype!r})" if factor == 257 and dtype else None
    if ratio < 1:
        return f"X / {factor}"
    return f"X * {factor}" if source.pixel_dtype.kind == "f" else f"X.astype(float) * {factor}"
