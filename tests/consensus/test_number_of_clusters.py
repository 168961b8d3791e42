"""Tests for sklearn_kmfeat._consensus.number_of_clusters."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_kmfeat._consensus.number_of_clusters import candidates_of, stability, stablest


def test_candidates():
    assert candidates_of(7) == (7,)
    assert candidates_of(np.int64(7)) == (7,)
    assert candidates_of("auto") == tuple(range(2, 21))
    assert candidates_of([4, 2, 3]) == (2, 3, 4)
    assert candidates_of(np.arange(2, 5)) == (2, 3, 4)


@pytest.mark.parametrize("n_clusters", [[], [1, 2], [2, 2], [2.5, 3], ["a"]])
def test_refused_candidates(n_clusters):
    with pytest.raises(ValueError, match="different numbers from 2 upwards"):
        candidates_of(n_clusters)


def test_stability():
    a, b = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    # Of three runs, for two numbers of clusters; the means of the runs are 4/7, 11/14 and 11/14.
    curve = stability((2, 3), [[a, a], [a, b], [a, b]])
    assert_array_equal(curve["n_clusters"], [2, 3])
    assert_allclose(curve["agreement"], [1, 5 / 7])
    assert_allclose(curve["standard_error"], [0, np.std([8, 11, 11]) / 14 / 3**0.5])


def test_the_smallest_of_about_equals():
    curve = {"agreement": np.array([0.5, 0.77, 0.78]), "standard_error": np.array([0, 0, 0.02])}
    assert stablest(curve) == 1
    assert stablest(curve | {"standard_error": np.zeros(3)}) == 2
