"""Every fitted estimator goes through skops, which holds plain data and no pickles."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from torch import nn

import sklearn_kmfeat
from sklearn_kmfeat import (
    ChannelConnections,
    ClusterClassifier,
    ConsensusClusterer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    NeighborAverager,
    ZCAWhitener,
)
from small import ESTIMATORS

pytestmark = pytest.mark.filterwarnings("ignore:Epoch:sklearn.exceptions.ConvergenceWarning")
DEEP = DeepClusterEstimator(2, max_epochs=1, net_params={"module__width": 4}, random_state=0)
SMALL = {"max_iter": 2, "random_state": 0}
MORE = {
    "spherical": KMeansFilterLearner(4, algorithm="spherical", n_patches=200, **SMALL),
    "RandomState": KMeansFilterLearner(4, n_patches=200, random_state=np.random.RandomState(0)),
    "connections": ConvKMeans(
        4, n_windows=100, connections=ChannelConnections(2, 2, random_state=0), **SMALL
    ),
    "prototypes": clone(DEEP).set_params(head="prototypes", n_pseudo_labels=(3, 4)),
    "resnet": clone(DEEP).set_params(module="resnet18", net_params=None, input_size=16),
    "adam": clone(DEEP).set_params(optimizer=torch.optim.Adam, layer="clusters"),
    "classifier": ClusterClassifier(DEEP),
    "pipeline": make_pipeline(
        KMeansFilterLearner(4, n_patches=200, **SMALL), KMeans(2, n_init=1, random_state=0)
    ),
    "consensus": ConsensusClusterer(2, n_runs=1, random_state=0),
    "consensus of estimators": ConsensusClusterer(
        2, [("filters", make_pipeline(ESTIMATORS[0], KMeans(2))), ("deep", DEEP)], n_runs=1
    ),
    "neighbours": make_pipeline(
        KMeansFilterLearner(4, n_patches=200, **SMALL), NeighborAverager(3, 2)
    ),
}
ALL = {type(each).__name__: each for each in ESTIMATORS} | MORE


@pytest.fixture(scope="module")
def images():
    ramp = np.linspace(0, 90, 16)[:, None, None]
    return (np.random.RandomState(0).randint(0, 160, (24, 16, 16, 3)) + ramp).astype(np.uint8)


def round_trip(estimator):
    data = skops.io.dumps(estimator)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


def assert_same(found, expected, X):
    for method in ("transform", "predict"):
        if hasattr(expected, method):
            np.testing.assert_array_equal(getattr(found, method)(X), getattr(expected, method)(X))


@pytest.mark.parametrize("name", ALL)
def test_round_trip(name, images):
    fitted = clone(ALL[name]).fit(images, *([np.arange(24) % 2] if name == "classifier" else []))
    assert_same(round_trip(fitted), fitted, images)


@pytest.mark.parametrize(
    "name", [name for name, each in ALL.items() if hasattr(each, "partial_fit")]
)
def test_streams_go_on(name, images):
    begun = clone(ALL[name])
    begun.partial_fit(images)
    restored = round_trip(begun)
    assert_same(restored.partial_fit(images[::-1]), begun.partial_fit(images[::-1]), images)


@pytest.mark.parametrize("name", ["DeepClusterEstimator", "prototypes", "adam"])
def test_training_goes_on(name, images):
    begun = clone(ALL[name]).set_params(warm_start=True).fit(images)
    restored = round_trip(begun)
    for each in (begun, restored):
        each.set_params(max_epochs=2).fit(images)
    np.testing.assert_array_equal(restored.labels_, begun.labels_)
    assert restored.history_[1]["loss"] == begun.history_[1]["loss"]
    assert_same(restored, begun, images)


@pytest.mark.parametrize("name", ALL)
def test_fitted_attributes_are_numpy(name, images):
    fitted = clone(ALL[name]).fit(images, *([np.arange(24) % 2] if name == "classifier" else []))

    def tensors(value):
        if isinstance(value, torch.Tensor | nn.Module):
            return True
        parts = value.values() if isinstance(value, dict) else value
        return isinstance(value, dict | list | tuple) and any(map(tensors, parts))

    found = [key for key, value in vars(fitted).items() if key != "net_" and tensors(value)]
    assert found == []


def test_not_fitted():
    assert round_trip(DEEP).get_params() == DEEP.get_params()


def test_networks_of_torch_are_told(images):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    deep = clone(DEEP).set_params(module=network, net_params=None, n_clusters=2).fit(images)
    with pytest.raises(TypeError, match=r"skops cannot hold a network of torch.*use joblib"):
        skops.io.dumps(deep)
    # Others can.
    assert_same(pickle.loads(pickle.dumps(deep)), deep, images)
    assert_same(copy.deepcopy(deep), deep, images)


def test_pickles_keep_the_net(images):
    deep = clone(DEEP).fit(images)
    for restored in (pickle.loads(pickle.dumps(deep)), copy.deepcopy(deep)):
        assert type(restored.net_) is type(deep.net_)
        assert_same(restored, deep, images)


@pytest.mark.parametrize("name", ["ZCAWhitener", "DeepClusterEstimator"])
@pytest.mark.parametrize("how", ["pickle", "skops"])
def test_another_version_warns_as_that_of_scikit_learn(name, how, images, monkeypatch):
    fitted = clone(ALL[name]).fit(images)
    data = pickle.dumps(fitted) if how == "pickle" else skops.io.dumps(fitted)
    stored_by = sklearn_kmfeat.__version__
    monkeypatch.setattr(sklearn_kmfeat, "__version__", "99.0")
    load = pickle.loads
    if how == "skops":
        load = partial(skops.io.loads, trusted=skops.io.get_untrusted_types(data=data))
    with pytest.warns(InconsistentVersionWarning, match=r"by sklearn_kmfeat 0.* by 99\.0") as log:
        load(data)
    (warning,) = (entry.message for entry in log)
    assert warning.estimator_name == name
    assert (warning.original_version, warning.current_version) == (stored_by, "99.0")


def test_the_round_trip_sees_differences(images):
    """The tests above would pass without a word if nothing was compared."""
    fitted = ZCAWhitener().fit(images)
    other = ZCAWhitener(eps=3).fit(images)
    with pytest.raises(AssertionError):
        assert_same(other, fitted, images)
