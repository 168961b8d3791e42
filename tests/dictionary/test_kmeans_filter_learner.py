"""The dictionaries of KMeansFilterLearner."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from sklearn_kmfeat import KMeansFilterLearner, ZCAWhitener
from sklearn_kmfeat.datasets import load_cifar10_sample, load_mnist_sample


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(0)
    return rng.randn(400, 6) + 3 * rng.randint(0, 4, size=(400, 1))


def test_tiny_example_by_hand():
    rows = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])
    learner = KMeansFilterLearner(
        n_filters=2, contrast=None, whiten_eps=None, n_init=5, random_state=0
    ).fit(rows)
    centers = learner.cluster_centers_[np.argsort(learner.cluster_centers_[:, 0])]
    np.testing.assert_array_equal(centers, [[0, 1], [10, 1]])
    assert learner.inertia_ == 4
    np.testing.assert_array_equal(learner.counts_, [2, 2])
    far = np.sqrt(101)
    codes = np.sort(learner.transform(rows[:1]))
    np.testing.assert_allclose(codes, [[0, (far + 1) / 2 - 1]])


def test_scikit_learns_kmeans_rests_where_lloyd_ends(rows):
    params = {"contrast": None, "whiten_eps": None, "max_iter": 300, "tol": 0}
    ours = KMeansFilterLearner(n_filters=5, random_state=1, **params).fit(rows)
    theirs = KMeans(5, init=ours.cluster_centers_, n_init=1, max_iter=300, tol=0).fit(rows)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, atol=1e-10)
    assert ours.inertia_ == pytest.approx(theirs.inertia_)
    np.testing.assert_array_equal(ours.predict(rows), theirs.labels_)
    assert theirs.n_iter_ <= 2


def test_random_filters_are_patches(rows):
    learner = KMeansFilterLearner(
        n_filters=7, algorithm="random", contrast=None, whiten_eps=0.1, random_state=0
    ).fit(rows)
    white = ZCAWhitener(eps=0.1).fit_transform(rows)
    for center in learner.cluster_centers_:
        assert np.isclose(white, center).all(axis=1).any()


def test_spherical_filters_are_unit_and_explain_more_than_patches(rows):
    params = {"n_filters": 7, "contrast": None, "random_state": 0}
    spherical = KMeansFilterLearner(algorithm="spherical", **params).fit(rows)
    np.testing.assert_allclose(np.linalg.norm(spherical.cluster_centers_, axis=1), 1)
    white = spherical.whitener_.transform(rows)
    gains = np.abs(white @ spherical.cluster_centers_.T).max(axis=1)
    assert spherical.inertia_ == pytest.approx((white**2).sum() - (gains**2).sum())
    start = KMeansFilterLearner(algorithm="random", **params).fit(rows).cluster_centers_
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    assert (gains**2).sum() > (np.abs(white @ start.T).max(axis=1) ** 2).sum()


@pytest.mark.parametrize("init", ["auto", "sample", "k-means++", "hierarchical"])
@pytest.mark.parametrize("algorithm", ["lloyd", "spherical", "random"])
def test_filters_are_live_and_different(algorithm, init):
    digits = load_mnist_sample().images[:200]
    learner = KMeansFilterLearner(
        n_filters=150, algorithm=algorithm, init=init, n_patches=4000, max_iter=5, random_state=0
    ).fit(digits)
    assert learner.cluster_centers_.shape == (150, 36)
    assert len(np.unique(learner.cluster_centers_, axis=0)) == 150
    assert learner.counts_.min() >= 1
    assert learner.counts_.sum() == 4000


@pytest.mark.parametrize("init", ["auto", "sample", "k-means++", "hierarchical"])
@pytest.mark.parametrize("algorithm", ["lloyd", "random"])
def test_fewer_different_patches_than_filters(algorithm, init):
    rows = np.repeat(np.eye(5), 10, axis=0)
    learner = KMeansFilterLearner(
        n_filters=8, contrast=None, whiten_eps=None, algorithm=algorithm, init=init, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="Only 5 different filters came out of n_filters=8"):
        learner.fit(rows)
    assert learner.transform(rows).shape == (50, 5)
    assert len(learner.get_feature_names_out()) == 5


def test_more_starts_are_not_worse(rows):
    params = {"n_filters": 12, "contrast": None, "whiten_eps": None}
    inertia = [
        KMeansFilterLearner(n_init=n, random_state=3, **params).fit(rows).inertia_ for n in (1, 8)
    ]
    assert inertia[1] <= inertia[0]


def test_even_draw_and_patch_order():
    images = load_cifar10_sample().images[:10]
    learner = KMeansFilterLearner(n_filters=4, n_patches=100, random_state=0).fit(images)
    assert learner.counts_.sum() == 100
    assert learner.filters_.shape == (4, 6, 6, 3)
    np.testing.assert_array_equal(learner.filters_.reshape(4, -1), learner.cluster_centers_)
    every = KMeansFilterLearner(n_filters=4, n_patches=None, max_iter=2, random_state=0).fit(images)
    assert every.counts_.sum() == 10 * 27 * 27


def test_random_state_object_moves_on(rows):
    rng = np.random.RandomState(0)
    fits = [
        KMeansFilterLearner(n_filters=4, algorithm="random", random_state=rng).fit(rows)
        for _ in range(2)
    ]
    assert not np.array_equal(*[fit.cluster_centers_ for fit in fits])


def test_starts_are_ranked_on_a_part_of_many_patches():
    rng = np.random.RandomState(0)
    n = 101_000
    rows = rng.randn(n, 4) + 3 * rng.randint(0, 4, size=(n, 1))
    params = {"contrast": None, "whiten_eps": None, "max_iter": 50}
    learner = KMeansFilterLearner(n_filters=6, n_init=10, random_state=0, **params).fit(rows)
    assert learner.counts_.sum() == n
    theirs = KMeans(6, n_init=10, random_state=0).fit(rows)
    assert learner.inertia_ == pytest.approx(theirs.inertia_, rel=0.01)


@pytest.mark.parametrize("patch_size", [3, 5, 8])
@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("whiten_eps", [0, 1e-9, 1e-6])
def test_without_regularization_float32_agrees_with_float64(patch_size, scale, whiten_eps):
    """The direction in which patches of normalised contrast are constant is not magnified."""
    images = load_cifar10_sample().images[:60]
    narrow = images if scale == 1 else (images / scale).astype(np.float32)
    params = {"n_filters": 16, "patch_size": patch_size, "n_patches": 3000, "max_iter": 3}
    learner = KMeansFilterLearner(**params, whiten_eps=whiten_eps, random_state=0)
    found = learner.fit(narrow).transform(narrow)
    parts = [learner.transform(narrow[i : i + 7]) for i in range(0, 60, 7)]
    np.testing.assert_allclose(np.vstack(parts), found, atol=1e-5 * found.max())
    wide = learner.fit(narrow.astype(np.float64)).transform(narrow.astype(np.float64))
    np.testing.assert_allclose(found, wide, atol=1e-4 * wide.max())


@pytest.mark.parametrize("whiten_eps", [0.1, None])
@pytest.mark.parametrize("patch_size", [3, 6, 8])
def test_a_patch_that_equals_a_filter_has_the_same_code_in_every_batch(patch_size, whiten_eps):
    images = load_cifar10_sample().images[:40]
    learner = KMeansFilterLearner(
        40,
        algorithm="random",
        patch_size=patch_size,
        whiten_eps=whiten_eps,
        n_patches=2000,
        pool_grid=None,
        random_state=0,
    )
    learner.fit(images.astype(np.float64))
    exact = learner.transform(images.astype(np.float64))
    found = learner.fit(images).transform(images)
    np.testing.assert_allclose(found, exact, atol=5e-5 * exact.max())
    for n in (1, 7):
        parts = [learner.transform(images[i : i + n]) for i in range(0, 40, n)]
        np.testing.assert_allclose(np.vstack(parts), found, atol=5e-6 * exact.max())
