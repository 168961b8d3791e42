import numpy as np
import pytest
import torch
from sklearn import cluster

from blobs import error_of, start_of
from sklearn_kmfeat._core.seeding import energy_plusplus, kmeans_plusplus, sample_rows

DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("start", [sample_rows, kmeans_plusplus, energy_plusplus])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 2, 50, 600])
def test_seeds_are_different_rows(blobs, start, dtype, k, seed):
    X = blobs.to(dtype)
    before = X.clone()
    centers = start(X, k, np.random.RandomState(seed))
    assert centers.shape == (k, 5)
    assert centers.dtype == dtype
    assert len(np.unique(centers.numpy(), axis=0)) == k
    assert {tuple(row) for row in centers.tolist()} <= {tuple(row) for row in X.tolist()}
    assert torch.equal(X, before)
    assert torch.equal(centers, start(X, k, np.random.RandomState(seed)))
    centers.zero_()
    assert torch.equal(X, before)


@pytest.mark.parametrize("start", [sample_rows, kmeans_plusplus, energy_plusplus])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fewer_seeds_than_wanted_where_rows_repeat(start, dtype):
    X = torch.tensor([[0.1, 7.0], [0.3, 0.0], [-2.0, 1.0]], dtype=dtype).repeat(40, 1)
    centers = start(X, 10, np.random.RandomState(0))
    assert sorted(centers.tolist()) == sorted(X[:3].tolist())


@pytest.mark.parametrize("start", [sample_rows, kmeans_plusplus, energy_plusplus])
def test_seeds_of_constant_data(start):
    assert start(torch.full((20, 3), 0.1), 4, np.random.RandomState(0)).tolist() == [
        torch.full((3,), 0.1).tolist()
    ]


def test_zero_and_minus_zero_are_one_row():
    X = torch.tensor([[0.0, 1.0], [-0.0, 1.0]])
    assert len(sample_rows(X, 2, np.random.RandomState(0))) == 1


def test_rare_rows_are_found_among_many_repeated():
    X = torch.zeros(1000, 2)
    X[[3, 500, 999], 0] = torch.tensor([1.0, 2.0, 3.0])
    assert sorted(start_of(X, 4)[:, 0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("offset", [0, 1e4, 1e5])
def test_kmeans_plusplus_is_as_good_as_scikit_learns(blobs, offset):
    X = (blobs + offset).float()
    ours, theirs, sampled = [], [], []
    for seed in range(20):
        ours.append(error_of(X, kmeans_plusplus(X, 12, np.random.RandomState(seed))))
        found, _ = cluster.kmeans_plusplus(X.double().numpy(), 12, random_state=seed)
        theirs.append(error_of(X, torch.tensor(found)))
        sampled.append(error_of(X, start_of(X, 12, seed)))
    assert np.mean(ours) < 1.1 * np.mean(theirs)
    assert np.mean(ours) < 0.8 * np.mean(sampled)


def naive_energy_left(X, filters):
    """What no multiple of one of the filters captures, one row and one filter at a time."""
    return sum(min(x @ x - (x @ d) ** 2 / (d @ d) for d in filters) for x in X)


def test_energy_starts_from_rows_that_capture_much(blobs):
    X = blobs.double()
    energy, plusplus, sampled = [], [], []
    for seed in range(10):
        rng = np.random.RandomState(seed)
        energy.append(naive_energy_left(X.numpy(), energy_plusplus(X, 6, rng).numpy()))
        plusplus.append(naive_energy_left(X.numpy(), kmeans_plusplus(X, 6, rng).numpy()))
        sampled.append(naive_energy_left(X.numpy(), start_of(X, 6, seed).numpy()))
    assert np.mean(energy) < 0.9 * np.mean(plusplus)
    assert np.mean(energy) < 0.8 * np.mean(sampled)


@pytest.mark.parametrize("dtype", DTYPES)
def test_energy_takes_each_direction_once(dtype):
    directions = torch.tensor(np.random.RandomState(0).randn(5, 12), dtype=dtype)
    gains = torch.tensor(np.random.RandomState(1).randn(60, 1), dtype=dtype)
    X = directions.repeat(12, 1) * gains
    centers = energy_plusplus(X, 9, np.random.RandomState(0))
    assert len(centers) == 5
    cosines = torch.nn.functional.normalize(centers) @ torch.nn.functional.normalize(directions).T
    np.testing.assert_allclose(cosines.abs().amax(0), np.ones(5), rtol=1e-5)


def test_energy_draws_the_first_row_by_its_energy():
    X = torch.full((100, 1), 1e-3)
    X[42] = 1.0
    assert energy_plusplus(X, 1, np.random.RandomState(0)).tolist() == [[1.0]]
    assert energy_plusplus(torch.zeros(4, 2), 3, np.random.RandomState(0)).tolist() == [[0.0, 0.0]]
