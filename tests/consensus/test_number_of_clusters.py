"""Tests for sklearn_kmfeat._consensus.number_of_clusters."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_kmfeat._consensus.number_of_clusters import candidates_of, stability, stablest


def test_candidates():
    X = np.zeros((500, 2))
    assert candidates_of(7, X) == (7,)
    assert candidates_of(np.int64(7), X) == (7,)
    assert candidates_of("auto", X) == tuple(range(2, 21))
    assert candidates_of("auto", X[:50]) == (2, 3, 4, 5)
    assert candidates_of([4, 2, 3], X) == (2, 3, 4)
    assert candidates_of(np.arange(2, 5), X) == (2, 3, 4)


def test_too_few_images_to_compare():
    with pytest.raises(ValueError, match="needs 30 images or more, got n_samples=29"):
        candidates_of("auto", np.zeros((29, 2)))


@pytest.mark.parametrize("n_clusters", [[], [1, 2], [2, 2], [2.5, 3], ["a"]])
def test_refused_candidates(n_clusters):
    with pytest.raises(ValueError, match="different numbers from 2 upwards"):
        candidates_of(n_clusters, np.zeros((50, 2)))


def test_stability():
    a, b = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    # Of three runs, for two numbers of clusters; the means of the runs are 4/7, 11/14 and 11/14.
    curve = stability((2, 3), [[a, a], [a, b], [a, b]])
    assert_array_equal(curve["n_clusters"], [2, 3])
    assert_allclose(curve["agreement"], [1, 5 / 7])
    assert_allclose(curve["standard_error"], [0, np.std([8, 11, 11]) / 14 / 3**0.5])


def stablest_of(*agreement, first=2):
    sizes = np.arange(first, first + len(agreement))
    return sizes[stablest({"n_clusters": sizes, "agreement": np.array(agreement)})]


def test_the_highest_peak():
    assert stablest_of(0.87, 0.63, 0.66, 0.7, 0.81, 0.77) == 6
    assert stablest_of(0.5, 0.7, 0.6, 0.9, 0.8) == 5
    assert stablest_of(0.9, 0.7, 0.6, 0.5) == 2  # no peak
    assert stablest_of(1.0, 0.7, 0.8, 0.5) == 2  # all runs find the same two
    assert stablest_of(0.9, 0.7, 0.8, 0.5, first=5) == 5


def test_the_largest_of_equals():
    # Four clear clusters; two pairs of them lie together.
    assert stablest_of(0.9999, 0.7, 1.0, 0.8) == 4
    assert stablest_of(1.0, 0.7, 0.9999, 0.8) == 4
