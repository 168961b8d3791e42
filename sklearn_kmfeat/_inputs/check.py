"""The one decision what kind of thing X is, and what an estimator remembers of it."""

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import _get_feature_names, check_is_fitted

from .._utils.warn import warn
from .arrays import array_source
from .base import ImageSource
from .files import files_source, is_files, is_pillow_images, pillow_source
from .lists import is_list_of_images, list_source
from .pixel_range import remembered, watch_range
from .refused import refuse
from .request import Request
from .spread import is_spread, spread_source
from .stored import is_stored, stored_source
from .torch_dataset import dataset_source, is_dataset
from .values import SCAN_BYTES, numpy_dtype


class Form(NamedTuple):
    """A form of X.

    Attributes
    ----------
    accepts : callable
        Whether an X is of this form, decided without reading it.
    source : callable
        From X and a `Request` to an `ImageSource`.
    """

    accepts: Callable[[Any], bool]
    source: Callable[[Any, Request], ImageSource]


#: The forms of X; the first that accepts it counts. Everything else is taken for an array.
FORMS = {
    "on several machines": Form(is_spread, spread_source),
    "image files": Form(is_files, files_source),
    "torch Dataset": Form(is_dataset, dataset_source),
    "Pillow images": Form(is_pillow_images, pillow_source),
    "list of images": Form(is_list_of_images, list_source),
    "array on disk": Form(is_stored, stored_source),
}


def check_images(
    estimator: Any,
    X: Any,
    *,
    image_shape: Any = None,
    reset: bool = True,
    needs_sizes: bool = True,
    scan_bytes: int = SCAN_BYTES,
    image_contrast: bool = False,
    pixels_of_fit: bool = True,
) -> ImageSource:
    """Check X in any of its forms.

    Parameters
    ----------
    estimator : estimator
        Named in messages. With ``reset=False`` it is fitted, and X is held against
        its `image_shape_` and `n_features_in_`.
    X : object
        Images in one of the `FORMS`, or an array (n, H, W), (n, H, W, C) or (n, f).
    image_shape : tuple or None, default=None
        What the rows of a two-dimensional X are.
    reset : bool, default=True
        Whether this is a first fit. Nothing is set on the estimator: see `set_fitted`.
    needs_sizes : bool, default=True
        False where the estimator brings images to a size of its own: a source whose images
        would have to be read is then not asked for their sizes.
    scan_bytes : int, default=64 MiB
        Bytes that are looked through for NaN at a time.
    image_contrast : bool, default=False
        Whether `known_variance` of the source will be asked for, of a first fit.
    pixels_of_fit : bool, default=True
        Whether the images should have the range of those in `fit`; not so what is transformed back.

    Returns
    -------
    ImageSource

    Raises
    ------
    ValueError, TypeError
        With what was expected and what came.
    """
    shape = checked_image_shape(image_shape)
    request = Request(estimator, shape, reset, needs_sizes, scan_bytes, image_contrast)
    refuse(X, request.name)
    make = next((form.source for form in FORMS.values() if form.accepts(X)), array_source)
    source = make(X, request)
    if not reset:
        _check_same_kind(estimator, source, needs_sizes)
        if pixels_of_fit:
            watch_range(estimator, source)
    return source


def set_fitted(
    estimator: Any,
    X: Any,
    source: ImageSource,
    fitted: Mapping[str, Any],
    replaced: Iterable[str] = (),
) -> None:
    """Set all fitted attributes at once: an interrupt finds those of before, or all new ones.

    Beside those given, `image_shape_`, `n_features_in_` and `feature_names_in_` as X has them, and
    `_dtype`, in which all that a fitted estimator gives is, whatever X comes next: what follows it
    in a Pipeline may take no other.

    Parameters
    ----------
    estimator : estimator
    X : object
        As it was given to `fit`.
    source : ImageSource
        Of X.
    fitted : mapping
    replaced : iterable of str, default=()
        Attributes of earlier fits that are not set this time.
    """
    attributes = {
        "image_shape_": source.image_shape,
        "_dtype": numpy_dtype(source.dtype),
        "_pixel_range": remembered(source),
    }
    if source.shape is not None:
        attributes["n_features_in_"] = source.n_features
        names = _get_feature_names(X) if getattr(X, "ndim", 2) == 2 else None
        if names is not None:
            attributes["feature_names_in_"] = names
    old = {"n_features_in_", "feature_names_in_", *replaced}
    kept = {name: value for name, value in vars(estimator).items() if name not in old}
    estimator.__dict__ = kept | attributes | dict(fitted)


def warn_if_flattened(estimator: Any, source: ImageSource) -> None:
    """Warn when ready patches are as long as flattened images usually are."""
    if not source.ready:
        return
    for channels in (1, 3):
        side = round((source.n_channels / channels) ** 0.5)
        # Below 12 pixels, patches are as long as that.
        if side >= 12 and side * side * channels == source.n_channels:
            shape = (side, side) if channels == 1 else (side, side, 3)
            warn(
                f"Each row of X counts as one ready patch. If the rows are flattened images, "
                f"give {type(estimator).__name__} image_shape={shape}."
            )
            return


def _check_same_kind(estimator, source, needs_sizes):
    """Refuse images of another shape or channel count than in fit."""
    check_is_fitted(estimator)
    expected, got = estimator.image_shape_, source.image_shape
    name = type(estimator).__name__
    if (expected is None) != (got is None):
        forms = {True: "ready patches, one a row", False: f"images of shape {expected or got}"}
        raise ValueError(
            f"{name} was fitted on {forms[expected is None]}, but X holds {forms[got is None]}. "
            "For flattened images set image_shape."
        )
    if expected is None:
        if source.n_features != estimator.n_features_in_:
            raise ValueError(
                f"X has {source.n_features} features, but {name} is expecting "
                f"{estimator.n_features_in_} features as input."
            )
        return
    if expected[2] != got[2]:
        mode = {1: "L", 3: "RGB"}.get(expected[2])
        hint = f" Give ImageFiles mode={mode!r}." if source.decodes and mode else ""
        raise ValueError(f"X has {got[2]} channels, but {name} was fitted on {expected[2]}.{hint}")
    if expected[0] is None or expected == got or not (needs_sizes or source.sizes_known):
        return
    wrong = np.flatnonzero((source.sizes != expected[:2]).any(axis=1))
    if source.shape is None and not len(wrong):
        return
    got = (*source.sizes[wrong[0]].tolist(), got[2])
    if source.shape is None:
        got = f"{got} (image {wrong[0]})"
    raise ValueError(f"X has images of shape {got}, but {name} was fitted on shape {expected}.")


def checked_image_shape(image_shape: Any) -> tuple[int, int, int] | None:
    """The parameter `image_shape` of an estimator as (H, W, C), or None."""
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
