"""Small estimators and images, and when two fits count as the same."""

import numpy as np
import pytest
import torch

from sklearn_kmfeat import DeepClusterEstimator

TINY = {
    "n_clusters": 3,
    "n_pseudo_labels": 6,
    "batch_size": 16,
    "max_epochs": 2,
    # So that fits can go on to more epochs.
    "lr_schedule": "constant",
    "net_params": {"module__width": 4},
    "random_state": 0,
}


@pytest.fixture(params=["reset", "prototypes"])
def head(request):
    """Each head."""
    return request.param


@pytest.fixture
def net_params():
    """Those of `tiny`, with others added."""
    return lambda **more: TINY["net_params"] | more


@pytest.fixture
def tiny():
    """Makes estimators that fit in a tenth of a second."""
    return lambda **params: DeepClusterEstimator(**(TINY | params))


@pytest.fixture
def images():
    """Makes images of three kinds, and their kinds."""

    def make(shape=(8, 8), n=40, dtype=np.uint8):
        rng = np.random.RandomState(0)
        kinds = rng.randint(0, 3, n)
        X = rng.randint(0, 60, (n, *shape))
        for k in range(3):
            X[kinds == k, 2 * k : 2 * k + 3] += 150
        return X.astype(dtype), kinds

    return make


@pytest.fixture
def assert_same_fit():
    """Asserts that labels, centers and all weights are equal."""

    def compare(a, b):
        np.testing.assert_array_equal(a.labels_, b.labels_)
        np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
        states = a.net_.module_.state_dict(), b.net_.module_.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    return compare
