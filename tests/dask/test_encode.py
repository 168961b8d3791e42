"""Features and labels of the blocks of a dask array: lazy, of the right shape, computed once."""

import pickle
import subprocess
import sys
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ClusterClassifier,
    ConsensusClusterer,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    NeighborAverager,
    PatchExtractor,
    ZCAWhitener,
)
from sklearn_kmfeat import dask as kd
from sklearn_kmfeat._utils.threads import n_threads

SMALL = {"n_patches": 300, "max_iter": 2, "random_state": 0}
CHUNKS = (8, 0, 5, 1, 6)
Y = np.array(["cat", "dog"] * 10)

ESTIMATORS = {
    "learner": KMeansFilterLearner(4, **SMALL),
    "mirrored": KMeansFilterLearner(4, mirror=True, split_sign=True, **SMALL),
    "maps": KMeansFilterLearner(4, output="maps", pool_size=2, **SMALL),
    "DataFrame": KMeansFilterLearner(4, **SMALL).set_output(transform="pandas"),
    "bag": BagOfPatches(4, **SMALL),
    "ConvKMeans": ConvKMeans(4, n_windows=200, max_iter=2, random_state=0),
    "groups": ConvKMeans(
        4,
        n_windows=200,
        max_iter=2,
        random_state=0,
        connections=ChannelConnections(2, 2, random_state=0),
    ),
    "contrast": ContrastNormalizer(),
    "ZCA": ZCAWhitener(),
    "patches": PatchExtractor(6, stride=4),
    "network": DeepClusterEstimator(
        2, max_epochs=1, net_params={"module__width": 4}, random_state=0
    ),
    "consensus": ConsensusClusterer(2, n_runs=2, random_state=0),
    "pipeline": make_pipeline(
        KMeansFilterLearner(4, **SMALL),
        FunctionTransformer(np.log1p),
        StandardScaler().set_output(transform="polars"),
        PCA(3, random_state=0),
        NeighborAverager(3, 2),
        KMeans(2, random_state=0),
    ),
    "classifier": ClusterClassifier(
        make_pipeline(BagOfPatches(4, **SMALL), KMeans(2, random_state=0))
    ),
    "supervised": make_pipeline(KMeansFilterLearner(4, **SMALL), LogisticRegression(C=1e-6)),
}


def images(dtype="u1", shape=(12, 14, 3)):
    ramp = np.linspace(0, 90, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return (np.random.RandomState(0).randint(0, 160, (20, *shape)) + ramp).astype(dtype)


@pytest.fixture(scope="module")
def fitted():
    return {name: estimator.fit(images(), Y) for name, estimator in ESTIMATORS.items()}


CALLS = [
    (name, method)
    for name, estimator in ESTIMATORS.items()
    for method in ("transform", "predict")
    if hasattr(estimator, method)
]


def assert_same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("name", "method"), CALLS)
def test_as_on_arrays_in_memory(name, method, fitted):
    X, estimator = images(), fitted[name]
    expected = np.asarray(getattr(estimator, method)(X))
    lazy = getattr(kd, method)(estimator, da.from_array(X, chunks=(CHUNKS, 12, 14, 3)))
    assert type(lazy) is da.Array
    assert lazy.shape == expected.shape
    assert lazy.dtype == expected.dtype
    each = len(expected) // len(X)
    assert lazy.chunks[0] == tuple(each * length for length in CHUNKS)
    assert isinstance(lazy.blocks[0]._meta, np.ndarray)
    for scheduler in ("synchronous", "threads"):
        found = lazy.compute(scheduler=scheduler)
        assert found.dtype == expected.dtype
        assert_same(found, expected)
    for i, block in enumerate(dask.compute(*lazy.to_delayed().ravel())):
        assert block.shape == (each * CHUNKS[i], *expected.shape[1:])


def test_on_a_cluster(fitted, client):
    X = images()
    blocks = da.from_array(X, chunks=(CHUNKS, 12, 14, 3))
    for name, method in CALLS:
        found = getattr(kd, method)(fitted[name], blocks).compute()
        assert_same(found, getattr(fitted[name], method)(X))


def counted(X, chunks):
    """A dask array, and a list that grows with each block that is computed."""
    computed = []

    def note(block, block_info):
        computed.append(block_info[0]["chunk-location"])
        return block

    return da.from_array(X, chunks=chunks).map_blocks(note, dtype=X.dtype, meta=X[:0]), computed


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("chunks", [(7, -1, -1, -1), (7, 5, -1, 2), (CHUNKS, 12, 14, 3)])
def test_every_block_is_computed_once_and_none_before(dtype, chunks, fitted):
    X, computed = counted(images(dtype), chunks)
    for method in ("transform", "predict"):
        lazy = getattr(kd, method)(fitted["learner"], X)
        assert computed == []
        lazy.compute()
        assert sorted(computed) == sorted(set(computed))
        assert len(computed) == X.npartitions
        computed.clear()


class NotedIn:
    """Leaves a file for each block that is computed, whichever process does it."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, block):
        (self.folder / uuid4().hex).touch()
        return block


def test_every_block_is_computed_once_on_a_cluster(client, fitted, tmp_path):
    X = da.from_array(images(), chunks=(3, 12, 14, 3))
    X = X.map_blocks(NotedIn(tmp_path), dtype=X.dtype, meta=images()[:0])
    lazy = kd.transform(fitted["learner"], X)
    assert list(tmp_path.iterdir()) == []
    assert_same(lazy.compute(), fitted["learner"].transform(images()))
    assert len(list(tmp_path.iterdir())) == X.npartitions == 7


def test_the_estimator_is_in_the_graph_once():
    X = images()
    learner = KMeansFilterLearner(300, n_patches=2000, max_iter=1, random_state=0).fit(X)
    size = len(pickle.dumps(learner))
    lazy = kd.transform(learner, da.from_array(X, chunks=(1, 12, 14, 3)))
    graph = dict(lazy.__dask_graph__())
    assert len(pickle.dumps(graph)) < X.nbytes + 1.5 * size + 100_000
    assert sum(len(pickle.dumps(task)) > size / 2 for task in graph.values()) == 1


def test_rows(fitted):
    X = images("f4", (30,))
    learner = KMeansFilterLearner(4, **SMALL).fit(X)
    blocks = da.from_array(X, chunks=(7, 11))
    for method in ("transform", "predict"):
        assert_same(getattr(kd, method)(learner, blocks), getattr(learner, method)(X))
    flat = KMeansFilterLearner(4, image_shape=(5, 6), patch_size=3, **SMALL).fit(X)
    for method in ("transform", "predict"):
        assert_same(getattr(kd, method)(flat, blocks), getattr(flat, method)(X))
    means = KMeans(2, random_state=0).fit(X)
    np.testing.assert_array_equal(kd.predict(means, blocks), means.predict(X))


def test_a_refit_before_the_blocks_are_computed_changes_nothing():
    X = images()
    learner = KMeansFilterLearner(4, **SMALL).fit(X)
    expected = learner.transform(X)
    lazy = kd.transform(learner, da.from_array(X, chunks=7))
    learner.set_params(n_filters=5).fit(X)
    assert_same(lazy, expected)


def unknown(X):
    """The same array, whose blocks have an unknown length."""
    return X[da.ones(len(X), chunks=X.chunks[0], dtype=bool)]


def test_blocks_of_unknown_length_stay_so(fitted):
    X = unknown(da.from_array(images(), chunks=(7, 6, -1, -1)))
    lazy = kd.transform(fitted["learner"], X)
    assert np.isnan(lazy.shape[0])
    assert lazy.shape[1] == 16
    assert_same(lazy, fitted["learner"].transform(images()))
    assert np.isnan(X.shape[0])
    with pytest.raises(ValueError, match=r"only the number of .*X\.compute_chunk_sizes\(\)"):
        kd.transform(fitted["learner"], da.moveaxis(X, 0, 1))


def test_the_image_that_is_not_finite_has_its_number_in_the_whole_array(fitted):
    X = images("f4")
    X[14, 3, 4, 1] = np.nan
    blocks = da.from_array(X, chunks=(8, -1, -1, -1))
    for name in ("learner", "network", "pipeline", "classifier", "consensus"):
        with pytest.raises(ValueError, match="NaN in image 14, at row 3, column 4, channel 1"):
            kd.predict(fitted[name], blocks).compute(scheduler="threads")
    with pytest.raises(ValueError, match="NaN in image"):
        kd.predict(fitted["learner"], unknown(blocks)).compute(scheduler="threads")
    means = KMeans(2, random_state=0).fit(X[:8].reshape(8, -1))
    with pytest.raises(ValueError, match=r"Input X contains NaN\.\nKMeans does not accept"):
        kd.predict(means, blocks.reshape(20, -1)).compute(scheduler="threads")


def test_other_errors_of_a_block_stay_as_they_are(fitted):
    X = images("f8")
    X[14, 3, 4, 1] = 1e300
    with pytest.raises(ValueError, match=r"X holds values up to 1e\+300, whose squares float64"):
        kd.transform(fitted["learner"], da.from_array(X, chunks=8)).compute()


def wrong_blocks(X):
    """Masked blocks in an array that announces NumPy's."""
    return X.map_blocks(np.ma.masked_less, 3, dtype=X.dtype, meta=np.empty((0,) * X.ndim, X.dtype))


def test_what_is_refused(fitted):
    X = da.from_array(images(), chunks=8)
    with pytest.raises(TypeError, match=r"dask array as X for BagOfPatches, got numpy\.ndarray"):
        kd.transform(fitted["bag"], images())
    with pytest.raises(TypeError, match="ConsensusClusterer has no method transform"):
        kd.transform(fitted["consensus"], X)
    with pytest.raises(NotFittedError):
        kd.transform(KMeansFilterLearner(), X)
    with pytest.raises(ValueError, match=r"\(14, 12, 3\).*fitted on shape \(12, 14, 3\)"):
        kd.transform(fitted["bag"], X.swapaxes(1, 2))
    with pytest.raises(TypeError, match=r"dask\.array\.ma\.filled"):
        kd.transform(fitted["bag"], wrong_blocks(X)).compute()
    with pytest.raises(TypeError, match="estimator gives sparse matrices"):
        kd.transform(OneHotEncoder().fit([[0], [1]]), da.zeros((4, 1), chunks=2))


@pytest.mark.parametrize("draws", [{"max_patches": 3}, {"max_patches": 0.2}, {"n_patches": 11}])
def test_drawn_patches(draws):
    X = images("f4")
    extractor = PatchExtractor(5, random_state=0, **draws).fit(X)
    expected = extractor.transform(X)
    blocks, computed = counted(X, (CHUNKS, 12, 14, 3))
    lazy = kd.transform(extractor, blocks)
    assert (lazy.shape, lazy.dtype, computed) == (expected.shape, expected.dtype, [])
    np.testing.assert_array_equal(lazy, expected)
    assert len(computed) == len(set(computed))
    X[14, 3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="NaN in image 14, at row 3, column 4"):
        kd.transform(extractor, da.from_array(X, chunks=8)).compute()
    stack = make_pipeline(extractor, ZCAWhitener()).fit(images())
    with pytest.raises(ValueError, match=r"give its steps to sklearn_kmfeat\.dask\.transform one"):
        kd.transform(stack, blocks)


def test_all_patches_in_a_pipeline():
    X = images()
    stack = make_pipeline(PatchExtractor(5, stride=4), ContrastNormalizer()).fit(X)
    lazy = kd.transform(stack, da.from_array(X, chunks=7))
    assert lazy.chunks[0] == (42, 42, 36)
    assert_same(lazy, stack.transform(X))


class Threads(FunctionTransformer):
    """Gives the number of threads that it may use."""

    def transform(self, X):
        return np.full((len(X), 2), [n_threads(), torch.get_num_threads()])


def test_a_block_takes_one_thread_where_dask_has_several():
    X = da.zeros((6, 2), chunks=(1, 2))
    threads = kd.transform(Threads().fit(np.zeros((1, 2))), X)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        np.testing.assert_array_equal(threads.compute(scheduler="threads"), 1)
        np.testing.assert_array_equal(threads.compute(scheduler="synchronous"), 3)
    finally:
        torch.set_num_threads(before)


WITHOUT_DASK = """
import sys, pickle
import sklearn_kmfeat
assert "dask" not in sys.modules and "distributed" not in sys.modules
sys.modules["dask"] = None
try:
    import sklearn_kmfeat.dask
except ImportError as error:
    print(error)
"""


def test_without_dask():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_DASK], capture_output=True, text=True, check=True
    )
    assert 'pip install "sklearn-kmfeat[dask]"' in run.stdout
