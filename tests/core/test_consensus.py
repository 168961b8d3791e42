"""Tests for sklearn_kmfeat._core.consensus."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import adjusted_rand_score

from sklearn_kmfeat._core.consensus import Vote, agreement_matrix, mean_agreement, one_hot


@pytest.fixture
def labelings(rng):
    labelings = [rng.randint(0, k, 200) for k in (3, 10, 1)]
    return [*labelings, np.arange(200), (labelings[1] + 4) % 10, np.zeros(200, dtype=int)]


def test_agreement_is_the_adjusted_rand_index_of_scikit_learn(labelings):
    expected = [[adjusted_rand_score(a, b) for b in labelings] for a in labelings]
    assert_allclose(agreement_matrix(labelings), expected, atol=1e-12)


def test_agreement_of_a_few_images():
    # 1 pair of 6 in both; 2 and 1 pairs; expected 1/3, most 3/2.
    matrix = agreement_matrix([np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])])
    assert_allclose(matrix, [[1, 4 / 7], [4 / 7, 1]])


def test_mean_agreement_leaves_a_run_itself_out():
    matrix = np.array([[1, 0.5, 0.1], [0.5, 1, 0.3], [0.1, 0.3, 1]])
    assert_allclose(mean_agreement(matrix), [0.3, 0.4, 0.2])
    assert mean_agreement(np.ones((1, 1))) == 1


def test_one_hot_stacks_the_runs():
    stacked = one_hot([np.array([0, 1]), np.array([2, 0])], (2, 3)).toarray()
    assert_array_equal(stacked, [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]])


def vote(labelings, n_clusters, weights=None):
    sizes = [labels.max() + 1 for labels in labelings]
    weights = np.ones(len(labelings)) if weights is None else weights
    return Vote.of(labelings, sizes, n_clusters, weights, 0)


def test_runs_with_errors_vote_for_what_most_say(rng):
    truth = np.arange(300) % 3
    wrong = [rng.random_sample(300) < 0.3 for _ in range(9)]
    runs = [np.where(w, rng.randint(0, 3, 300), truth) for w in wrong]
    runs = [rng.permutation(3)[labels] for labels in runs]
    assert adjusted_rand_score(truth, vote(runs, 3).predict(runs)) > 0.9
    assert max(adjusted_rand_score(truth, labels) for labels in runs) < 0.8


def test_a_run_without_weight_is_not_heard(rng):
    runs = [np.arange(300) % 3, rng.randint(0, 3, 300)]
    labels = vote(runs, 3, np.array([1, 0])).predict(runs)
    assert adjusted_rand_score(runs[0], labels) == 1


def test_scores_are_distances_up_to_a_constant(rng):
    runs = [rng.randint(0, 4, 50) for _ in range(3)]
    fitted = vote(runs, 4, np.array([1.0, 2.0, 3.0]))
    rows = np.hstack(
        [np.eye(4)[labels] * w**0.5 for labels, w in zip(runs, fitted.weights, strict=True)]
    )
    distances = np.square(rows[:, None] - fitted.centers).sum(2)
    assert_allclose(distances - 1, fitted.scores(runs), atol=1e-12)
    assert_array_equal(fitted.predict(runs), distances.argmin(1))
