"""Warnings that point at the user's line."""

import sys
import warnings

from .quiet import is_quiet

# Code between the user's line and ours: a Pipeline, a grid search, a worker, the epochs of skorch.
_LIBRARIES = {"contextlib", "joblib", "sklearn", "sklearn_kmfeat", "skorch", "torch"}


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this library, and outside those it is called through.

    A fixed `stacklevel` points somewhere into a library as soon as the estimator stands in a
    Pipeline, or `fit` is wrapped once more. Inside `quiet` nobody is warned.

    Parameters
    ----------
    message : str or Warning
        Of a warning, its own category counts.
    category : type of warning, default=UserWarning
    """
    if is_quiet():
        return
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_library(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_library(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES
