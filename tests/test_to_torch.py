import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ClusterClassifier,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    ZCAWhitener,
    to_torch,
)

SMALL = {"patch_size": 3, "max_iter": 2, "random_state": 0}
CHANNELS_FIRST = (0, 3, 1, 2)


@pytest.fixture
def images():
    return np.random.RandomState(0).rand(60, 11, 12, 3).astype(np.float32)


@pytest.fixture
def y(images):
    return (images[:, :, :, 0].mean((1, 2)) * 97).astype(int) % 3


def first_layer(**parameters):
    return ConvKMeans(**SMALL | {"n_filters": 8, "n_windows": 400} | parameters)


def second_layer(**parameters):
    connections = ChannelConnections(3, 2, max_epochs=1, **parameters)
    return ConvKMeans(4, **SMALL, n_windows=300, connections=connections)


def stack(method="correlation", last=None):
    return make_pipeline(
        first_layer(output="maps", pool_size=2),
        second_layer(method=method),
        StandardScaler(),
        last or LogisticRegression(max_iter=300),
    )


def deep(**parameters):
    defaults = {"max_epochs": 1, "batch_size": 16, "random_state": 0}
    return DeepClusterEstimator(3, **defaults | parameters)


def tensor(images):
    return torch.from_numpy(images.transpose(CHANNELS_FIRST).copy())


def assert_same_numbers(module, images, expected):
    with torch.no_grad():
        found = module(tensor(images)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


# Stacks of scikit-learn


@pytest.mark.parametrize("method", ["random", "correlation", "supervised"])
def test_a_stack_hands_labels_on(images, y, method):
    model = stack(method).fit(images, y)
    assert model.predict(images).shape == (60,)
    assert model[1].connections_.shape == (3, 2)
    again = clone(model).fit(images, y)
    np.testing.assert_array_equal(again.decision_function(images), model.decision_function(images))


def test_a_supervised_stack_without_labels(images):
    model = make_pipeline(*stack("supervised")[:2])
    with pytest.raises(ValueError, match=r"learns from labels"):
        model.fit(images)


def test_a_stack_persists(images, y, tmp_path):
    model = stack().fit(images, y)
    joblib.dump(model, tmp_path / "stack.joblib")
    restored = joblib.load(tmp_path / "stack.joblib")
    np.testing.assert_array_equal(
        restored.decision_function(images), model.decision_function(images)
    )


def test_a_stack_is_searched(images, y):
    grid = {
        "convkmeans-2__connections__method": ["random", "supervised"],
        "convkmeans-2__n_filters": [2, 3],
    }
    search = GridSearchCV(stack(), grid, cv=2, n_jobs=2, error_score="raise").fit(images, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_estimator_[1].connections_.shape == (3, 2)


def test_layers_and_dictionaries_together(images, y):
    layers = FeatureUnion(
        [
            ("one", first_layer()),
            ("larger", first_layer(patch_size=5)),
            ("two", make_pipeline(*stack("supervised")[:2])),
        ]
    )
    rows = layers.fit_transform(images, y)
    assert rows.shape == (60, 4 * (8 + 8 + 12))
    alone = make_pipeline(*stack("supervised")[:2]).fit(images, y).transform(images)
    np.testing.assert_array_equal(rows[:, 64:], alone)


# The same numbers in torch


LEARNERS = {
    "filters": KMeansFilterLearner(6, **SMALL, n_patches=300),
    "bag": BagOfPatches(6, **SMALL, n_patches=300, encoder="triangle"),
    "maps": first_layer(output="maps", pool_size=2),
    "convolutional": first_layer(split_sign=True, contrast="image"),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_learners(images, name):
    learner = clone(LEARNERS[name]).fit(images)
    expected = learner.transform(images)
    expected = expected.transpose(CHANNELS_FIRST) if expected.ndim == 4 else expected
    assert_same_numbers(to_torch(learner), images, expected)


@pytest.mark.parametrize(
    "step",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        Normalizer(),
        Normalizer("l1"),
        Normalizer("max"),
        PCA(5, random_state=0),
        PCA(5, whiten=True, random_state=0),
        FunctionTransformer(),
        *(FunctionTransformer(f) for f in (np.sqrt, np.abs, np.square, np.log1p, np.tanh)),
        "passthrough",
        None,
    ],
    ids=repr,
)
def test_transformers(images, step):
    model = make_pipeline(first_layer(), step).fit(images)
    assert_same_numbers(to_torch(model), images, model.transform(images))


def test_contrast_of_images(images):
    model = make_pipeline(ContrastNormalizer(), first_layer(contrast=None)).fit(images)
    assert_same_numbers(to_torch(model), images, model.transform(images))
    bytes_ = (images * 255).astype(np.uint8)
    model.fit(bytes_)
    assert_same_numbers(to_torch(model), bytes_, model.transform(bytes_))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "classifier",
    [
        LogisticRegression(max_iter=300),
        RidgeClassifier(),
        LinearSVC(),
        LinearDiscriminantAnalysis(shrinkage=0.5, solver="lsqr"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_classifiers(images, y, classifier, n_classes):
    model = stack(last=classifier).fit(images, y % n_classes)
    assert_same_numbers(to_torch(model), images, model.decision_function(images))


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("regressor", [LinearRegression(), Ridge(fit_intercept=False)])
def test_regressors(images, regressor, n_targets):
    targets = images[:, :n_targets, 0, 0]
    targets = targets[:, 0] if n_targets == 1 else targets
    model = make_pipeline(first_layer(), StandardScaler(), regressor).fit(images, targets)
    assert_same_numbers(to_torch(model), images, model.predict(images))


@pytest.mark.parametrize("clusterer", [KMeans(4, random_state=0), MiniBatchKMeans(4)])
def test_distances_to_clusters(images, clusterer):
    model = make_pipeline(first_layer(), StandardScaler(), clusterer).fit(images)
    module = to_torch(model)
    assert_same_numbers(module, images, model.transform(images))
    nearest = module(tensor(images)).argmin(1).numpy()
    np.testing.assert_array_equal(nearest, model.predict(images))
    rows = np.random.RandomState(0).rand(30, 4)
    clusterer.fit(rows)
    found = to_torch(clusterer)(torch.from_numpy(rows)).detach().numpy()
    np.testing.assert_allclose(found, clusterer.transform(rows), atol=1e-7)


@pytest.mark.parametrize("strategy", ["majority", "hungarian"])
@pytest.mark.parametrize("n_clusters", [2, 7])
@pytest.mark.parametrize("names", [None, ["cat", "dog", "hen"]])
def test_classes_of_clusters(images, y, strategy, n_clusters, names):
    y = y if names is None else np.array(names)[y]
    clusterer = make_pipeline(first_layer(), KMeans(n_clusters, random_state=0))
    model = ClusterClassifier(clusterer, strategy).fit(images, y)
    scores = to_torch(model)(tensor(images))
    assert scores.shape == (60, 3)
    classes = model.classes_[scores.argmax(1).numpy()]
    np.testing.assert_array_equal(classes, model.predict(images))
    without = ~np.isin(model.classes_, list(model.match_.values()))
    assert without.any() or n_clusters > 2
    assert (scores[:, without] == -torch.inf).all()
    assert scores[:, ~without].isfinite().all()


def test_clusters_that_were_not_seen_have_the_most_frequent_class(images, y):
    model = ClusterClassifier(KMeans(3, random_state=0)).fit(images.reshape(60, -1), y)
    model.match_ = {0: 0, 1: 2}
    module, rows = to_torch(model), torch.from_numpy(images.reshape(60, -1))
    np.testing.assert_array_equal(
        model.classes_[module(rows).argmax(1).numpy()], model.predict(rows.numpy())
    )


def test_deep_clustering(images, y):
    estimator = deep().fit(images)
    distances = to_torch(estimator)(tensor(images))
    np.testing.assert_array_equal(distances.argmin(1).numpy(), estimator.labels_)
    model = ClusterClassifier(deep()).fit(images, y)
    classes = model.classes_[to_torch(model)(tensor(images)).argmax(1).numpy()]
    np.testing.assert_array_equal(classes, model.predict(images))


@pytest.mark.parametrize("layer", ["embedding", "clusters", "conv1"])
def test_deep_clustering_before_other_steps(images, y, layer):
    alone = deep(layer=layer)
    union = FeatureUnion([("deep", make_pipeline(alone)), ("patches", first_layer())])
    for first in (alone, union):
        model = make_pipeline(first, StandardScaler(), RidgeClassifier(10.0)).fit(images, y)
        assert_same_numbers(to_torch(model), images, model.decision_function(images))
    model = make_pipeline(alone, "passthrough").fit(images)
    assert_same_numbers(to_torch(model), images, model.transform(images))


@pytest.mark.parametrize("kind", [GridSearchCV, RandomizedSearchCV])
def test_searches(images, y, kind):
    model = make_pipeline(first_layer(), RidgeClassifier())
    arguments = {"n_iter": 2, "random_state": 0} if kind is RandomizedSearchCV else {}
    search = kind(model, {"ridgeclassifier__alpha": [0.1, 1e3]}, cv=2, **arguments)
    search.fit(images, y)
    assert_same_numbers(to_torch(search), images, search.decision_function(images))
    search = clone(search).set_params(refit=False).fit(images, y)
    with pytest.raises(TypeError, match=rf"best_estimator_ of {kind.__name__}.* refit=False"):
        to_torch(search)


def test_a_search_before_other_steps(images, y):
    layer = GridSearchCV(deep(max_epochs=0), {"n_clusters": [2, 3]}, cv=2)
    model = make_pipeline(layer, StandardScaler(), RidgeClassifier()).fit(images, y)
    assert_same_numbers(to_torch(model), images, model.decision_function(images))


def test_unions(images, y):
    union = FeatureUnion(
        [
            ("one", first_layer()),
            ("two", make_pipeline(*stack()[:2])),
            ("none", "drop"),
        ],
        transformer_weights={"two": 3.0},
    )
    model = make_pipeline(union, FunctionTransformer(np.sqrt), RidgeClassifier()).fit(images, y)
    module = to_torch(model)
    assert_same_numbers(module, images, model.decision_function(images))
    restored = to_torch(model)
    restored.load_state_dict(module.state_dict())


def test_whitening_of_images_and_rows(images):
    model = make_pipeline(ZCAWhitener(), first_layer(contrast=None, whiten_eps=None)).fit(images)
    assert_same_numbers(to_torch(model), images, model.transform(images))
    bytes_ = (images * 255).astype(np.uint8)
    whitener = ZCAWhitener(eps=1).fit(bytes_)
    expected = whitener.transform(bytes_).transpose(CHANNELS_FIRST)
    assert_same_numbers(to_torch(whitener), bytes_, expected)
    rows = images[:, :2, :3, 0].reshape(60, -1)
    model = make_pipeline(ZCAWhitener(), KMeansFilterLearner(4, whiten_eps=None, max_iter=2))
    found = to_torch(model.fit(rows))(torch.from_numpy(rows)).detach().numpy()
    np.testing.assert_allclose(found, model.transform(rows), atol=1e-5)


def test_ready_patches_after_scaling():
    rows = np.random.RandomState(0).rand(80, 9)
    learner = ConvKMeans(4, n_windows=80, max_iter=2, random_state=0)
    model = make_pipeline(StandardScaler(), learner).fit(rows)
    found = to_torch(model)(torch.from_numpy(rows)).detach().numpy()
    np.testing.assert_allclose(found, model.transform(rows), atol=1e-6)


def test_gradients_reach_every_parameter(images, y):
    model = make_pipeline(*stack()[:2], FunctionTransformer(np.sqrt), StandardScaler())
    model = make_pipeline(*model, LogisticRegression(max_iter=300)).fit(images, y)
    module = to_torch(model)
    loss = torch.nn.functional.cross_entropy(module(tensor(images)), torch.from_numpy(y))
    loss.backward()
    names = [name for name, _ in module.named_parameters()]
    assert names == ["0.filters", "1.filters", "4.weight", "4.bias"]
    for parameter in module.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_the_estimator_stays(images, y):
    model = stack().fit(images, y)
    before = model.decision_function(images)
    module = to_torch(model)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0)
    np.testing.assert_array_equal(model.decision_function(images), before)


# Errors


def test_no_counterpart(images, y):
    for last in (DecisionTreeClassifier(), MinMaxScaler()):
        model = make_pipeline(first_layer(), last).fit(images, y)
        with pytest.raises(
            TypeError, match=rf"no torch counterpart of {type(last).__name__}.*KMea"
        ):
            to_torch(model)


def test_clusterers_without_distances(images, y):
    model = ClusterClassifier(make_pipeline(first_layer(), BisectingKMeans(3))).fit(images, y)
    with pytest.raises(TypeError, match=r"ClusterClassifier of .* got BisectingKMeans"):
        to_torch(model)


def test_linear_models_come_last(images, y):
    model = make_pipeline(first_layer(), LinearDiscriminantAnalysis(), RidgeClassifier())
    with pytest.raises(TypeError, match=r"LinearDiscriminantAnalysis as the last step"):
        to_torch(model.fit(images, y))
    for part in (LinearDiscriminantAnalysis(), make_pipeline(LinearDiscriminantAnalysis())):
        model = make_pipeline(first_layer(), FeatureUnion([("lda", part)])).fit(images, y)
        with pytest.raises(TypeError, match=r"LinearDiscriminantAnalysis as the last step"):
            to_torch(model)


@pytest.mark.parametrize(
    "function", [FunctionTransformer(np.exp), FunctionTransformer(np.sqrt, kw_args={"out": None})]
)
def test_unknown_functions(images, function):
    model = make_pipeline(first_layer(), function).fit(images)
    with pytest.raises(TypeError, match=r"sqrt, absolute, square, log1p, tanh, got"):
        to_torch(model)


@pytest.mark.parametrize("model", [first_layer(), stack(), FeatureUnion([("one", first_layer())])])
def test_not_fitted(model):
    with pytest.raises(NotFittedError):
        to_torch(model)
