import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances_argmin

from naive import squared_distances
from sklearn_kmfeat._core import assign
from sklearn_kmfeat._core.assign import (
    nearest,
    nearest_and_sums,
    squared_errors,
    squared_norms,
    sums_by_label,
)
from sklearn_kmfeat._utils.threads import coarse_threads, in_threads

DTYPES = [torch.float32, torch.float64]
SHAPES = [
    (1, 1, 1),
    (5, 3, 2),
    (300, 7, 63),
    (300, 7, 64),
    (300, 7, 65),
    (200, 5, 128),
    (130, 40, 255),
    (130, 40, 256),
    (130, 9, 330),
    (64, 108, 700),
    (65, 2, 1),
]


def random_rows(n, k, d, dtype=torch.float64):
    rng = np.random.RandomState(0)
    return torch.tensor(rng.randn(n, d), dtype=dtype), torch.tensor(rng.randn(k, d), dtype=dtype)


every_tile = pytest.mark.parametrize("tile_bytes", [None, 1])


@every_tile
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nearest_is_that_of_brute_force(n, d, k, dtype, tile_bytes):
    X, centers = random_rows(n, k, d, dtype)
    labels, scores = nearest(X, centers, tile_bytes=tile_bytes)
    assert labels.dtype == torch.int64
    assert scores.dtype == dtype
    distances = cdist(X, centers, "sqeuclidean")
    chosen = distances[np.arange(n), labels]
    tolerance = 1e-4 if dtype is torch.float32 else 1e-12
    np.testing.assert_allclose(chosen, distances.min(1), rtol=tolerance, atol=tolerance)
    norms = X.double().square().sum(1)
    np.testing.assert_allclose(norms - 2 * scores, distances.min(1), atol=100 * tolerance)
    if dtype is torch.float64:
        np.testing.assert_array_equal(labels, distances.argmin(1))
        np.testing.assert_array_equal(labels, pairwise_distances_argmin(X, centers))


@every_tile
@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_largest_response_is_that_of_brute_force(n, d, k, dtype, tile_bytes):
    X, centers = random_rows(n, k, d, dtype)
    labels, scores = nearest(X, centers, direction=True, tile_bytes=tile_bytes)
    responses = X.double().numpy() @ centers.double().numpy().T
    sizes = np.abs(responses)
    np.testing.assert_allclose(sizes[np.arange(n), labels], sizes.max(1), rtol=1e-4)
    np.testing.assert_allclose(scores, responses[np.arange(n), labels], rtol=1e-4, atol=1e-6)
    if dtype is torch.float64:
        np.testing.assert_array_equal(labels, sizes.argmax(1))


@every_tile
@pytest.mark.parametrize("k", [2, 63, 64, 65, 200, 255, 256, 330])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_of_equal_centers_wins(k, dtype, tile_bytes):
    rng = np.random.RandomState(k)
    X = torch.tensor(rng.randint(-3, 4, (300, 2)), dtype=dtype)
    centers = torch.tensor(rng.randint(-3, 4, (k, 2)), dtype=dtype)
    expected = squared_distances(X.numpy(), centers.numpy()).argmin(1)
    np.testing.assert_array_equal(nearest(X, centers, tile_bytes=tile_bytes)[0], expected)
    expected = np.abs(X.numpy() @ centers.numpy().T).argmax(1)
    labels, _ = nearest(X, centers, direction=True, tile_bytes=tile_bytes)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("direction", [False, True])
@pytest.mark.parametrize("k", [257, 260, 300, 319])
@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_are_those_of_centers(k, direction, dtype):
    """The last center is the nearest of some rows."""
    rows = torch.nn.functional.normalize(torch.tensor(np.random.RandomState(0).rand(700, 12) + 5))
    for seed in range(5):
        order = torch.randperm(700, generator=torch.Generator().manual_seed(seed))
        labels, _ = nearest(rows.to(dtype), rows[order[:k]].to(dtype), direction=direction)
        assert labels.max() < k


def test_literal_labels_and_scores():
    X = torch.tensor([[0.0, 0.0], [3.0, 1.0], [-4.0, 0.0]])
    centers = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [2.0, 2.0]])
    labels, scores = nearest(X, centers)
    assert labels.tolist() == [0, 2, 0]
    assert scores.tolist() == [-0.5, 4.0, 3.5]
    labels, scores = nearest(X, centers, direction=True)
    assert labels.tolist() == [0, 2, 2]
    assert scores.tolist() == [0.0, 8.0, -8.0]


def test_literal_sums():
    X = torch.tensor([[0.0, 0.0], [3.0, 1.0], [-4.0, 0.0]])
    centers = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [2.0, 2.0]])
    labels, scores, sums = nearest_and_sums(X, centers)
    assert labels.tolist() == [0, 2, 0]
    assert scores.tolist() == [-0.5, 4.0, 3.5]
    assert sums.tolist() == [[-4, 0], [0, 0], [3, 1]]
    labels, scores, sums = nearest_and_sums(X, centers, direction=True)
    assert scores.tolist() == [0.0, 8.0, -8.0]
    assert sums.tolist() == [[0, 0], [0, 0], [24 + 32, 8]]


@pytest.mark.parametrize("direction", [False, True])
@pytest.mark.parametrize(("n", "d", "k"), [*SHAPES, (9000, 3, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_those_of_the_labels(n, d, k, direction, dtype):
    X, centers = random_rows(n, k, d, dtype)
    labels, scores, sums = nearest_and_sums(X, centers, direction=direction)
    for found, expected in zip(
        (labels, scores), nearest(X, centers, direction=direction), strict=True
    ):
        assert torch.equal(found, expected)
    expected = np.zeros((k, d))
    weights = scores.double().numpy() if direction else np.ones(n)
    np.add.at(expected, labels.numpy(), X.double().numpy() * weights[:, None])
    assert sums.dtype == torch.float64
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-3 if n == 9000 else 1e-4)


@pytest.mark.parametrize("direction", [False, True])
@pytest.mark.parametrize("k", [3, 300])
def test_threads_decide_nothing(k, direction):
    X, centers = random_rows(20_000, k, 20, torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            with coarse_threads():
                found.append(nearest_and_sums(X, centers, direction=direction))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_norms(dtype):
    X, _ = random_rows(50, 7, 4, dtype)
    np.testing.assert_allclose(squared_norms(X), (X.double().numpy() ** 2).sum(1), rtol=1e-6)
    assert squared_norms(X[:0]).shape == (0,)


@pytest.mark.parametrize("direction", [False, True])
def test_nearest_leaves_its_arguments_alone(direction):
    X, centers = random_rows(100, 70, 3)
    copies = X.clone(), centers.clone()
    nearest(X, centers, direction=direction)
    assert torch.equal(X, copies[0])
    assert torch.equal(centers, copies[1])


def test_nearest_of_a_slice():
    X, centers = random_rows(200, 70, 6)
    X, centers = X[::2, 1:5], centers[:, ::2][:, :2].repeat(1, 2)
    expected = squared_distances(X.numpy(), centers.numpy()).argmin(1)
    np.testing.assert_array_equal(nearest(X, centers)[0], expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_by_label(dtype):
    rows, _ = random_rows(100, 1, 4, dtype)
    labels = torch.tensor(np.random.RandomState(0).randint(6, size=100) * 2)
    expected = np.zeros((13, 4))
    np.add.at(expected, labels.numpy(), rows.double().numpy())
    sums = sums_by_label(rows, labels, 13)
    assert sums.dtype == dtype
    np.testing.assert_allclose(sums, expected, atol=1e-5)
    assert (sums[1::2] == 0).all()
    assert torch.equal(sums, sums_by_label(rows, labels, 13))


@pytest.mark.parametrize("tile", [1, 100, 10**7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_errors(tile, dtype):
    X, centers = random_rows(50, 7, 4, dtype)
    labels = torch.tensor(np.random.RandomState(0).randint(7, size=50))
    distances = cdist(X, centers, "sqeuclidean")
    errors = squared_errors(X, centers, labels, tile)
    np.testing.assert_allclose(errors, distances[np.arange(50), labels], rtol=1e-5)


def test_squared_errors_of_equal_rows_are_zero_far_from_the_origin():
    X = torch.rand(20, 8, generator=torch.manual_seed(0)) + 1e6
    assert (squared_errors(X, X, torch.arange(20)) == 0).all()


def test_sums_of_few_threads_are_in_memory(monkeypatch):
    """Where they are large."""
    asked = []

    def noted(worker, items, device, most=None):
        asked.append(most)
        return in_threads(worker, items, device, most)

    monkeypatch.setattr(assign, "in_threads", noted)
    monkeypatch.setattr(assign, "_SUM_BYTES", 3 * 5 * 4 * 4)
    nearest_and_sums(torch.rand(50, 4), torch.rand(5, 4))
    assert asked == [3]
