"""Scikit-learn's contract, and the same for images, for every estimator."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import check_estimator

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

SMALL = {"n_patches": 500, "max_iter": 5, "random_state": 0}
FEW_WINDOWS = {"n_windows": 500, "max_iter": 5, "random_state": 0}

DEEP = {"max_epochs": 2, "net_params": {"module__width": 4}, "random_state": 0}

PLAIN = {
    "PatchExtractor": PatchExtractor(),
    "ContrastNormalizer": ContrastNormalizer(),
    "ZCAWhitener": ZCAWhitener(),
    "lloyd": KMeansFilterLearner(n_filters=3, **SMALL),
    "spherical": KMeansFilterLearner(
        n_filters=3, algorithm="spherical", encoder="soft_threshold", split_sign=True, **SMALL
    ),
    "random": KMeansFilterLearner(n_filters=3, algorithm="random", encoder="knn", **SMALL),
    "mirrored": KMeansFilterLearner(n_filters=3, mirror=True, patch_size=1, **SMALL),
    "BagOfPatches": BagOfPatches(n_words=3, **SMALL),
    "ConvKMeans": ConvKMeans(n_filters=3, **FEW_WINDOWS),
    "ConvKMeans raw": ConvKMeans(
        n_filters=3, encoder="triangle", split_sign=True, whiten_eps=None, **FEW_WINDOWS
    ),
    **{
        f"ChannelConnections {method}": ChannelConnections(
            2, 1, method=method, max_epochs=2, random_state=0
        )
        for method in ("random", "correlation", "supervised")
    },
    "NeighborAverager": NeighborAverager(n_neighbors=3),
    "ClusterClassifier": ClusterClassifier(KMeans(n_clusters=3, random_state=0)),
    "ConsensusClusterer": ConsensusClusterer(3, n_runs=2, random_state=0),
    "consensus of estimators": ConsensusClusterer(
        3, [("k-means", KMeans(3)), ("more", KMeans(5))], n_runs=2, random_state=0
    ),
    "reset": DeepClusterEstimator(n_clusters=2, head="reset", **DEEP),
    "prototypes": DeepClusterEstimator(n_clusters=2, head="prototypes", **DEEP),
}

IMAGES = {
    "PatchExtractor": PatchExtractor(patch_size=4, max_patches=0.5, random_state=0),
    "ContrastNormalizer": ContrastNormalizer(),
    "ZCAWhitener": ZCAWhitener(),
    "lloyd": KMeansFilterLearner(n_filters=8, patch_size=4, **SMALL),
    "spherical": KMeansFilterLearner(
        n_filters=8, patch_size=(3, 4), algorithm="spherical", encoder="soft_threshold", **SMALL
    ),
    "random": KMeansFilterLearner(
        n_filters=8, patch_size=4, algorithm="random", encoder="knn", stride=2, **SMALL
    ),
    "maps": KMeansFilterLearner(n_filters=8, patch_size=4, output="maps", pool_size=3, **SMALL),
    "BagOfPatches": BagOfPatches(n_words=8, patch_size=4, **SMALL),
    "ConvKMeans": ConvKMeans(n_filters=8, patch_size=4, **FEW_WINDOWS),
    "ConvKMeans raw": ConvKMeans(
        n_filters=8, patch_size=(3, 4), window_size=(5, 4), whiten_eps=None, **FEW_WINDOWS
    ),
    "ConvKMeans maps": ConvKMeans(
        n_filters=8, patch_size=4, contrast="image", output="maps", pool_size=3, **FEW_WINDOWS
    ),
}
SAME_SIZE_ONLY = {"ZCAWhitener", "maps", "ConvKMeans maps"}


def make_images(shape, dtype, n=12):
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, size=(n, *shape))
    return images.astype(dtype)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("name", PLAIN)
def test_scikit_learn_checks(name):
    results = check_estimator(PLAIN[name], on_fail=None)
    failed = [
        (r["check_name"], repr(r["exception"]))
        for r in results
        if r["status"] in ("failed", "xfail")
    ]
    assert failed == []
    assert len(results) > 40
    # Without transform and predict, scikit-learn has one check fewer that can pass.
    least = 40 if isinstance(PLAIN[name], ChannelConnections) else 41
    assert sum(r["status"] == "passed" for r in results) >= least


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(10, 12), (10, 12, 1), (10, 12, 3), (10, 12, 13)])
@pytest.mark.parametrize("name", IMAGES)
def test_images(name, shape, dtype):
    X = make_images(shape, dtype)
    before = X.copy()
    X.flags.writeable = False
    estimator = clone(IMAGES[name])
    with pytest.raises(NotFittedError):
        estimator.transform(X)
    assert estimator.fit(X) is estimator
    result = estimator.transform(X)
    np.testing.assert_array_equal(X, before)
    assert np.isfinite(result).all()
    assert result.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert estimator.n_features_in_ == np.prod(shape)
    assert estimator.image_shape_ == (*shape, 1)[:3]

    again = clone(estimator).fit(X).transform(X)
    np.testing.assert_array_equal(result, again)
    restored = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(restored.transform(X), result)


@pytest.mark.parametrize("name", sorted(set(IMAGES) - {"PatchExtractor", "ContrastNormalizer"}))
def test_flattened_images_are_images(name):
    X = make_images((10, 12, 3), np.float64)
    estimator = clone(IMAGES[name])
    expected = estimator.fit(X).transform(X)
    if name == "ZCAWhitener":
        got = clone(estimator).fit_transform(X.reshape(12, -1)).reshape(X.shape)
    else:
        flat = clone(estimator).set_params(image_shape=(10, 12, 3))
        got = flat.fit_transform(X.reshape(12, -1))
    np.testing.assert_allclose(got, expected, atol=1e-9)


@pytest.mark.parametrize("name", sorted(set(IMAGES) - SAME_SIZE_ONLY))
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("form", [list, tuple, "object array"])
def test_lists_of_images(name, channels, form):
    rng = np.random.RandomState(0)
    sizes = [(9, 12), (14, 8), (9, 12), (20, 20), (8, 8)]
    images = [rng.randint(0, 256, size=(*size, *channels)).astype(np.uint8) for size in sizes]
    if form == "object array":
        X = np.empty(len(images), dtype=object)
        X[:] = images
    else:
        X = form(images)
    estimator = clone(IMAGES[name]).fit(X)
    result = estimator.transform(X)
    assert estimator.image_shape_ == (None, None, *(channels or (1,)))
    if name in ("PatchExtractor", "ContrastNormalizer"):
        return
    one_by_one = np.concatenate([estimator.transform([image]) for image in images])
    np.testing.assert_allclose(result, one_by_one, rtol=1e-5, atol=1e-4)
    assert [labels.shape for labels in estimator.predict(X)] == [
        estimator_map(estimator, size) for size in sizes
    ]


def estimator_map(estimator, size):
    height, width = np.broadcast_to(estimator.patch_size, 2)
    step = estimator.stride
    return (size[0] - height) // step + 1, (size[1] - width) // step + 1


@pytest.mark.parametrize("name", sorted(set(IMAGES) - {"PatchExtractor"}))
def test_any_part_of_the_images_gives_the_same_rows(name):
    X = make_images((10, 12, 3), np.float32)
    estimator = clone(IMAGES[name]).fit(X)
    whole = estimator.transform(X)
    for part in (slice(0, 1), slice(3, 8), [11, 2, 5]):
        np.testing.assert_allclose(estimator.transform(X[part]), whole[part], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", IMAGES)
def test_memory_mapped(name, tmp_path):
    X = make_images((10, 12, 3), np.uint8)
    np.save(tmp_path / "images.npy", X)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    estimator = clone(IMAGES[name])
    np.testing.assert_array_equal(
        clone(estimator).fit(mapped).transform(mapped), estimator.fit(X).transform(X)
    )


@pytest.mark.parametrize("name", IMAGES)
def test_global_generators_are_neither_read_nor_changed(name):
    import torch

    X = make_images((10, 12), np.float32)
    results = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        results.append(clone(IMAGES[name]).fit(X).transform(X))
        np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", IMAGES)
def test_other_images_than_in_fit(name):
    X = make_images((10, 12, 3), np.uint8)
    estimator = clone(IMAGES[name]).fit(X)
    with pytest.raises(ValueError, match=r"\(12, 10, 3\).*fitted on shape \(10, 12, 3\)"):
        estimator.transform(X.swapaxes(1, 2))
    with pytest.raises(ValueError, match=r"X has 1 channels, but .* was fitted on 3"):
        estimator.transform(X[..., 0])
    with pytest.raises(ValueError, match="ready patches"):
        estimator.transform(X.reshape(12, -1))


@pytest.mark.parametrize("name", IMAGES)
def test_html_and_joblib(name, tmp_path):
    X = make_images((10, 12), np.float32)
    estimator = clone(IMAGES[name]).fit(X)
    assert type(estimator).__name__ in estimator._repr_html_()
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    restored = joblib.load(tmp_path / "estimator.joblib")
    np.testing.assert_array_equal(restored.transform(X), estimator.transform(X))


@pytest.mark.parametrize("name", ["lloyd", "spherical", "random", "BagOfPatches", "ConvKMeans"])
def test_constant_images(name):
    estimator = clone(IMAGES[name])
    with pytest.warns(ConvergenceWarning, match="Only 1 different filters"):
        flat = estimator.fit(np.full((4, 10, 12), 7, np.uint8)).transform(
            np.full((2, 10, 12), 7, np.uint8)
        )
    assert np.isfinite(flat).all()

    estimator.fit(make_images((10, 12), np.uint8))
    grey = np.stack([np.full((10, 12), level, np.float32) for level in (0, 1, 77.7, 255)])
    rows = estimator.transform(grey)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), rtol=1e-5, atol=1e-5)
