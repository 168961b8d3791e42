"""Tests for sklearn_kmfeat._consensus.consensus_clusterer."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import ClusterClassifier, ConsensusClusterer, ImageFiles, KMeansFilterLearner
from sklearn_kmfeat.datasets import load_mnist_sample


@pytest.fixture
def blobs():
    return make_blobs(200, centers=4, cluster_std=0.6, random_state=3)


@pytest.fixture
def members():
    return [("k-means", KMeans(4, n_init=1)), ("mixture", GaussianMixture(4))]


@pytest.fixture(scope="module")
def digits():
    images, digits = load_mnist_sample(return_X_y=True)
    return np.ascontiguousarray(images[::50, ::2, ::2]), digits[::50]


@pytest.fixture(scope="module")
def of_digits(digits):
    return ConsensusClusterer(10, n_runs=1, random_state=0).fit(digits[0])


def test_fitted_attributes(blobs, members):
    X, y = blobs
    consensus = ConsensusClusterer(4, members, random_state=0).fit(X)
    assert adjusted_rand_score(y, consensus.labels_) > 0.95
    assert set(consensus.labels_) == {0, 1, 2, 3}
    assert consensus.n_clusters_ == 4
    assert consensus.n_features_in_ == 2
    assert consensus.agreement_.shape == (6, 6)
    assert_allclose(consensus.weights_.sum(), 1)
    assert_allclose(sum(consensus.member_weights_.values()), 1)
    assert list(consensus.named_estimators_) == ["k-means", "mixture"]
    assert consensus.estimators_[:3] == consensus.named_estimators_["k-means"]
    runs = [estimator.predict(X) for estimator in consensus.estimators_]
    assert consensus.agreement_[1, 4] == pytest.approx(adjusted_rand_score(runs[1], runs[4]))
    assert_array_equal(consensus.stability_["n_clusters"], [4])
    assert consensus.confidence_.max() == pytest.approx(1)


def test_predict_gives_labels_again(blobs, members):
    X, _ = blobs
    consensus = ConsensusClusterer(4, members, random_state=0).fit(X)
    assert_array_equal(consensus.predict(X), consensus.labels_)
    restored = pickle.loads(pickle.dumps(consensus))
    assert_array_equal(restored.predict(X[:7]), consensus.labels_[:7])


def test_a_seed_decides_everything(blobs, members):
    X, _ = blobs
    members = [("k-means", KMeans(9, n_init=1, init="random"))]
    fit = [
        ConsensusClusterer(4, members, random_state=s, n_jobs=j).fit(X)
        for s, j in ((0, 1), (0, 2), (1, 1))
    ]
    assert_array_equal(fit[0].labels_, fit[1].labels_)
    assert_array_equal(fit[0].agreement_, fit[1].agreement_)
    assert not np.array_equal(fit[0].agreement_, fit[2].agreement_)
    states = [estimator.random_state for estimator in fit[0].estimators_]
    assert len(set(states)) == 3


def test_nested_parameters(members):
    consensus = ConsensusClusterer(4, members)
    assert consensus.get_params()["mixture__n_components"] == 4
    consensus.set_params(**{"mixture__n_components": 5, "k-means": "drop"})
    assert dict(consensus.estimators)["mixture"].n_components == 5
    assert "mixture" in repr(clone(consensus))
    consensus.fit(make_blobs(50, random_state=0)[0])
    assert list(consensus.named_estimators_) == ["mixture"]


def test_a_search_over_parameters_of_members(blobs):
    X, y = blobs
    consensus = ConsensusClusterer(4, [("k-means", KMeans(4))], n_runs=2, random_state=0)
    search = GridSearchCV(
        ClusterClassifier(consensus), {"clusterer__k-means__n_clusters": [4, 6]}, cv=2
    )
    search.fit(X, y)
    assert search.best_score_ > 0.9


def test_a_bad_member_weighs_less(blobs, rng):
    X, y = blobs
    noise = make_pipeline(Noise(), KMeans(4, n_init=1))
    members = [("k-means", KMeans(4, n_init=3)), ("noise", noise)]
    consensus = ConsensusClusterer(4, members, random_state=0).fit(X)
    assert consensus.member_weights_["noise"] < 0.3
    assert adjusted_rand_score(y, consensus.labels_) > 0.95
    given = ConsensusClusterer(4, members, weights=[3, 1], random_state=0).fit(X)
    assert given.member_weights_ == pytest.approx({"k-means": 0.75, "noise": 0.25})


class Noise(StandardScaler):
    """Rows without any relation to those that came."""

    def transform(self, X, copy=None):
        seed = int(abs(X[0, 0]) * 1e6)
        return np.random.RandomState(seed).normal(size=X.shape)


def test_metadata_goes_to_the_members(blobs):
    X, y = blobs
    weight = (y != 3).astype(float)
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        ConsensusClusterer(3, [("k-means", KMeans(3))]).fit(X, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        member = KMeans(3).set_fit_request(sample_weight=True)
        fit = ConsensusClusterer(3, [("k-means", member)], random_state=0)
        fit.fit(X, sample_weight=weight)
        centers = fit.estimators_[0].cluster_centers_
        least = np.linalg.norm(centers - X[y == 3].mean(0), axis=1).min()
        assert least > 1  # no center where the images have no weight


def test_clusterers_without_predict(blobs):
    X, y = blobs
    members = [("ward", AgglomerativeClustering(4)), ("dense", DBSCAN(eps=0.7))]
    consensus = ConsensusClusterer(4, members, random_state=0).fit(X)
    assert len(consensus.estimators_) == 2
    assert adjusted_rand_score(y, consensus.labels_) > 0.8
    with pytest.raises(AttributeError, match="'ward' has no method predict"):
        consensus.predict(X)


def test_the_number_of_clusters_by_stability(rng):
    corners = np.array([[0, 0], [0, 9], [9, 0], [9, 9]])  # two clusters may be split in two ways
    X = rng.normal(size=(200, 2)) + corners[np.arange(200) % 4]
    members = [("k-means", make_pipeline(StandardScaler(), KMeans(n_init=3)))]
    consensus = ConsensusClusterer(range(2, 9), members, n_runs=8, random_state=0).fit(X)
    assert consensus.n_clusters_ == 4
    assert_array_equal(consensus.stability_["n_clusters"], np.arange(2, 9))
    assert consensus.stability_["agreement"].argmax() == 2
    assert len(set(consensus.labels_)) == 4
    assert consensus.estimators_[0][-1].n_clusters == 4
    assert_array_equal(consensus.predict(X), consensus.labels_)


def test_more_clusters_than_the_runs_tell_apart(blobs):
    X, _ = blobs
    with pytest.warns(ConvergenceWarning, match="Only 2 clusters instead of 4"):
        fit = ConsensusClusterer(4, [("k-means", KMeans(2, n_init=5))], random_state=0).fit(X)
    assert fit.n_clusters_ == 2
    assert set(fit.labels_) == {0, 1}


def test_names_must_be_different_and_no_parameters(blobs):
    X, _ = blobs
    for names, message in (
        (("a", "a"), "not unique"),
        (("a", "n_runs"), "conflict"),
        (("a", "b__c"), "must not contain __"),
    ):
        members = [(name, KMeans(3)) for name in names]
        with pytest.raises(ValueError, match=message):
            ConsensusClusterer(3, members).fit(X)


def test_the_recipe_for_images(digits, of_digits):
    images, classes = digits
    consensus = of_digits
    assert consensus.labels_.shape == (200,)
    assert adjusted_rand_score(classes, consensus.labels_) > 0.3
    assert consensus.image_shape_ == (14, 14, 1)
    assert_array_equal(consensus.predict(images), consensus.labels_)
    assert_array_equal(consensus.predict(images[:9]), consensus.labels_[:9])
    first = consensus.estimators_[0][0]
    assert hasattr(first, "filters_")


def test_the_recipe_takes_every_form(digits, of_digits, tmp_path):
    from PIL import Image

    images, _ = digits
    for i, image in enumerate(images[:30]):
        Image.fromarray(image).save(tmp_path / f"{i:03}.png")
    files = ImageFiles.from_folder(tmp_path)
    assert_array_equal(of_digits.predict(files), of_digits.labels_[:30])
    assert_array_equal(of_digits.predict(list(images[:30])), of_digits.labels_[:30])
    flat = clone(of_digits).set_params(image_shape=(14, 14), n_runs=1)
    rows = images[:60].reshape(60, -1)
    assert_array_equal(
        flat.fit(rows).labels_, flat.set_params(image_shape=None).fit(images[:60]).labels_
    )


def test_large_images_are_made_smaller(rng):
    images = rng.randint(0, 256, (4, 80, 90, 1)).astype(np.uint8)
    consensus = ConsensusClusterer(2, n_runs=1, random_state=0).fit(images)
    first = consensus.estimators_[0][0]
    assert first.image_shape_ == (64, 72, 1)
    assert consensus.image_shape_ == (80, 90, 1)
    assert_array_equal(consensus.predict(images), consensus.labels_)
    small = ConsensusClusterer(2, n_runs=1, input_size=20, random_state=0).fit(images)
    assert small.estimators_[0][0].image_shape_ == (20, 20, 1)


def test_images_that_differ_in_size(rng):
    images = [rng.randint(0, 256, (side, 20)).astype(np.uint8) for side in (14, 18, 20, 30) * 4]
    consensus = ConsensusClusterer(2, n_runs=1, random_state=0).fit(images)
    assert consensus.estimators_[0][0].image_shape_ == (19, 19, 1)
    assert_array_equal(consensus.predict(images[:3]), consensus.labels_[:3])


def test_other_images_than_in_fit(of_digits, digits):
    with pytest.raises(ValueError, match="fitted on shape"):
        of_digits.predict(digits[0][:, :10])
    with pytest.warns(UserWarning, match="range"):
        of_digits.predict(digits[0][:5] / np.float32(255))


def test_rows_that_look_like_flattened_images(digits):
    rows = digits[0][:60].reshape(60, -1)
    with pytest.warns(UserWarning, match="image_shape"):
        ConsensusClusterer(3, n_runs=1, random_state=0).fit(rows)


def test_the_caller_keeps_the_images(digits):
    images = digits[0][:60].copy()
    images.flags.writeable = False
    ConsensusClusterer(3, n_runs=1, random_state=0).fit(images)
    assert_array_equal(images, digits[0][:60])


def test_progress(blobs, members, capsys):
    ConsensusClusterer(4, members, n_runs=2, verbose=1).fit(blobs[0])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[ConsensusClusterer] run 1/4: k-means"
    assert len(lines) == 4


def test_image_estimators_are_members(digits):
    images, _ = digits
    member = make_pipeline(KMeansFilterLearner(8, n_patches=500, max_iter=3), KMeans(3))
    consensus = ConsensusClusterer(3, [("filters", member)], random_state=0).fit(images[:50])
    assert len({e[0].filters_.tobytes() for e in consensus.estimators_}) == 3
    assert_array_equal(consensus.predict(images[:50]), consensus.labels_)


def test_nothing_of_an_earlier_fit_is_left(digits, blobs):
    images, _ = digits
    consensus = ConsensusClusterer(3, n_runs=1, random_state=0).fit(images[:60])
    consensus.set_params(estimators=[("k-means", KMeans(3))]).fit(blobs[0])
    assert not hasattr(consensus, "image_shape_")
    assert consensus.n_features_in_ == 2
    consensus.set_params(estimators=None)  # what was fitted predicts
    assert_array_equal(consensus.predict(blobs[0]), consensus.labels_)


@pytest.mark.parametrize("name", ["image_shape", "input_size"])
def test_parameters_of_the_recipe(name, blobs):
    consensus = ConsensusClusterer(3, [("k-means", KMeans(3))], **{name: (1, 2)})
    with pytest.raises(ValueError, match=f"{name} is for estimators=None"):
        consensus.fit(blobs[0])


def test_one_run_cannot_compare_numbers_of_clusters(blobs):
    consensus = ConsensusClusterer("auto", [("ward", AgglomerativeClustering())])
    with pytest.raises(ValueError, match="takes two runs or more"):
        consensus.fit(blobs[0])


@pytest.mark.parametrize("n_clusters", ["4", b"ab", iter([2, 3]), 0, 2.5])
def test_what_is_no_number_of_clusters(n_clusters, blobs):
    with pytest.raises(ValueError, match="n_clusters"):
        ConsensusClusterer(n_clusters, [("k-means", KMeans(3))]).fit(blobs[0])


def test_what_is_wrong_with_the_estimators_can_be_shown():
    assert "ConsensusClusterer" in ConsensusClusterer(4, [KMeans()])._repr_html_()
