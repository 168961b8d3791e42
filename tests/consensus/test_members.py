"""Tests for sklearn_kmfeat._consensus.members."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat._consensus.members import (
    checked_members,
    jobs_of,
    run_weights,
    weights_by_name,
)

AGREEMENT = np.array([[1, 0.8, 0.2], [0.8, 1, -0.4], [0.2, -0.4, 1]])


def test_dropped_members_are_left_out():
    kmeans = KMeans()
    assert checked_members([("a", kmeans), ("b", "drop")]) == [("a", kmeans)]


@pytest.mark.parametrize(
    ("estimators", "message"),
    [
        ([], "there is none to fit"),
        ([("a", "drop")], "there is none to fit"),
        ([KMeans()], r"must be a list of \(name, estimator\)"),
        ([(1, KMeans())], "1 is no name"),
        ([("a", KMeans)], "for 'a' there is"),
        ([("a", None)], "for 'a' there is None"),
        ([("a", StandardScaler())], "'a' finds no clusters"),
        ([("a", LogisticRegression())], "'a' learns from labels"),
    ],
)
def test_what_is_no_member(estimators, message):
    with pytest.raises((ValueError, TypeError), match=message):
        checked_members(estimators)


def test_what_draws_no_random_numbers_is_fitted_once(rng):
    members = [("k-means", KMeans()), ("ward", AgglomerativeClustering())]
    jobs = jobs_of(members, 3, rng)
    assert [job.name for job in jobs] == ["k-means"] * 3 + ["ward"]
    assert len({job.seed for job in jobs}) == 4


def test_weights_by_agreement():
    # Means with the others: 0.5, 0.2 and -0.1, which counts as zero.
    assert_allclose(run_weights("agreement", ["a", "a", "b"], AGREEMENT), [5 / 7, 2 / 7, 0])


def test_weights_of_members_are_shared_by_their_runs():
    assert_allclose(
        run_weights({"a": 1.0, "b": 3.0}, ["a", "a", "b"], AGREEMENT), [1 / 8, 1 / 8, 3 / 4]
    )
    assert_allclose(run_weights(None, ["a", "a", "b"], AGREEMENT), np.full(3, 1 / 3))


def test_runs_that_do_not_agree_at_all_weigh_the_same():
    disagreeing = np.where(np.eye(3), 1.0, -0.1)
    assert_allclose(run_weights("agreement", ["a", "a", "b"], disagreeing), np.full(3, 1 / 3))


def test_weights_by_name():
    members = [("a", KMeans()), ("b", KMeans())]
    assert weights_by_name([1, 2], members) == {"a": 1.0, "b": 2.0}
    assert weights_by_name("agreement", members) == "agreement"
    assert weights_by_name(None, members) is None


def test_agreement_with_runs_of_other_members():
    """A member that is wrong in the same way each time gets no weight."""
    names = ["a", "b", "wrong", "wrong"]
    right = np.array([[1, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert_allclose(run_weights("agreement", names, right), [0.5, 0.5, 0, 0])


@pytest.mark.parametrize(
    "weights", [{"a": 1, "b": 2}, [1], [1, 2, 3], [-1, 2], [0, 0], [np.nan, 1]]
)
def test_refused_weights(weights):
    with pytest.raises(ValueError, match="weights must"):
        weights_by_name(weights, [("a", KMeans()), ("b", KMeans())])
