from functools import partial

import numpy as np
import pytest
import torch
from sklearn import cluster

from blobs import error_of, start_of
from naive import squared_distances
from sklearn_kmfeat._core.assign import nearest
from sklearn_kmfeat._core.gain_shape import GainStep, spherical
from sklearn_kmfeat._core.kmeans import (
    MOMENTUM,
    RowStep,
    Sums,
    kmeans,
    lloyd,
    means_of,
    patch_dictionary,
)
from sklearn_kmfeat._core.seeding import kmeans_plusplus, sample_rows

DTYPES = [torch.float32, torch.float64]


LONG = {"max_iter": 100, "tol": 0}


LEARNERS = {
    "lloyd": kmeans,
    "spherical": spherical,
    "undamped": lambda X, centers, **options: spherical(X, centers, damping=0.0, **options),
    "lloyd ahead": partial(kmeans, momentum=MOMENTUM),
    "spherical ahead": partial(spherical, momentum=MOMENTUM),
}


def recorded(method, X, centers, **options):
    """The dictionary, and the objective before every iteration and at the end."""
    objectives = []
    found = method(
        X, centers, on_iteration=lambda centers, inertia: objectives.append(inertia), **options
    )
    return found, np.array([*objectives, found.inertia])


def assert_live_and_different(found, n):
    assert (found.counts > 0).all()
    assert found.counts.sum() == n
    assert found.centers.isfinite().all()
    assert len(np.unique(found.centers.numpy(), axis=0)) == len(found.centers)


# Lloyd


@pytest.mark.parametrize("max_iter", [1, 3, 300])
@pytest.mark.parametrize("tol", [0, 1e-4, 0.05])
@pytest.mark.parametrize("k", [1, 2, 12, 80])
def test_lloyd_equals_scikit_learns(blobs, k, max_iter, tol):
    start = start_of(blobs, k)
    options = {"max_iter": max_iter, "tol": tol}
    theirs = cluster.KMeans(k, init=start.numpy(), n_init=1, algorithm="lloyd", **options)
    theirs.fit(blobs.numpy())
    ours = kmeans(blobs, start, **options)
    np.testing.assert_allclose(ours.centers, theirs.cluster_centers_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.inertia, theirs.inertia_, rtol=1e-10)
    np.testing.assert_array_equal(ours.counts, np.bincount(theirs.labels_, minlength=k))
    np.testing.assert_array_equal(nearest(blobs, ours.centers)[0], theirs.labels_)
    assert ours.n_iter == theirs.n_iter_


@pytest.mark.parametrize("dtype", DTYPES)
def test_lloyd_of_four_points(dtype):
    X = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 4.0]], dtype=dtype)
    found = kmeans(X, X[[0, 2]], **LONG)
    assert found.centers.tolist() == [[0, 1], [10, 2]]
    assert found.counts.tolist() == [2, 2]
    assert found.inertia == pytest.approx(10, abs=1e-5)
    assert found.n_iter == 2
    assert found.centers.dtype == dtype


def plain_ahead(X, centers, n_iter, momentum):
    """Lloyd's algorithm with momentum as one writes it first, and the inertia before each step."""
    means, inertias = centers, []
    for i in range(n_iter):
        distances = squared_distances(X, centers)
        inertias.append(distances.min(1).sum())
        before, labels = means, distances.argmin(1)
        means = np.array([X[labels == j].mean(0) for j in range(len(centers))])
        goes_on = i > 0 and inertias[-1] <= inertias[-2]
        centers = means + momentum * (means - before) if goes_on else means
    return means, inertias


@pytest.mark.parametrize("n_iter", [1, 2, 3, 25])
@pytest.mark.parametrize("momentum", [0.3, 0.9, 2.0])
def test_momentum_goes_beyond_the_means(blobs, n_iter, momentum):
    X, start = blobs.numpy(), start_of(blobs, 12)
    options = {"max_iter": n_iter, "tol": 0, "momentum": momentum}
    found, objectives = recorded(kmeans, blobs, start, **options)
    means, inertias = plain_ahead(X, start.numpy(), found.n_iter, momentum)
    np.testing.assert_allclose(found.centers, means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(objectives[:-1], inertias, rtol=1e-9)
    # Far beyond, the inertia grows, after which the next step goes to the means alone.
    assert n_iter < 25 or (np.diff(inertias) > 0).any() == (momentum > 0.3)


def test_momentum_rests_where_lloyds_algorithm_rests(clear_blobs):
    start = start_of(clear_blobs, 6, seed=1)
    found = kmeans(clear_blobs, start, max_iter=300, tol=0, momentum=MOMENTUM)
    assert found.n_iter < 300
    again = kmeans(clear_blobs, found.centers, max_iter=1, tol=0)
    np.testing.assert_allclose(again.centers, found.centers, atol=1e-6)


def test_momentum_saves_iterations_where_clusters_are_not_clear():
    X = torch.tensor(np.random.RandomState(0).rand(4000, 8))
    ends = [
        [kmeans(X, start_of(X, 20, s), max_iter=n, tol=0, momentum=m).inertia for s in range(5)]
        for n, m in [(30, 0.0), (15, MOMENTUM)]
    ]
    assert np.mean(ends[1]) < np.mean(ends[0])


# What holds for all of them


@pytest.mark.parametrize("method", ["lloyd", "undamped"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [3, 40])
def test_the_objective_never_gets_worse(blobs, method, dtype, seed, k):
    X = blobs.to(dtype)
    start = start_of(X, k, seed)
    start[k // 2 :] = start[0]  # these win nothing and are moved
    found, objectives = recorded(LEARNERS[method], X, start, **LONG)
    rounding = 1e-5 if dtype is torch.float32 else 1e-12
    assert (np.diff(objectives) <= rounding * objectives[0]).all()
    assert objectives[-1] < objectives[0]
    if method == "lloyd":
        np.testing.assert_allclose(found.inertia, error_of(X, found.centers), rtol=1e-5)


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [2, 12, 100])
@pytest.mark.parametrize("max_iter", [1, 20])
def test_as_many_live_and_different_centers_as_wanted(blobs, method, dtype, k, max_iter):
    X = blobs.to(dtype)
    found = LEARNERS[method](X, start_of(X, k), max_iter=max_iter, tol=0)
    assert found.centers.shape == (k, 5)
    assert found.counts.shape == (k,)
    assert found.counts.dtype == torch.int64
    assert_live_and_different(found, 600)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("max_iter", [1, 30])
@pytest.mark.parametrize("start", ["far away", "all the same", "all zero"])
@pytest.mark.parametrize("method", LEARNERS)
def test_dead_centers_are_moved(blobs, method, start, max_iter, dtype):
    X = blobs.to(dtype)
    centers = {
        "far away": torch.cat([X[:5], 1e3 + X[5:10]]),
        "all the same": X[:1].repeat(10, 1),
        "all zero": torch.zeros(10, 5),
    }[start].to(dtype)
    found = LEARNERS[method](X, centers, max_iter=max_iter, tol=0)
    assert len(found.centers) == 10
    assert_live_and_different(found, 600)


def test_a_dead_center_goes_where_the_error_is_largest():
    X = torch.tensor([[0.0], [1.0], [2.0], [50.0]])
    found = kmeans(X, torch.tensor([[1.0], [1e6]]), max_iter=1, tol=0)
    assert found.centers[1] == 50
    assert found.counts.tolist() == [3, 1]


@pytest.mark.parametrize("damping", [0.0, 1.0])
@pytest.mark.parametrize("max_iter", [1, 30])
def test_no_filter_stays_at_zero_where_rows_are(blobs, damping, max_iter):
    """Flat patches are zero after the contrast, and may be among the seeds."""
    X = torch.cat([torch.zeros(100, 5, dtype=torch.float64), blobs])
    start = torch.cat([X[:1], start_of(blobs, 5)])
    found = spherical(X, start, max_iter=max_iter, tol=0, damping=damping)
    np.testing.assert_allclose(found.centers.norm(dim=1), np.ones(6))
    assert_live_and_different(found, 700)


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_fewer_come_out_where_rows_repeat(method, dtype, offset):
    rng = np.random.RandomState(0)
    different = torch.tensor(rng.randn(4, 6), dtype=dtype) + offset
    X = different.repeat(25, 1)
    found = LEARNERS[method](X, torch.tensor(rng.randn(9, 6), dtype=dtype), **LONG)
    assert len(found.centers) == 4
    assert found.counts.tolist() == [25] * 4
    assert found.inertia == pytest.approx(0, abs=1e-4 * float(X.square().sum()))
    if method == "lloyd":
        order = found.centers[:, 0].argsort()
        torch.testing.assert_close(found.centers[order], different[different[:, 0].argsort()])


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e4])
def test_constant_data_gives_one_center(method, dtype, value):
    X = torch.full((30, 4), value, dtype=dtype)
    found = LEARNERS[method](X, torch.cat([X[:1], X[:1] + 1, X[:1] - 1]), **LONG)
    assert found.counts.tolist() == [30]
    assert found.inertia == pytest.approx(0, abs=1e-5 * (1 + value**2))
    if method == "lloyd":
        np.testing.assert_allclose(found.centers, X[:1], rtol=1e-6)


@pytest.mark.parametrize("method", LEARNERS)
def test_one_row(method):
    X = torch.tensor([[3.0, 4.0]])
    found = LEARNERS[method](X, X.clone(), **LONG)
    expected = [[3, 4]] if "lloyd" in method else [[0.6, 0.8]]
    np.testing.assert_allclose(found.centers, expected, rtol=1e-6)
    assert found.counts.tolist() == [1]
    assert found.inertia == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_arguments_are_left_alone(blobs, method, offset):
    X = blobs + offset
    centers = start_of(X, 20)
    centers[10:] = 1e3
    copies = X.clone(), centers.clone()
    LEARNERS[method](X, centers, max_iter=5, tol=0)
    assert torch.equal(X, copies[0])
    assert torch.equal(centers, copies[1])


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_in_every_run(blobs, method, dtype):
    X = blobs.to(dtype)
    runs = []
    for seed in range(2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        runs.append(LEARNERS[method](X, start_of(X, 40), **LONG))
        assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(*runs, strict=True):
        assert a is b or torch.equal(torch.as_tensor(a), torch.as_tensor(b))


@pytest.mark.parametrize("method", LEARNERS)
def test_permuted_start_gives_permuted_centers(blobs, method):
    start, order = start_of(blobs, 12), torch.randperm(12, generator=torch.manual_seed(0))
    a = LEARNERS[method](blobs, start, max_iter=5, tol=0)
    b = LEARNERS[method](blobs, start[order], max_iter=5, tol=0)
    torch.testing.assert_close(b.centers, a.centers[order])
    assert torch.equal(b.counts, a.counts[order])


@pytest.mark.parametrize("offset", [1.0, 1e4, -1e5])
@pytest.mark.parametrize("seeding", [sample_rows, kmeans_plusplus])
def test_far_from_the_origin_as_around_it(clear_blobs, offset, seeding):
    X = clear_blobs + offset
    around = kmeans(clear_blobs, seeding(clear_blobs, 6, np.random.RandomState(1)), **LONG)
    away = kmeans(X, seeding(X, 6, np.random.RandomState(1)), **LONG)
    np.testing.assert_array_equal(away.counts, around.counts)
    np.testing.assert_allclose(away.centers, around.centers + offset, atol=0.02)
    np.testing.assert_array_equal(
        nearest(X - offset, away.centers - offset)[0], nearest(clear_blobs, around.centers)[0]
    )
    np.testing.assert_allclose(away.inertia, around.inertia, rtol=0.05)


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_on_iteration_sees_and_stops(blobs, method, offset):
    X, seen = blobs + offset, []

    def stop_at_three(centers, inertia):
        seen.append((centers.clone(), inertia))
        return len(seen) == 3

    found = LEARNERS[method](X, start_of(X, 12), on_iteration=stop_at_three, **LONG)
    assert found.n_iter == len(seen) == 3
    torch.testing.assert_close(found.centers, seen[-1][0])
    before = seen[-2][0]
    if "ahead" in method:  # the inertia is that of centers beyond these
        return
    expected = error_of(X, before)
    if method != "lloyd":
        expected = float(X.square().sum() - (X @ before.T).abs().amax(1).square().sum())
    np.testing.assert_allclose(seen[-1][1], expected, rtol=1e-6)


def test_tol_is_relative_to_the_variance(blobs):
    start = start_of(blobs, 12)
    runs = [kmeans(scale * blobs, scale * start, max_iter=300, tol=0.01) for scale in (1, 255.0)]
    assert runs[0].n_iter == runs[1].n_iter < kmeans(blobs, start, max_iter=300, tol=0).n_iter


@pytest.mark.parametrize("dtype", DTYPES)
def test_patches_themselves_as_a_dictionary(blobs, dtype):
    X = blobs.to(dtype)
    start = start_of(X, 50)
    found = patch_dictionary(X, start)
    assert torch.equal(found.centers, start)
    np.testing.assert_allclose(found.inertia, error_of(X, start), rtol=1e-5)
    assert_live_and_different(found, 600)


def test_the_expanded_square_does_not_invent_errors():
    """Rows that are centres: float32 misses zero by 1e-5 on either side."""
    X = torch.randn(300, 108, generator=torch.manual_seed(0))
    found = kmeans(X, X, **LONG)
    assert found.inertia == pytest.approx(0, abs=1e-6)
    assert found.counts.tolist() == [1] * 300
    assert spherical(X, X, **LONG).inertia >= 0


# Steps


def merged(step, X, ends):
    """A step over parts of the rows, whose sums are added; each part keeps its own labels."""
    steps = [step(part) for part in X.tensor_split(ends)]

    def whole(centers, exact=False):
        first, *others = (step(centers, exact) for step in steps)
        return sum(others, first)

    return whole


@pytest.mark.parametrize("ends", [[1], [300], [50, 400], [599]])
@pytest.mark.parametrize("start", ["sampled", "far away"])
def test_lloyd_over_parts_of_the_rows_is_lloyd(blobs, ends, start):
    centers = start_of(blobs, 12)
    if start == "far away":
        centers[6:] = 1e3
    options = {"max_iter": 30, "tol": 1e-6}
    whole, parts = kmeans(blobs, centers, **options), merged(RowStep, blobs, ends)
    found = lloyd(parts, centers, **options)
    np.testing.assert_allclose(found.centers, whole.centers, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.counts, whole.counts)
    assert found.inertia == pytest.approx(whole.inertia)
    assert found.n_iter == whole.n_iter


@pytest.mark.parametrize("step", [RowStep, GainStep])
@pytest.mark.parametrize("exact", [False, True])
def test_sums_of_parts_are_those_of_all_rows(blobs, step, exact):
    centers = start_of(blobs, 5)
    centers = centers / centers.norm(dim=1, keepdim=True)
    whole, parts = (s(centers, exact) for s in (step(blobs), merged(step, blobs, [7, 200])))
    assert isinstance(parts, Sums)
    for name in ("sums", "counts", "inertia", "norm"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-9)
    if step is GainStep and exact:
        np.testing.assert_allclose(parts.gains, whole.gains, atol=1e-9)
        np.testing.assert_allclose(parts.squared_gains, whole.squared_gains)
    else:
        assert parts.gains is parts.squared_gains is None
    for one, other in zip(parts.worst(9), whole.worst(9), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize("method", LEARNERS)
def test_a_dictionary_says_whether_a_callback_stopped_it(blobs, method, answer):
    options = {"on_iteration": lambda *now: answer, **LONG}
    assert LEARNERS[method](blobs, start_of(blobs, 5), **options).stopped is answer


def test_means_of_sums():
    sums = torch.tensor([[2.0, 4.0], [0.0, 0.0], [3.0, -3.0]], dtype=torch.float64)
    before = torch.tensor([[9.0, 9.0], [7.0, 8.0], [9.0, 9.0]])
    found = means_of(sums, torch.tensor([2, 0, 3]), before)
    assert found.dtype is torch.float32
    assert found.tolist() == [[1.0, 2.0], [7.0, 8.0], [1.0, -1.0]]
