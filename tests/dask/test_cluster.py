"""Workers that die, and what is freed."""

import os
import signal
import time

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

from on_task_end import OnTaskEnd
from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat import dask as kd
from sklearn_kmfeat.dask._cluster import Cluster
from sklearn_kmfeat.dask._tasks import Held, task
from sklearn_kmfeat.datasets import load_cifar10_sample

IMAGES = load_cifar10_sample().images[:120]


def test_a_worker_that_dies_costs_only_time():
    options = {"n_patches": 2000, "max_iter": 5, "random_state": 0, "tol": 0}
    X = da.from_array(IMAGES, chunks=(20, 32, 32, 3))
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        killed = []

        def kill_once():
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        # The eighth task to end is an iteration, after those of the blocks.
        learner = KMeansFilterLearner(12, **options).set_callbacks(OnTaskEnd(kill_once, 8))
        found = kd.fit(learner, X)
        assert killed
    expected = KMeansFilterLearner(12, **options).fit(IMAGES)
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, atol=1e-5)
    assert found.inertia_ == pytest.approx(expected.inertia_)


def test_an_error_where_all_workers_are_gone():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as local,
        Client(local) as client,
        Cluster(patience=0.5) as cluster,
    ):
        (value,) = cluster.keep_apart(lambda part: [task(_slow, Held(0.0))], 1)[0]
        local.scale(0)
        while client.nthreads():
            time.sleep(0.1)
        with pytest.raises(RuntimeError, match="All workers of the cluster are gone"):
            cluster.results([task(_slow, value)])


def _slow(seconds):
    time.sleep(seconds or 0)


def test_what_is_kept_is_freed_at_the_end():
    with dask.config.set(scheduler="synchronous"):
        with Cluster() as cluster:
            values = cluster.keep([task(_slow, Held(0.0))])
            assert len(values) == 1
        assert values == []
