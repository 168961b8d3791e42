"""Tests for sklearn_kmfeat._consensus.runs."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat._consensus.runs import fit_runs, places, predicted, size_name, with_seed


@pytest.fixture
def rows(rng):
    return rng.normal(size=(40, 3)) + 8 * (np.arange(40) % 4)[:, None]


def test_places():
    assert_array_equal(places(np.array([5, 2, 9, -1]), np.array([2, 5])), [1, 0, -1, -1])
    assert_array_equal(places(np.array([5, 2]), np.array([], dtype=int)), [-1, -1])


@pytest.mark.parametrize(
    "member",
    [
        KMeans(4, n_init=1),
        GaussianMixture(4),
        AgglomerativeClustering(4),
        make_pipeline(StandardScaler(), KMeans(4, n_init=1)),
    ],
)
def test_a_run_is_the_fit_of_the_member(member, rows):
    before = repr(member.get_params())
    (run,) = fit_runs(member, rows, 3, (None,), {})
    expected = with_seed(member, 3).fit_predict(rows)
    assert_array_equal(run.classes[run.labels], expected)
    assert repr(member.get_params()) == before
    if hasattr(member, "predict"):
        assert_array_equal(predicted(run.estimator, run.classes, rows[:5]), run.labels[:5])


def test_a_frozen_clusterer_predicts_the_images_that_it_gets(rows):
    frozen = FrozenEstimator(KMeans(4, n_init=1, random_state=0).fit(rows[:30]))
    for member in (frozen, make_pipeline(FunctionTransformer(), frozen)):
        (run,) = fit_runs(member, rows, 0, (None,), {})
        assert_array_equal(run.labels, frozen.predict(rows))


def test_noise_has_no_cluster(rows):
    rows[0] = 1000
    (run,) = fit_runs(DBSCAN(eps=5), rows, 0, (None,), {})
    assert run.labels[0] == -1
    assert -1 not in run.classes


def test_seeds_reach_nested_random_states(rows):
    member = make_pipeline(PCA(2, svd_solver="randomized"), KMeans(3, n_init=1))
    first, again, other = (with_seed(member, seed).get_params() for seed in (0, 0, 1))
    names = ("pca__random_state", "kmeans__random_state")
    assert [first[name] for name in names] == [again[name] for name in names]
    assert len({params[name] for params in (first, other) for name in names}) == 4


class CountedScaler(StandardScaler):
    n_fits = 0

    def fit(self, X, y=None, sample_weight=None):
        type(self).n_fits += 1
        return super().fit(X, y, sample_weight)


def test_several_sizes_share_what_comes_before_the_clusterer(rows):
    member = make_pipeline(CountedScaler(), KMeans(n_init=2))
    CountedScaler.n_fits = 0
    runs = fit_runs(member, rows, 1, (2, 4), {})
    assert CountedScaler.n_fits == 1
    for run, size in zip(runs, (2, 4), strict=True):
        whole = with_seed(member, 1).set_params(kmeans__n_clusters=size)
        assert_array_equal(run.classes[run.labels], whole.fit_predict(rows))
        assert_array_equal(run.estimator.predict(rows), whole.predict(rows))


def test_the_parameter_for_the_number_of_clusters():
    assert size_name(KMeans()) == "n_clusters"
    assert size_name(GaussianMixture()) == "n_components"
    nested = make_pipeline(PCA(2), make_pipeline(StandardScaler(), KMeans()))
    assert size_name(nested) == "pipeline__kmeans__n_clusters"
    assert size_name(DBSCAN()) is None


def test_a_clusterer_that_finds_its_number_of_clusters_is_refused(rows):
    with pytest.raises(ValueError, match="needs a parameter n_clusters"):
        fit_runs(DBSCAN(), rows, 0, (2, 3), {})
