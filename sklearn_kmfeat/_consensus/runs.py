"""Fits of the members of a vote, each from its own random numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._cluster_classifier import clusters_of, one_cluster_per_sample

#: What the number of clusters is called, in scikit-learn's clusterers and in its mixtures.
_SIZE_NAMES = ("n_clusters", "n_components")


class Run(NamedTuple):
    """A fitted member.

    Attributes
    ----------
    estimator : estimator
    classes : ndarray of shape (k,)
        Its clusters, as it calls them, in sorted order; without the -1 of noise.
    labels : int32 ndarray of shape (n,)
        The place in `classes` of the cluster of each training image; -1 where it has none.
    """

    estimator: Any
    classes: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, estimator: Any, X: Any) -> "Run":
        """The run of an estimator that was fitted on X."""
        labels = _labels_of_fit(estimator, X)
        classes = np.unique(labels)
        classes = classes[classes != -1]
        return cls(estimator, classes, places(labels, classes))


def places(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Where labels stand in the sorted `classes`, int32; -1 for what is not among them."""
    if not len(classes):
        return np.full(len(labels), -1, dtype=np.int32)
    found = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    return np.where(classes[found] == labels, found, -1).astype(np.int32)


def fit_runs(
    member: Any,
    X: Any,
    seed: int,
    sizes: Sequence[int | None],
    fit_params: Mapping[str, Any],
) -> list[Run]:
    """One run of a member for each number of clusters; None leaves the member as it is.

    What comes before the clusterer in a Pipeline is fitted once for all of them.

    Parameters
    ----------
    member : estimator
        Not changed.
    X : object
    seed : int
        Of all its random states.
    sizes : sequence of int or None
    fit_params : mapping
        Metadata for `fit`.

    Returns
    -------
    list of Run
    """
    member = with_seed(member, seed)
    if len(sizes) == 1 or fit_params or not isinstance(member, Pipeline):
        members = [with_size(member, size) for size in sizes]
        return [Run.of(one.fit(X, None, **fit_params), X) for one in members]
    first = member[:-1]
    rows = first.fit_transform(X)
    last = [with_size(member[-1], size).fit(rows) for size in sizes]
    steps = [Pipeline([*first.steps, (member.steps[-1][0], one)]) for one in last]
    return [
        Run.of(one, rows)._replace(estimator=pipeline)
        for one, pipeline in zip(last, steps, strict=True)
    ]


def with_seed(member: Any, seed: int) -> Any:
    """A clone of a member whose random states, nested ones as well, come from a seed."""
    rng = np.random.RandomState(seed)
    member = clone(member)
    names = sorted(member.get_params())
    states = [n for n in names if n == "random_state" or n.endswith("__random_state")]
    if states:  # a FrozenEstimator takes no parameters
        member.set_params(**{name: int(rng.randint(2**31 - 1)) for name in states})
    return member


def with_size(member: Any, size: int | None) -> Any:
    """A clone of a member for another number of clusters.

    Raises
    ------
    ValueError
        If it has no parameter of that meaning.
    """
    member = clone(member)
    if size is None:
        return member
    name = size_name(member)
    if name is None:
        raise ValueError(
            "To compare several n_clusters, every estimator needs a parameter n_clusters (or "
            f"n_components, of mixtures), in the last step of a Pipeline; {member!r} has none."
        )
    return member.set_params(**{name: size})


def size_name(member: Any) -> str | None:
    """The parameter of a clusterer, or of a Pipeline that ends in one, for its clusters."""
    prefix = ""
    while isinstance(member, Pipeline):
        name, member = member.steps[-1]
        prefix += f"{name}__"
    params = member.get_params(deep=False)
    return next((prefix + name for name in _SIZE_NAMES if name in params), None)


def predicted(estimator: Any, classes: np.ndarray, X: Any) -> np.ndarray:
    """Places in `classes` of the clusters that a fitted member predicts, int32 of shape (n,)."""
    return places(clusters_of(estimator, X), classes)


def _labels_of_fit(estimator, X):
    """The clusters of the images that an estimator was fitted on, without another pass if known."""
    last = estimator
    while isinstance(last, Pipeline):
        last = last[-1]
    labels = None if isinstance(last, FrozenEstimator) else getattr(last, "labels_", None)
    if labels is None:
        return clusters_of(estimator, X)
    return one_cluster_per_sample(labels, type(last).__name__)
