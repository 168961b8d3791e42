"""Asking an estimator several questions about the same images."""

from typing import Any

from sklearn.pipeline import Pipeline


def encoded_once(estimator: Any, X: Any) -> tuple[Any, Any]:
    """The last step of a Pipeline, and what the steps before it make of X.

    Encoding takes the time: what is asked of the last step costs nothing beside it.

    Parameters
    ----------
    estimator : estimator
    X : object

    Returns
    -------
    last : estimator
        Another one than a Pipeline stays as it is.
    X : object
        What it takes.
    """
    if not isinstance(estimator, Pipeline) or len(estimator) < 2:
        return estimator, X
    if not hasattr(estimator[-1], "fit"):  # "passthrough"
        return estimator, X
    return estimator[-1], estimator[:-1].transform(X)
