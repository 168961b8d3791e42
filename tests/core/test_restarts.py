import numpy as np
import pytest
import torch

from sklearn_kmfeat._core.kmeans import Dictionary, kmeans
from sklearn_kmfeat._core.restarts import best_of_restarts
from sklearn_kmfeat._core.seeding import kmeans_plusplus


class Recorder:
    """Starts that draw a number each, and runs with given inertias."""

    def __init__(self, inertias, stopped_at=None, n_found=2):
        self.inertias = inertias
        self.stopped_at = stopped_at
        self.n_found = n_found
        self.calls = []

    def start(self, samples, rng):
        self.calls.append(("start", len(samples)))
        return torch.full((2, 1), float(rng.randint(10**6)))

    def fit(self, samples, centers):
        run = sum(name == "fit" for name, _ in self.calls)
        self.calls.append(("fit", len(samples)))
        centers = centers[: self.n_found]
        return Dictionary(centers, None, self.inertias[run], run, stopped=run == self.stopped_at)

    def best(self, n_samples, **options):
        options = {"n_centers": 2, "n_init": 3, "n_ranked": 10, "rng": None} | options
        options["rng"] = options["rng"] or np.random.RandomState(0)
        samples = torch.arange(float(n_samples))[:, None]
        return best_of_restarts(samples, self.start, self.fit, **options)


def test_the_least_inertia_wins():
    recorder = Recorder([3.0, 1.0, 2.0])
    assert recorder.best(20).n_iter == 1
    assert recorder.calls == 3 * [("start", 20), ("fit", 20)]


def test_the_first_of_equals_is_kept():
    assert Recorder([2.0, 1.0, 1.0]).best(20).n_iter == 1


def test_a_part_ranks_the_starts():
    recorder = Recorder([3.0, 1.0, 2.0, 50.0])
    best = recorder.best(21)
    assert recorder.calls == [*(3 * [("start", 10), ("fit", 10)]), ("fit", 21)]
    assert best.n_iter == 3
    rng = np.random.RandomState(0)
    rng.permutation(21)
    starts = [rng.randint(10**6) for _ in range(3)]
    assert best.centers[0, 0] == starts[1]


def test_a_single_start_needs_no_part():
    recorder = Recorder([3.0])
    assert recorder.best(1000, n_init=1).n_iter == 0
    assert recorder.calls == [("start", 1000), ("fit", 1000)]


def test_a_new_start_where_the_part_has_too_few_different_samples():
    recorder = Recorder([3.0, 1.0, 2.0, 0.0], n_found=1)
    recorder.best(21)
    assert recorder.calls[-2:] == [("start", 21), ("fit", 21)]


def test_a_run_that_was_stopped_is_the_last():
    recorder = Recorder([3.0, 1.0, 0.0], stopped_at=1)
    assert recorder.best(20).n_iter == 1
    assert recorder.calls == 2 * [("start", 20), ("fit", 20)]


@pytest.mark.parametrize("n_ranked", [40, 1000])
def test_with_kmeans(n_ranked):
    rng = np.random.RandomState(0)
    samples = torch.from_numpy(np.repeat(np.eye(4), 50, 0) * 9 + rng.rand(200, 4))

    def start(samples, rng):
        return kmeans_plusplus(samples, 4, rng)

    def fit(samples, centers):
        return kmeans(samples, centers, max_iter=20, tol=0)

    options = {"n_centers": 4, "n_init": 5, "n_ranked": n_ranked}
    found = best_of_restarts(samples, start, fit, rng=np.random.RandomState(1), **options)
    assert found.counts.tolist() == [50] * 4
