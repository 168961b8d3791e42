import numpy as np
import pytest
import torch

from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    ZCAWhitener,
)
from sklearn_kmfeat._inputs.values import (
    UNSEEN,
    NotFiniteError,
    ValueRange,
    compute_dtype,
    parts_of_chunks,
    value_range,
)
from sklearn_kmfeat.datasets import load_cifar10_sample

FEW = {"n_patches": 2000, "max_iter": 3, "random_state": 0}
LEARNERS = {
    "patch": KMeansFilterLearner(16, **FEW),
    "image": KMeansFilterLearner(16, contrast="image", **FEW),
    "spherical": KMeansFilterLearner(16, algorithm="spherical", whiten_eps=None, **FEW),
    "bag": BagOfPatches(16, **FEW),
    "windows": ConvKMeans(16, n_windows=2000, max_iter=3, random_state=0),
}


@pytest.fixture(scope="module")
def photos():
    return load_cifar10_sample().images[:40].astype(np.int64)


@pytest.fixture(scope="module")
def expected(photos):
    X = photos.astype(np.float64)
    return {name: learner.fit(X).transform(X) for name, learner in LEARNERS.items()}


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize(
    ("dtype", "shift"),
    [
        ("int16", -(2**15)),
        ("uint16", 2**16 - 256),
        ("int32", 10**6),
        ("int32", 10**7),
        ("int32", 2**24),
        ("int32", -(2**31)),
        ("uint32", 2**32 - 256),
        ("int64", 2**40),
        ("uint64", 2**40),
    ],
)
def test_brightness_changes_nothing_whatever_the_integers(photos, expected, name, dtype, shift):
    shifted = (photos + shift).astype(dtype)
    found = LEARNERS[name].fit(shifted).transform(shifted)
    scale = np.abs(expected[name]).max()
    # A patch in the middle between two words may change its word by rounding.
    differ = np.abs(found - expected[name]) > 1e-4 * scale
    assert differ.mean() < (1e-3 if name == "bag" else 1e-9)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("scale", [1e-40, 1e-22, 1e-16, 1e16, 1e19, 1e20, 1e35])
@pytest.mark.parametrize("contrast", ["patch", "image", None])
def test_scale_changes_nothing_that_float64_holds(photos, scale, contrast, as_list):
    learner = KMeansFilterLearner(16, contrast=contrast, whiten_eps=None, **FEW)
    wide = photos.astype(np.float64) * scale
    narrow = wide.astype(np.float32)
    expected = learner.fit(wide).transform(wide)
    found = learner.fit(list(narrow) if as_list else narrow).transform(narrow)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())


@pytest.mark.parametrize(
    "estimator",
    [*LEARNERS.values(), ContrastNormalizer(), ZCAWhitener(), ChannelConnections(1, 2)],
)
@pytest.mark.parametrize("scale", [1e-200, 1e160, 1e300])
def test_what_float64_cannot_hold_is_refused(photos, estimator, scale):
    with pytest.raises(ValueError, match=r"values up to .* whose squares float64 cannot hold"):
        estimator.fit(photos * scale)


def test_what_a_network_cannot_hold_is_refused(photos):
    estimator = DeepClusterEstimator(2, max_epochs=0)
    for far in (photos + 10**9, photos * 1e-3 + 1e6, list(photos + 10**9)):
        with pytest.raises(ValueError, match=r"float32, .* Subtract"):
            estimator.fit(far)
    with pytest.raises(ValueError, match=r"float32, .* Scale"):
        estimator.fit(photos * 1e30)


def test_range():
    assert value_range(np.array([[3, 700_000]])) == ValueRange(3, 700_000)
    assert value_range(np.array([[-1.5], [2]], dtype="f2")) == ValueRange(-1.5, 2)
    assert value_range(np.array([[200]], dtype=np.uint8)) == UNSEEN
    assert value_range(np.array([[200, 7]], dtype=np.uint16)) == ValueRange(7, 200)
    assert ValueRange(2, 4).resolution(torch.float64) == 2 * np.finfo(float).eps
    assert ValueRange(5, 5).resolution(torch.float32) == 0
    assert ValueRange(1, 2) | ValueRange(-3, 0) == ValueRange(-3, 2)
    assert ValueRange(-3, 2).magnitude == 3


@pytest.mark.parametrize("scan_bytes", [1, 100, 10**6])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_where_the_first_bad_value_is(value, scan_bytes):
    X = np.zeros((9, 3, 4, 2), np.float32)
    X[5, 1, 2, 1] = X[5, 2] = X[7] = value
    with pytest.raises(NotFiniteError) as raised:
        value_range(X, scan_bytes)
    assert raised.value.where == (5, 1, 2, 1)
    assert repr(raised.value.value) == repr(value)


@pytest.mark.parametrize(
    ("dtypes", "largest", "expected"),
    [
        (["u1"], 0, torch.float32),
        (["f2", "u1"], 1, torch.float32),
        (["f4"], 0, torch.float32),
        (["f4"], 1e14, torch.float32),
        (["f4"], 1e16, torch.float64),
        (["f4"], 1e-14, torch.float32),
        (["f4"], 1e-16, torch.float64),
        (["f4", "f8"], 1, torch.float64),
        (["f4", "i8"], 1, torch.float32),
        (["g"], 1, torch.float64),
        ([">f8"], 1, torch.float64),
        (["i8"], 2**16 - 1, torch.float32),
        (["i8"], 2**16, torch.float64),
    ],
)
def test_compute_dtype(dtypes, largest, expected):
    assert compute_dtype(map(np.dtype, dtypes), ValueRange(-largest, 0)) is expected


@pytest.mark.parametrize(
    ("dtype", "low", "high", "expected"),
    [
        ("f4", 0, 255, torch.float32),
        ("f4", 1e6, 1e6 + 100, torch.float64),
        ("f4", -1e6 - 100, -1e6, torch.float64),
        ("f4", 7, 7, torch.float32),
        ("u2", 0, 60_000, torch.float32),
        ("u2", 60_000, 60_255, torch.float64),
    ],
)
def test_values_far_from_zero(dtype, low, high, expected):
    assert compute_dtype([np.dtype(dtype)], ValueRange(low, high)) is expected


def test_integers_that_float64_cannot_tell_apart():
    with pytest.raises(ValueError, match=r"Images holds integers .* for example X - 7"):
        compute_dtype([np.dtype("i8")], ValueRange(7, 2**50), "Images")


def naive_parts(n, step, ends):
    """Chunks are added to a part as long as they fit; a large one is a part of its own."""
    parts, start = [], 0
    for end, following in zip(ends, [*ends[1:], n + step + 1], strict=True):
        if end > start and following - start > step:
            parts.append((start, end))
            start = end
    return parts


@pytest.mark.parametrize("step", [1, 3, 5, 8, 9, 30, 100])
@pytest.mark.parametrize("ends", [[8, 13, 14, 23, 30], [7, 14, 21, 28, 30], [30], [0, 4, 30]])
def test_parts_are_whole_chunks(step, ends):
    found = list(parts_of_chunks(30, step, np.array(ends)))
    assert found == naive_parts(30, step, ends)


def test_parts_without_chunks():
    assert list(parts_of_chunks(7, 3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(parts_of_chunks(0, 3)) == []
    assert list(parts_of_chunks(9, 5, np.array([2, 4, 9]))) == [(0, 4), (4, 9)]
