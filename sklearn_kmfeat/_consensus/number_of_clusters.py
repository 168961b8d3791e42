"""The number of clusters at which the runs of a vote agree best."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples

from .._core.consensus import agreement_matrix, mean_agreement

#: What "auto" compares at most, and the images that a cluster then has at least in the mean. Where
#: there are fewer, runs agree on single images.
_LARGEST, _IMAGES_PER_CLUSTER = 20, 10
# Agreements that differ by less are equal: those of clusters that all runs find.
_EQUAL = 1e-3


def candidates_of(n_clusters: Any, X: Any) -> tuple[int, ...]:
    """The numbers of clusters to compare; one, if it is given.

    Parameters
    ----------
    n_clusters : int, "auto" or sequence of int
    X : object
        The images, which bound what "auto" compares.

    Raises
    ------
    ValueError
        For what is no sequence of different numbers from 2 upwards, and for "auto" with too few
        images.
    """
    if isinstance(n_clusters, Integral):
        return (int(n_clusters),)
    if isinstance(n_clusters, str):
        largest = min(_LARGEST, _num_samples(X) // _IMAGES_PER_CLUSTER)
        if largest < 3:
            raise ValueError(
                f"n_clusters='auto' needs {3 * _IMAGES_PER_CLUSTER} images or more, got "
                f"n_samples={_num_samples(X)}. Give a number, or a range."
            )
        return tuple(range(2, largest + 1))
    sizes = list(n_clusters)
    whole = all(isinstance(size, Integral) for size in sizes)
    if not sizes or not whole or min(sizes) < 2 or len(set(sizes)) < len(sizes):
        raise ValueError(
            "n_clusters must be a number, 'auto', or different numbers from 2 upwards such as "
            f"range(2, 16), got {n_clusters!r}."
        )
    return tuple(sorted(int(size) for size in sizes))


def stability(
    candidates: Sequence[int], labelings: Sequence[Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """How well the runs agree for each number of clusters.

    Parameters
    ----------
    candidates : sequence of s int
    labelings : sequence of r sequences of s int arrays (n,)
        Of each run, for each number of clusters.

    Returns
    -------
    dict of ndarray of shape (s,)
        ``n_clusters``, the mean ``agreement`` of the runs, and its ``standard_error``.
    """
    by_size = zip(*labelings, strict=True)
    of_runs = np.array([mean_agreement(agreement_matrix(runs)) for runs in by_size])
    return {
        "n_clusters": np.array(candidates),
        "agreement": of_runs.mean(1),
        "standard_error": of_runs.std(1) / np.sqrt(of_runs.shape[1]),
    }


def stablest(curve: dict[str, np.ndarray]) -> int:
    """The place of the highest peak of the agreement, the largest of equals.

    A single cluster is found by all runs, and few clusters agree nearly as well for being few: of
    2,000 digits 2 clusters had 0.87, and ten, a peak of the curve, 0.81. So two clusters count
    only where all runs find the same two; without any peak the best number is taken.
    """
    agreement = curve["agreement"]
    before = 1.0 if curve["n_clusters"][0] == 2 else -np.inf
    around = np.concatenate([[before], agreement, [-np.inf]])
    neighbors = np.maximum(around[:-2], around[2:])
    peaks = np.where(agreement >= neighbors - _EQUAL, agreement, -np.inf)
    heights = peaks if np.isfinite(peaks).any() else agreement
    return int(np.flatnonzero(heights >= heights.max() - _EQUAL)[-1])
