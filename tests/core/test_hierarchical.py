"""The hierarchical start beside a plain one, and what always holds of it."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from blobs import error_of, start_of
from naive import squared_distances
from sklearn_kmfeat._core import hierarchical as module
from sklearn_kmfeat._core.hierarchical import hierarchical, shares
from sklearn_kmfeat._core.kmeans import kmeans
from sklearn_kmfeat._core.seeding import kmeans_plusplus

DTYPES = [torch.float32, torch.float64]


@pytest.fixture(scope="module")
def many():
    X, _ = make_blobs(1500, n_features=6, centers=60, cluster_std=1.5, random_state=0)
    return torch.tensor(X - X.mean(0))


def seeded(X, k, seed=0, rows_per_group=1):
    return hierarchical(X, k, np.random.RandomState(seed), rows_per_group=rows_per_group)


# Beside a plain one


def plain(X, k, rng):
    """The same in NumPy, one row after the other."""
    n = min(k, round(2 * k**0.5))
    part = X[rng.permutation(len(X))[: 256 * n]] if len(X) > 256 * n else X
    coarse = iterated(lambda c, m: plain_means(part, nearest(part, c), m), rows(part, n, rng), 10)
    groups = nearest(X, coarse)
    live, groups = np.unique(groups, return_inverse=True)
    coarse = coarse[live]
    inertias = [((X[groups == i] - coarse[i]) ** 2).sum() for i in range(len(coarse))]
    numbers = [1] * len(coarse)
    while sum(numbers) < k:
        quotients = [w / (2 * m + 1) for w, m in zip(inertias, numbers, strict=True)]
        full = [m >= (groups == i).sum() for i, m in enumerate(numbers)]
        numbers[np.argmax(np.where(full, -1, quotients))] += 1
    seeds = rng.randint(2**31 - 1, size=len(coarse))
    fine, owners = [], []
    for i, number in enumerate(numbers):
        own, inside = np.random.RandomState(seeds[i]), X[groups == i]
        if len(inside) > 512 * number:
            inside = inside[own.permutation(len(inside))[: 512 * number]]
        start = rows(inside, number, own)
        fine += [*iterated(lambda c, m, r=inside: plain_means(r, nearest(r, c), m), start, 8)]
        owners += [i] * number
    owners = np.array(owners)
    n_near = min(k, max(np.bincount(owners).max(), round(7 * k**0.5)))

    centers, labels = np.array(fine), np.empty(len(X), int)
    for i in range(len(coarse)):
        middle = centers[owners == i].mean(0)
        distances = ((centers - middle) ** 2).sum(1)
        distances[owners == i] = -1
        near = distances.argsort()[:n_near]
        labels[groups == i] = near[nearest(X[groups == i], centers[near])]
    return plain_means(X, labels, centers)


def iterated(step, centers, n_iter):
    means = centers
    for i in range(n_iter):
        before, means = means, step(centers, means)
        centers = means + 0.9 * (means - before) if i else means
    return means


def rows(X, k, rng):
    return X[rng.permutation(len(X))[:k]]  # all rows differ


def nearest(X, centers):
    return squared_distances(X, centers).argmin(1)


def plain_means(X, labels, before):
    means = before.copy()
    for label in np.unique(labels):
        means[label] = X[labels == label].mean(0)
    return means


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("k", [1, 2, 3, 7, 40, 300])
def test_it_equals_the_plain_one(many, k, seed):
    centers = seeded(many, k, seed)
    expected = plain(many.numpy(), k, np.random.RandomState(seed))
    np.testing.assert_allclose(centers, expected, rtol=1e-9, atol=1e-9)


# Shares


def test_shares_of_a_few_numbers():
    assert shares([1.0, 1.0, 2.0], [9, 9, 9], 4) == [1, 1, 2]
    assert shares([0.0, 5.0, 5.0], [9, 9, 9], 7) == [1, 3, 3]
    assert shares([100.0, 1.0], [3, 9], 8) == [3, 5]
    assert shares([0.0, 0.0], [4, 4], 6) == [4, 2]
    assert shares([1.0, 1.0], [2, 1], 7) == [2, 1]


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_near_the_proportions(seed):
    rng = np.random.RandomState(seed)
    weights = rng.rand(10) + 0.2
    counts = shares(weights, [1000] * 10, 200)
    assert sum(counts) == 200
    np.testing.assert_allclose(counts, 200 * weights / weights.sum(), atol=1)


# What always holds


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1e3])
@pytest.mark.parametrize("k", [1, 2, 10, 90, 590, 600])
def test_as_many_different_centers_as_wanted(blobs, dtype, offset, k):
    X = (blobs + offset).to(dtype)
    before = X.clone()
    centers = seeded(X, k)
    assert centers.shape == (k, 5)
    assert centers.dtype == dtype
    assert centers.isfinite().all()
    assert len(np.unique(centers.numpy(), axis=0)) == k
    assert torch.equal(centers, seeded(X, k))
    assert torch.equal(X, before)
    found = kmeans(X, centers, max_iter=3, tol=0)
    assert len(found.centers) == k
    assert (found.counts > 0).all()


@pytest.mark.parametrize("k", [30, 200])
def test_the_error_is_far_below_that_of_random_rows(many, k):
    sampled = np.mean([error_of(many, start_of(many, k, seed)) for seed in range(5)])
    levels = [error_of(many, seeded(many, k, seed)) for seed in range(5)]
    assert np.mean(levels) < 0.65 * sampled
    iterated = [kmeans(many, start_of(many, k, s), max_iter=5, tol=0).inertia for s in range(5)]
    assert np.mean(levels) < np.mean(iterated)


def test_clusters_of_unequal_spread_get_centers_by_their_inertia():
    rng = np.random.RandomState(0)
    tight, wide = rng.randn(9000, 4) * 0.01, 20 + rng.randn(1000, 4)
    X = torch.tensor(np.concatenate([tight, wide]))
    centers = seeded(X, 100)
    assert (centers[:, 0] > 10).sum() > 60
    plusplus = error_of(X, kmeans_plusplus(X, 100, np.random.RandomState(0)))
    assert error_of(X, centers) < plusplus


@pytest.mark.parametrize("offset", [1e4, 1e5])
def test_far_from_zero_as_around_it(many, offset):
    around, away = many.float(), (many + offset).float()
    error = error_of(away - offset, seeded(away, 100) - offset)
    assert error < 1.05 * error_of(around, seeded(around, 100))


def test_tight_clusters_far_from_each_other():
    rng = np.random.RandomState(0)
    X = 1e3 * rng.randn(8, 1, 5) + rng.randn(8, 400, 5)
    X = torch.tensor(X.reshape(-1, 5), dtype=torch.float32)
    wide = X.double()
    assert error_of(wide, seeded(X, 160)) < 1.05 * error_of(wide, seeded(wide, 160))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [3, 10, 50])
def test_rows_that_repeat(dtype, k):
    different = torch.tensor(np.random.RandomState(0).randn(10, 3), dtype=dtype)
    X = different.repeat(100, 1)
    centers = seeded(X, k)
    assert len(centers) == min(k, 10)
    found = kmeans(X, centers, max_iter=5, tol=0)
    assert len(found.centers) == min(k, 10)
    assert k < 10 or found.inertia == pytest.approx(0, abs=1e-6)


def test_rare_rows_among_many_repeated():
    X = torch.zeros(5000, 2)
    X[:40, 0] = torch.arange(1.0, 41)
    found = kmeans(X, seeded(X, 41), max_iter=20, tol=0)
    np.testing.assert_allclose(found.centers[:, 0].sort().values, np.arange(41), atol=1e-4)


def test_constant_data_gives_one_center():
    assert seeded(torch.full((20, 3), 0.1), 4).tolist() == [torch.full((3,), 0.1).tolist()]


def test_more_centers_than_rows():
    X = torch.tensor(np.random.RandomState(0).randn(9, 3))
    assert sorted(seeded(X, 20).tolist()) == sorted(X.tolist())


def test_a_part_of_the_rows_makes_the_levels(many, monkeypatch):
    monkeypatch.setattr(module, "_ROWS_PER_COARSE", 20)
    monkeypatch.setattr(module, "_ROWS_PER_CENTER", 10)
    centers = seeded(many, 50)
    assert len(centers) == 50
    assert error_of(many, centers) < 0.8 * error_of(many, start_of(many, 50))


def test_few_rows_make_few_groups(many, monkeypatch):
    sizes, fine_centers = [], module._fine_centers

    def watched(rows, members, *others):
        sizes.append(len(members))
        return fine_centers(rows, members, *others)

    monkeypatch.setattr(module, "_fine_centers", watched)
    for rows_per_group in (1, 100, 400, 10_000):
        centers = seeded(many, 49, rows_per_group=rows_per_group)
        assert error_of(many, centers) < 0.65 * error_of(many, start_of(many, 49))
    assert sizes == [14, 14, 3, 1]
    assert torch.equal(hierarchical(many, 49, np.random.RandomState(0)), centers)


@pytest.mark.parametrize("k", [20, 300])
def test_threads_decide_nothing(many, k):
    X, n_threads = many.float(), torch.get_num_threads()
    centers = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            centers.append(seeded(X, k))
    finally:
        torch.set_num_threads(n_threads)
    assert torch.equal(centers[0], centers[1])
    assert torch.equal(centers[0], centers[2])
