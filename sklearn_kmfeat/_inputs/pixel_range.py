"""The range of the pixels that an estimator was fitted on, which later images are held against."""

from typing import Any

from .._utils.warn import warn
from .base import ImageSource
from .values import ValueRange

# 0..255 and 0..1 differ by 255, standardised pixels (about -3..3) and 0..255 by 85. Photographs of
# one range differ by less, unless they are almost black: 255 and 6.
_FACTOR = 40
# A range with so large a share below zero has another zero than one that begins there; less is what
# smooth scaling of images leaves there.
_BELOW_ZERO = 0.2


def remembered(source: ImageSource) -> tuple[float, float] | None:
    """What an estimator keeps of the range of the images that it was fitted on."""
    values = source.pixel_range
    return tuple(values) if values.known and not source.ready else None


def watch_range(estimator: Any, source: ImageSource) -> None:
    """Warn, at once or when it is read, if images have another range than those of `fit`.

    Parameters
    ----------
    estimator : fitted estimator
    source : ImageSource
    """
    kept = getattr(estimator, "_pixel_range", None)
    if kept is None or source.ready:
        return
    fitted, name = ValueRange(*kept), type(estimator).__name__

    def compare(values):
        if differs(fitted, values):
            warn(_message(name, fitted, values, source))

    if source.seen_when_read:
        source.seen.on_first = compare
    else:
        compare(source.pixel_range)


def differs(fitted: ValueRange, values: ValueRange) -> bool:
    """Whether two ranges are of pixels in different units, or with another zero."""
    if not (fitted.magnitude and values.magnitude):
        return False
    ratio = values.magnitude / fitted.magnitude
    if not 1 / _FACTOR <= ratio <= _FACTOR:
        return True
    return fitted.low >= 0 and values.low < -_BELOW_ZERO * values.magnitude


def _message(name, fitted, values, source):
    cure = _cure(fitted.magnitude / values.magnitude, source)
    example = f", for example with {cure}" if cure else ""
    return (
        f"X has pixels from {values.low:.4g} to {values.high:.4g}, but {name} was fitted on pixels "
        f"from {fitted.low:.4g} to {fitted.high:.4g}. What it gives depends on the range: bring "
        f"them to the range of fit{example}."
    )


def _cure(ratio, source):
    """What to type, where fit had pixels so many times as large and that is a usual number."""
    if source.decodes:
        other = {"uint8": ("uint16", ratio / 257), "uint16": ("uint8", ratio * 257)}
        dtype, share = other.get(str(source.pixel_dtype), ("", 0))
        return f"ImageFiles(..., dtype={dtype!r})" if 0.5 < share < 2 else None
    for factor in (255, 257, 65535):
        # The largest pixel is seldom quite the largest that there could be.
        if 0.5 < ratio / factor < 2:
            return f"X * {factor}"
        if 0.5 < ratio * factor < 2:
            return f"X / {factor}"
    return None
