"""Tests for sklearn_kmfeat._core.consensus."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
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


def test_images_without_a_cluster_are_one_more_cluster_of_agreement():
    labelings = [np.array([0, 0, 1, 1, -1, -1]), np.array([1, 1, 0, 0, 2, 2])]
    assert_allclose(agreement_matrix(labelings), np.ones((2, 2)))


def test_one_hot_stacks_the_runs():
    stacked = one_hot([np.array([0, 1, -1]), np.array([2, 0, 0])], (2, 3)).toarray()
    assert_array_equal(stacked, [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0]])


def vote(labelings, n_clusters, weights=None):
    sizes = [labels.max() + 1 for labels in labelings]
    weights = np.ones(len(labelings)) if weights is None else weights
    return Vote.of(labelings, sizes, n_clusters, weights, 0)


@pytest.fixture
def noisy_runs(rng):
    """Nine runs that are right for 70 % of 300 images, their clusters in other orders."""
    truth = np.arange(300) % 3
    wrong = [rng.random_sample(300) < 0.3 for _ in range(9)]
    runs = [np.where(w, rng.randint(0, 3, 300), truth) for w in wrong]
    return truth, [rng.permutation(3)[labels] for labels in runs]


def test_runs_with_errors_vote_for_what_most_say(noisy_runs):
    truth, runs = noisy_runs
    assert adjusted_rand_score(truth, vote(runs, 3).predict(runs)) > 0.9
    assert max(adjusted_rand_score(truth, labels) for labels in runs) < 0.8


def test_a_run_without_weight_is_not_heard(rng):
    runs = [np.arange(300) % 3, rng.randint(0, 3, 300)]
    labels = vote(runs, 3, np.array([1, 0])).predict(runs)
    assert adjusted_rand_score(runs[0], labels) == 1


def naive_round(runs, shares, exponents):
    """One round of Topchy, Jain & Punch 2005, run by run and cluster by cluster."""
    n, k = shares.shape
    scores = np.zeros((n, k))
    for run, exponent in zip(runs, exponents, strict=True):
        for c in range(run.max() + 1):
            together = shares[run == c].sum(0)
            scores[run == c] += exponent * np.log((together + 1) / (shares.sum(0) + run.max() + 1))
    odds = np.exp(scores - scores.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def test_the_vote_is_where_expectation_maximisation_ends(noisy_runs):
    _, runs = noisy_runs
    weights = np.linspace(0.5, 1.5, 9)
    fitted = vote(runs, 3, weights)
    labels = fitted.predict(runs)
    shares = np.eye(3)[labels]
    for _ in range(100):
        shares = naive_round(runs, shares, weights / weights.mean())
    assert_array_equal(shares.argmax(1), labels)
    # It ends when no image moves, so that the logarithms are near those of the solution.
    rows = [fitted.scores_of[3 * r + run] for r, run in enumerate(runs)]
    odds = np.exp(np.sum(rows, 0))
    assert_allclose(odds / odds.sum(1, keepdims=True), shares, atol=0.2)


def test_an_image_that_no_run_knows_gets_a_cluster_all_the_same():
    runs = [np.array([0, 0, 1, 1, -1]), np.array([1, 1, 0, 0, -1])]
    fitted = vote(runs, 2)
    labels = fitted.predict(runs)
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert_allclose(fitted.confidence(runs, labels), [1, 1, 1, 1, 0])


def test_confidence_is_the_weight_of_those_that_vote_for_the_cluster():
    runs = [
        np.array([0, 0, 0, 1, 1, 1]),
        np.array([0, 0, 0, 1, 1, 1]),
        np.array([1, 1, 0, 0, 0, 0]),
    ]
    fitted = vote(runs, 2, np.array([3, 3, 2]))
    labels = fitted.predict(runs)
    assert_array_equal(labels == labels[0], [True, True, True, False, False, False])
    assert_allclose(fitted.confidence(runs, labels), [1, 1, 0.75, 1, 1, 1])


@pytest.mark.parametrize("seed", range(6))
def test_no_cluster_of_the_vote_dies_out(seed):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(300, 5))
    runs = [KMeans(20, n_init=1, random_state=i).fit_predict(X) for i in range(6)]
    fitted = vote(runs, 20)
    assert_array_equal(np.unique(fitted.predict(runs)), np.arange(20))
