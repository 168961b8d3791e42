import numpy as np
import pytest
import torch

from blobs import start_of
from sklearn_kmfeat._core.gain_shape import parallel, spherical

DTYPES = [torch.float32, torch.float64]


LONG = {"max_iter": 100, "tol": 0}


def unit(D):
    return D / np.linalg.norm(D, axis=1, keepdims=True)


def spherical_by_hand(X, D, n_iter, damping, momentum=0.0):
    ahead = D = unit(D)
    captured = -np.inf
    for i in range(n_iter):
        responses = X @ ahead.T
        best = np.abs(responses).argmax(1)
        S = np.where(np.arange(len(D)) == best[:, None], responses, 0)
        before, D = D, unit(S.T @ X + damping * ahead)
        captured_before, captured = captured, (S**2).sum()
        goes_on = i > 0 and captured >= captured_before
        ahead = unit(D + momentum * goes_on * (D - before))
    responses = np.abs(X @ D.T)
    counts = np.bincount(responses.argmax(1), minlength=len(D))
    return D, counts, (X**2).sum() - (responses.max(1) ** 2).sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("damping", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("n_iter", [1, 2, 20])
def test_spherical_equals_the_formula(blobs, dtype, damping, n_iter):
    start = start_of(blobs, 12)
    D, counts, inertia = spherical_by_hand(blobs.numpy(), start.numpy(), n_iter, damping)
    assert counts.all()
    options = {"max_iter": n_iter, "tol": 0, "damping": damping}
    found = spherical(blobs.to(dtype), start.to(dtype), **options)
    np.testing.assert_allclose(found.centers, D, atol=1e-4)
    np.testing.assert_allclose(found.inertia, inertia, rtol=1e-4)
    if dtype is torch.float64:
        np.testing.assert_allclose(found.centers, D, atol=1e-10)
        np.testing.assert_array_equal(found.counts, counts)


@pytest.mark.parametrize("momentum", [0.3, 0.9, 3.0])
@pytest.mark.parametrize("n_iter", [2, 3, 20])
def test_momentum_is_that_of_the_formula(blobs, momentum, n_iter):
    start, X = start_of(blobs, 12).double(), blobs.double()
    D, counts, inertia = spherical_by_hand(X.numpy(), start.numpy(), n_iter, 1.0, momentum)
    found = spherical(X, start, max_iter=n_iter, tol=0, momentum=momentum)
    assert counts.all()
    np.testing.assert_allclose(found.centers, D, atol=1e-9)
    np.testing.assert_allclose(found.inertia, inertia, rtol=1e-9)
    plain = spherical(X, start, max_iter=n_iter, tol=0)
    assert n_iter != 3 or not torch.allclose(plain.centers, found.centers)


def test_spherical_without_damping_finds_the_principal_direction(blobs):
    found = spherical(blobs, blobs[:1], max_iter=500, tol=1e-12, damping=0.0)
    direction = np.linalg.svd(blobs.numpy())[2][0]
    assert abs(found.centers[0].numpy() @ direction) == pytest.approx(1, abs=1e-9)


def test_rows_and_their_negatives_share_a_filter():
    X = torch.tensor([[2.0, 0.1], [-2.0, 0.1], [0.0, 3.0], [0.1, -3.0]])
    found = spherical(X, torch.tensor([[1.0, 0.2], [0.1, 1.0]]), **LONG)
    assert found.counts.tolist() == [2, 2]
    np.testing.assert_allclose(found.centers.abs(), np.eye(2), atol=0.05)


@pytest.mark.parametrize("damping", [0.0, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_filters_have_unit_length(blobs, damping, dtype):
    X = blobs.to(dtype)
    found = spherical(X, start_of(X, 30), max_iter=10, tol=0, damping=damping)
    np.testing.assert_allclose(found.centers.norm(dim=1), np.ones(30), rtol=1e-5)


def test_damping_slows_the_filters_down(blobs):
    start = start_of(blobs, 12)
    unit = start / start.norm(dim=1, keepdim=True)
    moves = [
        (spherical(blobs, start, max_iter=1, tol=0, damping=damping).centers - unit).norm()
        for damping in (0.0, 1.0, 1e3, 1e6)
    ]
    assert moves == sorted(moves, reverse=True)
    assert moves[-1] < 0.02


def test_spherical_stops_when_the_filters_rest(blobs):
    start = start_of(blobs, 12)
    runs = [spherical(blobs, start, max_iter=1000, tol=tol).n_iter for tol in (0.5, 1e-2, 1e-6)]
    assert runs == sorted(runs)
    assert 1 <= runs[0] < runs[-1] < 1000


def test_parallel_counts_both_signs_and_no_zeros():
    centers = torch.tensor([[1.0, 0, 0]])
    rows = torch.tensor([[0, 2.0, 0], [-3, 0, 0], [0, -1, 0], [0, 0, 0], [1, 2e-3, 0]])
    assert parallel(centers, rows).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_directions", [1, 3, 8])
def test_a_direction_and_its_negative_are_one_filter(dtype, n_directions):
    rng = np.random.RandomState(n_directions)
    directions = rng.randn(n_directions, 12)
    rows = np.vstack([s * directions for s in (1, -1, 2.5, -0.3)] * 5)
    rows += 1e-8 * rng.randn(*rows.shape) * (dtype is torch.float32)
    X = torch.tensor(rows, dtype=dtype)
    found = spherical(X, X[: 2 * n_directions + 2], max_iter=10, tol=0)
    cosines = (found.centers @ found.centers.T).abs() - torch.eye(len(found.centers))
    assert len(found.centers) == n_directions
    assert n_directions == 1 or cosines.max() < 0.99
    assert found.counts.tolist() == [20] * n_directions
