"""Rows, starts and errors for the tests of k-means."""

import numpy as np

from naive import squared_distances
from sklearn_kmfeat._core.seeding import sample_rows


def start_of(X, k, seed=0):
    return sample_rows(X, k, np.random.RandomState(seed))


def error_of(X, centers):
    return squared_distances(X.double().numpy(), centers.double().numpy()).min(1).sum()
