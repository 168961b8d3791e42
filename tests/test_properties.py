"""A clear error, or finite numbers of the right shape that agree with a few lines of NumPy."""

import os
import pickle
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import naive
from forms import CONTAINERS, ORDERS, contained, images, in_order, outcome, values_of
from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)
from sklearn_kmfeat.metrics import clustering_accuracy_score, match_clusters, purity_score

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

PAIRS = st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4))
LEARNER_PARAMS = st.fixed_dictionaries(
    {
        "patch_size": PAIRS,
        "stride": PAIRS,
        "contrast": st.sampled_from(["patch", "image", None]),
        "contrast_eps": st.sampled_from(["auto", 0, 1.0]),
        "whiten_eps": st.sampled_from([None, 0, 0.01, 0.1, 1.0]),
        "n_init": st.integers(1, 2),
        "init": st.sampled_from(["auto", "sample", "k-means++", "hierarchical"]),
        "encoder": st.sampled_from(["hard", "triangle", "soft_threshold", "knn"]),
        "alpha": st.sampled_from([0, 0.25]),
        "split_sign": st.booleans(),
        "mirror": st.booleans(),
        "pool": st.sampled_from(["sum", "mean", "max"]),
        "pool_grid": st.sampled_from([None, 1, 2, (1, 3)]),
        "pool_size": st.sampled_from([None, None, 2, (3, 2)]),
        "pool_stride": st.sampled_from([None, None, 1, (1, 2)]),
        "output": st.sampled_from(["features", "maps"]),
    }
)


@pytest.fixture(autouse=True)
def quiet():
    """Fewer filters than asked for, and the like, are no errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def fit_transform(estimator, X):
    return estimator.fit(X).transform(X)


def as_float(X):
    return np.asarray(X, dtype=np.float64)


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def prepared_patches(learner, X):
    """Patches (n, H', W', d) after contrast and whitening, in float64."""
    X = as_float(X)
    if learner.contrast == "image":
        flat = X.reshape(len(X), -1)
        X = normalized(flat, learner.contrast_eps_).reshape(X.shape)
    rows = naive.cut(X, pair(learner.patch_size), pair(learner.stride))
    if learner.contrast == "patch":
        rows = normalized(rows, learner.contrast_eps_)
    if learner.whitener_ is not None:
        rows = (rows - learner.whitener_.mean_) @ learner.whitener_.whitening_
    return rows


def normalized(rows, eps):
    """Contrast normalisation; a constant row is zero, and one value has no variance."""
    centered = rows - rows.mean(-1, keepdims=True)
    flat = np.abs(centered).max(-1, keepdims=True) <= 1e-9 * np.abs(rows).max(-1, keepdims=True)
    var = (centered**2).sum(-1, keepdims=True) / max(rows.shape[-1] - 1, 1)
    return np.where(flat, 0, centered / np.sqrt(np.where(flat, 1, var + eps)))


def edges(n, cells):
    size, longer = divmod(n, cells)
    return [i * size + min(i, longer) for i in range(cells + 1)]


def windows(n, size, step):
    """From where to where each window reaches, up to the first that reaches the end."""
    starts = [a for a in range(0, n, step) if a == 0 or a - step + size < n]
    return [(a, min(a + size, n)) for a in starts]


def expected_features(learner, X):
    """Codes pooled over cells (n, rows, columns, K), by the fitted attributes."""
    filters = as_float(learner.cluster_centers_)
    filters = np.vstack([filters, -filters]) if learner.split_sign else filters
    if not learner.mirror:
        return naive.pool(codes(learner, X, filters), *spans(learner, X), learner.pool)
    flipped = filters.reshape(len(filters), *pair(learner.patch_size), -1)[:, :, ::-1]
    both = np.vstack([filters, flipped.reshape(filters.shape)])
    if learner.output == "maps":
        return naive.pool(codes(learner, X, both), *spans(learner, X), learner.pool)
    add = np.maximum if learner.pool == "max" else np.add
    results = [folded(learner, each, both, add) for each in (X, X[:, :, ::-1])]
    # Both are the same where the locations of a mirrored image are the mirrored locations.
    return add(*results) / (1 if learner.pool == "max" else 2)


def folded(learner, X, filters, add):
    """Codes of filters and, in mirrored cells, of their mirror images, pooled and added."""
    rows, columns = spans(learner, X)
    left, right = np.split(codes(learner, X, filters), 2, axis=-1)
    across = [(right.shape[2] - b, right.shape[2] - a) for a, b in columns]
    right = naive.pool(right, rows, across, learner.pool)
    return add(naive.pool(left, rows, columns, learner.pool), right)


def codes(learner, X, filters):
    options = learner.encoder, learner.alpha, 0.4
    return naive.encode(prepared_patches(learner, X), filters, *options)


def spans(learner, X):
    """From where to where each cell reaches, down and across."""
    sizes, steps = pair(learner.patch_size), pair(learner.stride)
    size = [(n - p) // s + 1 for n, p, s in zip(X.shape[1:3], sizes, steps, strict=True)]
    if learner.pool_size is not None:
        sizes, steps = pair(learner.pool_size), pair(learner.pool_stride or learner.pool_size)
        return [windows(*each) for each in zip(size, sizes, steps, strict=True)]
    if learner.output == "maps" or learner.pool_grid is None:
        return [windows(n, 1, 1) for n in size]
    cells = [edges(n, k) for n, k in zip(size, pair(learner.pool_grid), strict=True)]
    return [list(pairwise(each)) for each in cells]


@given(images(least=2), LEARNER_PARAMS, st.sampled_from(["lloyd", "spherical", "random"]))
def test_learner(X, params, algorithm):
    learner = KMeansFilterLearner(
        3, algorithm=algorithm, n_patches=60, max_iter=3, random_state=0, **params
    )
    before = X.copy()
    found = outcome(fit_transform, learner, X)
    np.testing.assert_array_equal(X, before)
    if found is None:
        return
    assert np.isfinite(found).all()
    assert np.isfinite(learner.filters_).all()
    assert (learner.counts_ > 0).all()
    expected = expected_features(learner, X)
    shape = expected.shape if params["output"] == "maps" else (len(X), expected[0].size)
    assert found.shape == shape
    assert found.dtype == learner.cluster_centers_.dtype
    np.testing.assert_array_equal(learner.transform(X), found)
    # Rounding decides between filters that are as near, and what is in a whitened null direction.
    if params["encoder"] in ("triangle", "soft_threshold") and params["whiten_eps"] != 0:
        scale = max(1e-6, np.abs(expected).max())
        tolerance = 1e-2 if X.dtype.itemsize == 2 or params["contrast_eps"] == 0 else 2e-3
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=tolerance * scale)
    elif params["encoder"] == "hard" and params["pool"] == "sum":
        np.testing.assert_allclose(found.reshape(len(X), -1).sum(1), expected[0].sum())


@given(
    images(least=2, most=6), LEARNER_PARAMS, st.sampled_from(ORDERS), st.sampled_from(CONTAINERS)
)
def test_orders_and_containers_change_nothing(X, params, order, container):
    learner = KMeansFilterLearner(3, n_patches=40, max_iter=2, random_state=0, **params)
    expected = outcome(fit_transform, learner, X)
    other = contained(in_order(X, order), container)
    if other is None or (container != "array" and X.dtype.kind in "iu" and np.abs(X).max() > 60000):
        return
    found = outcome(fit_transform, clone(learner), other)
    assert (found is None) == (expected is None)
    if expected is not None and container != "dataset":
        np.testing.assert_array_equal(found, expected)
    again = pickle.loads(pickle.dumps(learner))
    if expected is not None:
        np.testing.assert_array_equal(again.transform(X), expected)
        with_others = np.concatenate([learner.transform(X[i : i + 1]) for i in range(len(X))])
        if params["encoder"] in ("triangle", "soft_threshold"):
            scale = max(1e-6, np.abs(expected).max())
            np.testing.assert_allclose(with_others, expected, atol=1e-4 * scale)


@given(images(), st.sampled_from(["auto", 0, 0.5]), st.sampled_from(CONTAINERS))
def test_contrast(X, eps, container):
    normalizer = ContrastNormalizer(eps)
    other = contained(X, container)
    found = None if other is None else outcome(fit_transform, normalizer, other)
    if found is None:
        return
    rows = as_float(X).reshape(len(X), -1)
    expected = normalized(rows, normalizer.eps_)
    np.testing.assert_allclose(
        values_of(found).reshape(expected.shape), expected, atol=2e-2 if eps == 0 else 2e-3
    )


@given(images(most=3, channels=(1, 2)), st.sampled_from([0.05, 1.0]), st.integers(1, 5))
def test_whitening(X, eps, n_first):
    whitener = ZCAWhitener(eps)
    found = outcome(fit_transform, whitener, X)
    if found is None:
        return
    rows = as_float(X).reshape(len(X), -1)
    assert np.isfinite(found).all()
    if np.abs(rows).max() > 1e4:  # an eps of one is below the rounding of the sums
        return
    covariance = np.atleast_2d(np.cov(rows.T))
    values, vectors = np.linalg.eigh(covariance)
    matrix = vectors / np.sqrt(values.clip(0) + eps) @ vectors.T
    expected = (rows - rows.mean(0)) @ matrix
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-4 * scale)
    back = whitener.inverse_transform(found).reshape(rows.shape)
    np.testing.assert_allclose(back, rows, atol=1e-3 * max(1e-9, np.abs(rows).max()))
    parts = ZCAWhitener(eps).partial_fit(X[:n_first])
    if n_first < len(X):
        parts.partial_fit(X[n_first:])
        magnitude = np.abs(matrix).max()
        np.testing.assert_allclose(parts.whitening_, whitener.whitening_, atol=1e-6 * magnitude)


@given(images(), PAIRS, PAIRS)
def test_patches(X, size, stride):
    extractor = PatchExtractor(size, stride=stride)
    found = outcome(fit_transform, extractor, X)
    if found is None:
        assert X.shape[1] < pair(size)[0] or X.shape[2] < pair(size)[1] or X.shape[3] >= 2
        return
    expected = naive.cut(as_float(X), pair(size), pair(stride))
    np.testing.assert_allclose(found, expected.reshape(len(found), -1), rtol=1e-6)


@given(images(least=3), LEARNER_PARAMS)
def test_bags_and_windows(X, params):
    kept = ("patch_size", "contrast", "contrast_eps", "whiten_eps", "n_init", "init")
    params = {name: params[name] for name in kept}
    bag = BagOfPatches(3, n_patches=50, max_iter=2, random_state=0, **params)
    counts = outcome(fit_transform, bag, X)
    if counts is not None:
        height, width = pair(params["patch_size"])
        n_locations = (X.shape[1] - height + 1) * (X.shape[2] - width + 1)
        np.testing.assert_array_equal(counts.sum(1), n_locations)
    windows = ConvKMeans(2, n_windows=30, max_iter=2, random_state=0, pool_grid=1, **params)
    found = outcome(fit_transform, windows, X)
    if found is not None:
        assert np.isfinite(found).all()
        assert len(found) == len(X)
        lengths = np.linalg.norm(windows.cluster_centers_, axis=1)
        assert ((np.abs(lengths - 1) < 1e-4) | (lengths == 0)).all()


@given(images(channels=(2, 3, 5)), st.integers(1, 3), st.integers(1, 3))
def test_connections(X, n_groups, group_size):
    for method in ("random", "correlation"):
        chooser = ChannelConnections(n_groups, group_size, method=method, random_state=0)
        if outcome(chooser.fit, X) is None:
            continue
        groups = chooser.connections_
        assert groups.shape == (n_groups, group_size)
        assert all(len(set(group)) == group_size for group in groups.tolist())
        assert groups.min() >= 0
        assert groups.max() < X.shape[3]


@settings(max_examples=15)
@given(images(least=6), st.sampled_from(CONTAINERS))
def test_deep_clusters(X, container):
    estimator = DeepClusterEstimator(
        2, max_epochs=0, net_params={"module__width": 4}, random_state=0
    )
    other = contained(X, container)
    labels = None if other is None else outcome(lambda: estimator.fit(other).labels_)
    if labels is None:
        return
    assert labels.shape == (len(X),)
    np.testing.assert_array_equal(estimator.predict(other), labels)
    assert np.isfinite(estimator.transform(other)).all()


LABELS = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 4)), min_size=1, max_size=30)


@given(LABELS, st.sampled_from([np.array, list, lambda x: [f"class {each}" for each in x]]))
def test_metrics(pairs, container):
    true, found = (np.array(each) for each in zip(*pairs, strict=True))
    agreeing = [np.bincount(true[found == k] + 1).max() for k in np.unique(found)]
    assert purity_score(container(true), container(found)) == pytest.approx(
        sum(agreeing) / len(true)
    )
    for strategy in ("majority", "hungarian"):
        match = match_clusters(container(true), container(found), strategy)
        assert len(match) == len(np.unique(found))
    accuracy = clustering_accuracy_score(container(true), container(found))
    assert 0 <= accuracy <= purity_score(true, found) + 1e-12
