"""Tests for sklearn_kmfeat._consensus.voting."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_kmfeat._consensus.members import Job
from sklearn_kmfeat._consensus.runs import Run
from sklearn_kmfeat._consensus.voting import voted


def fits_of(labelings):
    """One run of each labelling, for one number of clusters, whose estimator is its number."""
    return [
        [Run(i, np.unique(labels), np.asarray(labels, np.int32))]
        for i, labels in enumerate(labelings)
    ]


def test_voted():
    labelings = [[0, 0, 1, 1, 2, 2], [1, 1, 0, 0, 2, 2], [0, 1, 1, 1, 2, 2]]
    jobs = [Job("a", None, 0), Job("a", None, 1), Job("b", None, 2)]
    fitted = voted(jobs, fits_of(labelings), (3,), None, 0)
    _, labels = np.unique(fitted["labels_"], return_inverse=True)
    pairs = fitted["labels_"].reshape(3, 2)
    assert_array_equal(pairs[:, 0], pairs[:, 1])
    assert len(set(labels)) == 3
    assert fitted["n_clusters_"] == 3
    assert_allclose(fitted["confidence_"], [1, 2 / 3, 1, 1, 1, 1])
    assert fitted["member_weights_"] == {"a": 2 / 3, "b": 1 / 3}
    assert dict(fitted["named_estimators_"]) == {"a": [0, 1], "b": [2]}
    assert fitted["estimators_"] == [0, 1, 2]
    assert_array_equal(fitted["stability_"]["n_clusters"], [3])
