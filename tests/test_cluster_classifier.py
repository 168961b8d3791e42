import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClusterMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from sklearn_kmfeat._cluster_classifier import ClusterClassifier, _stand_ins
from sklearn_kmfeat.metrics import match_clusters, purity_score


class BrightnessClusterer(ClusterMixin, BaseEstimator):
    """Clusters of images, of any sizes, by their mean; `predict` answers as told."""

    def __init__(self, shape=()):
        self.shape = shape

    def fit(self, X, y=None):
        assert y is None
        self.is_fitted_ = True
        return self

    def predict(self, X):
        labels = [np.full(self.shape, int(np.mean(image) > 0.5)) for image in X]
        return labels if isinstance(X, list) else np.array(labels)


@pytest.fixture
def blobs():
    centers = [[-9, 0], [-8, 0], [8, 0], [9, 0]]
    X, y = make_blobs(80, centers=centers, cluster_std=0.05, random_state=0)
    return X, np.array([3, 3, 5, 5])[y]


@pytest.fixture
def images():
    rng = np.random.RandomState(0)
    dark, light = rng.rand(5, 4, 4, 3) * 0.4, 0.6 + rng.rand(5, 4, 4, 3) * 0.4
    return np.concatenate([dark, light]), np.repeat(["night", "day"], 5)


@parametrize_with_checks(
    [
        ClusterClassifier(KMeans(n_clusters=3, random_state=0)),
        ClusterClassifier(make_pipeline(StandardScaler(), KMeans(n_clusters=3, random_state=0))),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_number_of_scikit_learn_checks():
    model = ClusterClassifier(KMeans(n_clusters=3, random_state=0))
    results = check_estimator(model, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 40


def test_predicts_the_class_of_the_cluster(blobs):
    X, y = blobs
    model = ClusterClassifier(KMeans(n_clusters=4, n_init=10, random_state=0)).fit(X, y)
    labels = model.clusterer_.predict(X)
    assert model.match_ == match_clusters(y, labels)
    assert model.purity_ == purity_score(y, labels) == 1.0
    assert model.classes_.tolist() == [3, 5]
    assert model.n_features_in_ == 2
    np.testing.assert_array_equal(model.predict(X), y)
    assert model.score(X, y) == 1.0


def test_the_clusterer_sees_no_labels(blobs):
    X, y = blobs
    alone = KMeans(n_clusters=4, random_state=0).fit(X)
    model = ClusterClassifier(KMeans(n_clusters=4, random_state=0)).fit(X, y)
    np.testing.assert_array_equal(model.clusterer_.cluster_centers_, alone.cluster_centers_)


def test_the_parameter_is_cloned(blobs):
    clusterer = KMeans(n_clusters=4, random_state=0)
    model = ClusterClassifier(clusterer).fit(*blobs)
    assert model.clusterer is clusterer
    assert not hasattr(clusterer, "cluster_centers_")


def test_hungarian_strategy(blobs):
    X, _ = blobs
    y = np.where(X[:, 0] > 8.5, "rare", "common")
    y[(X[:, 0] > 8.5).nonzero()[0][:12]] = "common"
    pair = KMeans(n_clusters=2, n_init=5, random_state=0)
    assert set(ClusterClassifier(pair).fit(X, y).match_.values()) == {"common"}
    model = ClusterClassifier(pair, strategy="hungarian").fit(X, y)
    assert set(model.match_.values()) == {"common", "rare"}


def test_few_labels_are_enough(blobs):
    X, y = blobs
    few = np.full(len(y), -1)
    labels = KMeans(n_clusters=4, n_init=10, random_state=0).fit_predict(X)
    first = np.unique(labels, return_index=True)[1]
    few[first] = y[first]
    model = ClusterClassifier(KMeans(n_clusters=4, n_init=10, random_state=0)).fit(X, few)
    assert model.classes_.tolist() == [3, 5]
    assert model.score(X, y) == 1.0


@pytest.mark.parametrize("through_pipeline", [False, True])
def test_clusters_without_labels_take_the_class_of_the_nearest(blobs, through_pipeline):
    X, y = blobs
    outer = np.abs(X[:, 0]) > 8.5
    y[outer] = -1
    y[~outer & (y == 3)] = np.where(np.arange(20) < 19, 3, 5)  # 5 is the most frequent class
    clusterer = KMeans(n_clusters=4, n_init=10, random_state=0)
    if through_pipeline:
        clusterer = make_pipeline(PCA(1), clusterer)
    model = ClusterClassifier(clusterer).fit(X, y)
    np.testing.assert_array_equal(model.predict([[-9, 0], [-8, 0], [8, 0], [9, 0]]), [3, 3, 5, 5])
    assert list(model.match_) == [0, 1, 2, 3]


def test_clusters_without_labels_or_centers_take_the_most_frequent_class(blobs):
    X, y = blobs
    outer = np.abs(X[:, 0]) > 8.5
    y[outer] = -1
    y[~outer & (y == 3)] = np.where(np.arange(20) < 19, 3, 5)
    model = ClusterClassifier(GaussianMixture(4, n_init=5, random_state=0)).fit(X, y)
    np.testing.assert_array_equal(model.predict([[-9, 0], [-8, 0], [8, 0], [9, 0]]), [5, 3, 5, 5])
    assert sorted(model.match_) == [0, 1, 2, 3]


def test_a_cluster_that_appears_in_predict_takes_the_most_frequent_class(images):
    X, _ = images
    model = ClusterClassifier(BrightnessClusterer()).fit(X[:5], ["b", "a", "b", "a", "b"])
    assert model.match_ == {0: "b"}
    assert model.predict(X[5:]).tolist() == ["b"] * 5
    np.testing.assert_allclose(model.predict_proba(X[5:]), [[0.4, 0.6]] * 5)


def test_probabilities_are_shares_of_classes(images):
    X, _ = images  # five dark, five light
    y = ["b", "b", "c", "a", "b", "a", "c", "a", "c", "d"]
    model = ClusterClassifier(BrightnessClusterer()).fit(X, y)
    expected = np.repeat([[0.2, 0.6, 0.2, 0.0], [0.4, 0.0, 0.4, 0.2]], 5, axis=0)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
    assert model.predict(X[[0, 5]]).tolist() == ["b", "a"]  # of equal shares the first


@pytest.mark.parametrize("n_labels", [3, 20, 80])
@pytest.mark.parametrize("clusterer", [KMeans(9, random_state=0), GaussianMixture(9)])
def test_the_most_probable_class_is_predicted(blobs, n_labels, clusterer):
    X, _ = blobs
    # Four classes at random: many ties, and clusters without a label.
    y = np.random.RandomState(n_labels).permutation(np.arange(80) % 4)
    y[n_labels:] = -1
    model = ClusterClassifier(clusterer).fit(X, y)
    X = np.concatenate([X, X + 0.3])
    found = model.predict_proba(X)
    assert found.shape == (160, len(model.classes_))
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(model.classes_[found.argmax(1)], model.predict(X))


def test_hungarian_pairs_with_another_class_than_the_most_probable(images):
    X, _ = images
    y = np.array(["a", "a", "a", "a", "b", "a", "a", "a", "b", "b"])
    model = ClusterClassifier(BrightnessClusterer(), strategy="hungarian").fit(X, y)
    assert model.predict(X[[0, 5]]).tolist() == ["a", "b"]
    np.testing.assert_allclose(model.predict_proba(X[[0, 5]]), [[0.8, 0.2], [0.6, 0.4]])


@pytest.mark.parametrize("through_pipeline", [False, True])
def test_clusters_found_before(blobs, through_pipeline):
    X, y = blobs
    clusterer = KMeans(n_clusters=4, n_init=10, random_state=0)
    if through_pipeline:
        clusterer = make_pipeline(PCA(1), clusterer)
    clusterer.fit(X)
    frozen = ClusterClassifier(FrozenEstimator(clusterer))
    inner = np.abs(X[:, 0]) < 8.5
    model = frozen.fit(X[inner].astype(np.float32), y[inner])
    assert model.clusterer_.estimator is clusterer
    assert sorted(model.match_) == [0, 1, 2, 3]  # two of them have no image here
    np.testing.assert_array_equal(model.predict(X.astype(np.float32)), y)
    in_pipeline = make_pipeline(StandardScaler(with_mean=False, with_std=False), frozen.clusterer)
    np.testing.assert_array_equal(ClusterClassifier(in_pipeline).fit(X, y).predict(X), y)


@pytest.mark.parametrize("through_pipeline", [False, True])
def test_clusters_without_labels_take_the_shares_of_the_nearest(blobs, through_pipeline):
    X, y = blobs
    outer = np.abs(X[:, 0]) > 8.5
    y[~outer & (y == 3)] = np.where(np.arange(20) < 15, 3, 5)
    y[outer] = -1
    clusterer = KMeans(n_clusters=4, n_init=10, random_state=0)
    if through_pipeline:
        clusterer = make_pipeline(PCA(1), clusterer)
    model = ClusterClassifier(clusterer).fit(X, y)
    found = model.predict_proba([[-9, 0], [-8, 0], [8, 0], [9, 0]])
    np.testing.assert_allclose(found, [[0.75, 0.25], [0.75, 0.25], [0, 1], [0, 1]])


def test_clusters_without_labels_or_centers_take_the_shares_of_all(blobs):
    X, y = blobs
    outer = np.abs(X[:, 0]) > 8.5
    y[~outer & (y == 3)] = np.where(np.arange(20) < 15, 3, 5)
    y[outer] = -1
    model = ClusterClassifier(GaussianMixture(4, n_init=5, random_state=0)).fit(X, y)
    found = model.predict_proba([[-9, 0], [-8, 0], [8, 0], [9, 0]])
    np.testing.assert_allclose(found, [[0.375, 0.625], [0.75, 0.25], [0, 1], [0.375, 0.625]])


def test_a_cluster_that_appears_later_takes_the_shares_of_all():
    class FirstColumn(BrightnessClusterer):
        def predict(self, X):
            return np.asarray(X)[:, 0].astype(int)

    model = ClusterClassifier(FirstColumn()).fit([[0], [0], [0], [1]], ["b", "b", "a", "a"])
    np.testing.assert_allclose(
        model.predict_proba([[2], [1], [0]]), [[1 / 2, 1 / 2], [1, 0], [1 / 3, 2 / 3]]
    )
    assert model.predict([[2], [1], [0]]).tolist() == ["a", "a", "b"]


def test_a_labelled_cluster_stands_for_itself_beside_an_equal_center():
    assert _stand_ins({0: "a", 1: "b"}, np.array([0, 1]), np.zeros((2, 1))) == {0: 0, 1: 1}


def test_scorers_and_calibration_take_the_probabilities():
    X, y = load_iris(return_X_y=True)
    model = ClusterClassifier(KMeans(6, n_init=5, random_state=0))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for name in ("roc_auc_ovr", "roc_auc_ovo", "neg_brier_score"):
        scores = cross_val_score(model, X, y, cv=folds, scoring=name)
        assert scores.mean() > (-0.2 if name == "neg_brier_score" else 0.95)
    found = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
    np.testing.assert_allclose(found.sum(1), 1)
    assert np.isfinite(log_loss(y, found))
    two = cross_val_score(model, X[50:], y[50:], cv=folds, scoring="roc_auc")
    assert two.mean() > 0.9
    calibrated = CalibratedClassifierCV(model, cv=folds).fit(X, y)
    assert calibrated.score(X, y) > 0.85
    again = SelfTrainingClassifier(model).fit(X, np.where(np.arange(150) % 5, -1, y))
    assert again.score(X, y) > 0.8


def test_probabilities_of_images(images):
    X, y = images
    model = ClusterClassifier(BrightnessClusterer()).fit(list(X), y)
    np.testing.assert_array_equal(model.predict_proba(list(X[[0, 5]])), [[0, 1], [1, 0]])


@pytest.mark.parametrize("unknown", [None, -1])
def test_unknown_among_strings(images, unknown):
    X, y = images
    some = y.astype(object)
    some[[0, 1, 5]] = unknown
    model = ClusterClassifier(BrightnessClusterer()).fit(X, some)
    assert model.classes_.tolist() == ["day", "night"]
    assert model.purity_ == 1.0
    np.testing.assert_array_equal(model.predict(X), y)


def test_minus_one_is_a_class_beside_one_alone(blobs):
    X, y = blobs
    two = np.where(y == 3, -1, 1)
    model = ClusterClassifier(KMeans(n_clusters=2, n_init=5, random_state=0)).fit(X, two)
    assert model.classes_.tolist() == [-1, 1]
    assert model.score(X, two) == 1.0


@pytest.mark.parametrize("shape", [(), (1, 1)])
@pytest.mark.parametrize("form", ["3d", "4d", "list", "sizes"])
def test_images(images, shape, form):
    X, y = images
    X = {
        "3d": X[..., 0],
        "4d": X,
        "list": list(X),
        "sizes": [image[: 3 + i % 2] for i, image in enumerate(X)],
    }[form]
    model = ClusterClassifier(BrightnessClusterer(shape)).fit(X, y)
    assert model.match_ == {0: "night", 1: "day"}
    np.testing.assert_array_equal(model.predict(X), y)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("convert", [np.asarray, list])
def test_more_than_one_cluster_per_image(images, convert):
    X, y = images
    model = ClusterClassifier(BrightnessClusterer((2, 2)))
    with pytest.raises(ValueError, match=r"BrightnessClusterer\.predict returned 40 for 10"):
        model.fit(convert(X), y)


@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("f8", "f4")])
def test_predict_takes_the_other_float_type(blobs, dtypes):
    X, y = blobs
    model = ClusterClassifier(KMeans(n_clusters=4, random_state=0)).fit(X.astype(dtypes[0]), y)
    np.testing.assert_array_equal(model.predict(X.astype(dtypes[1])), y)


def test_grid_search_over_the_clusterer(blobs):
    X, y = blobs
    y = np.where(np.abs(X[:, 0]) > 8.5, y, y + 10)
    model = ClusterClassifier(KMeans(n_init=10, random_state=0))
    search = GridSearchCV(model, {"clusterer__n_clusters": [2, 4]}, cv=3).fit(X, y)
    assert search.best_params_ == {"clusterer__n_clusters": 4}
    assert search.best_score_ == 1.0


def test_clone_and_pickle(blobs):
    X, y = blobs
    model = ClusterClassifier(KMeans(n_clusters=4, random_state=0), strategy="hungarian")
    copy = clone(model)
    assert copy.clusterer is not model.clusterer
    assert copy.get_params()["clusterer__n_clusters"] == 4
    loaded = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_tags_and_sparse_input(blobs):
    X, y = blobs
    model = ClusterClassifier(KMeans(n_clusters=4, random_state=0))
    assert is_classifier(model)
    assert get_tags(model).input_tags == get_tags(KMeans()).input_tags
    dense, sparse = clone(model).fit(X, y), clone(model).fit(csr_array(X), y)
    np.testing.assert_array_equal(dense.predict(X), sparse.predict(csr_array(X)))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        ([0, 1], "inconsistent numbers of samples"),
        (np.full(80, -1), "no labelled sample"),
        (np.linspace(0, 1, 80), "Unknown label type"),
    ],
)
def test_bad_y(blobs, y, message):
    with pytest.raises(ValueError, match=message):
        ClusterClassifier(KMeans(n_clusters=2)).fit(blobs[0], y)


def test_a_clusterer_without_predict(blobs):
    with pytest.raises(TypeError, match="DBSCAN has none"):
        ClusterClassifier(DBSCAN()).fit(*blobs)


def test_unknown_strategy(blobs):
    with pytest.raises(ValueError, match="strategy must be one of"):
        ClusterClassifier(KMeans(), strategy="best").fit(*blobs)


class Broken(KMeans):
    """Finds clusters, and cannot say where."""

    def predict(self, X):
        raise KeyboardInterrupt


def test_interrupted_fit_leaves_no_trace():
    classifier = ClusterClassifier(Broken(n_clusters=2, random_state=0))
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(np.arange(8.0).reshape(4, 2), [0, 0, 1, 1])
    assert set(vars(classifier)) == {"clusterer", "strategy"}
