"""Models that were pickled by another version of the package."""

import sys
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

from .warn import warn

_KEY = "_sklearn_kmfeat_version"


def package_version() -> str:
    """The version of this package."""
    return sys.modules[__name__.partition(".")[0]].__version__


class OtherVersionWarning(InconsistentVersionWarning):
    """A model was stored by another version; who catches scikit-learn's warning catches it, too.

    Parameters
    ----------
    estimator_name : str
    original_version, current_version : str
        Of this package.
    """

    def __init__(self, estimator_name: str, original_version: str, current_version: str):
        super().__init__(
            estimator_name=estimator_name,
            current_sklearn_version=None,
            original_sklearn_version=None,
        )
        self.original_version, self.current_version = original_version, current_version

    def __str__(self):
        return (
            f"A {self.estimator_name} that was pickled by sklearn_kmfeat {self.original_version} "
            f"is read by {self.current_version}. Its results may differ: fit it again, or install "
            "that version."
        )


class Versioned:
    """A base of estimators that tells, when one comes from a pickle, if versions differ.

    scikit-learn does that for its own version only.
    """

    def __getstate__(self):
        return {**super().__getstate__(), _KEY: package_version()}

    def __setstate__(self, state):
        state = dict(state)
        pickled_by = state.pop(_KEY, "0.1.0")
        super().__setstate__(state)
        if pickled_by != package_version():
            self.__dict__[_KEY] = pickled_by
            warn(OtherVersionWarning(type(self).__name__, pickled_by, package_version()))

    def __getattr__(self, name: str) -> Any:
        """Tell why something that every fitted estimator has is missing."""
        pickled_by = self.__dict__.get(_KEY)
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        if pickled_by is not None and not name.startswith("__"):
            message += (
                f". It was pickled by sklearn_kmfeat {pickled_by}, and this is "
                f"{package_version()}: fit it again, or install that version"
            )
        raise AttributeError(message)
