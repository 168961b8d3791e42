"""Learners of patches on a cluster of dask: two workers here, with one thread each."""

import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import psutil
import torch
from _data import cifar10_images
from _kmeans_speed import FEW, MANY
from _report import compared, timed
from distributed import Client, LocalCluster, wait

from sklearn_kmfeat import KMeansFilterLearner, PatchExtractor
from sklearn_kmfeat import dask as kd
from sklearn_kmfeat._core.kmeans import RowStep, lloyd, step_over
from sklearn_kmfeat._utils.threads import coarse_threads
from sklearn_kmfeat.dask._cluster import Cluster
from sklearn_kmfeat.dask._rows import WorkerRows
from sklearn_kmfeat.dask._source import neighbors
from sklearn_kmfeat.dask._tasks import task

try:  # a peer that is not among the packages for developers: it brings many
    from dask_ml.cluster import KMeans
except ImportError:
    KMeans = None

N_BLOCKS = 8


def bench_cluster(quick):
    """Steps of k-means, encoding, overhead, bytes and computes of blocks."""
    n_rows, n_centers, repetitions = (50_000, 400, 3) if quick else (200_000, 1600, 4)
    images, origin = cifar10_images(10_000)
    patches = prepared_patches(images, n_rows)
    centers = torch.from_numpy(patches[:: n_rows // n_centers][:n_centers].copy())
    steps = {"local": [], 1: [], 2: [], "dask-ml": []}
    encode = {"local": [], 2: []}
    learner = KMeansFilterLearner(
        400, n_patches=20_000, max_iter=2, init="sample", random_state=0
    ).fit(images[:1000])
    some = images[:1000] if quick else images[:4000]
    # One cluster at a time: what is idle takes time, too.
    with workers(1) as one:
        X = rows_on(one, patches)
        for _ in range(repetitions):
            steps["local"].append(seconds_per_step(lambda: torch.from_numpy(patches), centers))
            steps[1].append(seconds_on(one, X, centers))
    with workers(2) as two:
        X = rows_on(two, patches)
        for _ in range(repetitions):
            steps[2].append(seconds_on(two, X, centers))
            if KMeans is not None:
                steps["dask-ml"].append(seconds_of_dask_ml(two, X, centers))
            encode["local"].append(seconds_to_encode_here(learner, some))
            encode[2].append(seconds_to_encode(two, learner, some))
        overhead = [overhead_of_an_iteration(two) for _ in range(repetitions)]
        traffic = bytes_of_an_iteration(two, X, centers)
        counts = computes_of_blocks(images[:800])
    with workers(2) as two:  # whose peak is not that of what was before
        memory, share = memory_of_a_worker(two, images, 2 * n_rows)
    work = f"step of k-means on dask, {n_rows:,} x {patches.shape[1]}, K={n_centers}"
    size = centers.numel() * centers.element_size()
    rows = [
        compared(f"{work}, two workers", "one worker", ">= 1.7", steps[2], steps[1]),
        compared(
            f"{work}, one worker", "without dask, one thread", ">= 0.8", steps[1], steps["local"]
        ),
        compared(
            f"dask transform of {len(some):,} images, K=400, two workers",
            "without dask, one thread",
            ">= 1.5",
            encode[2],
            encode["local"],
        ),
        {
            "work": f"an iteration on dask over 80 rows in {N_BLOCKS} blocks",
            "beside": "nothing: all of it is overhead",
            "ratio": None,
            "to reach": "<= 0.06 s",
            "ours (s)": float(np.median(overhead)),
            "theirs (s)": None,
        },
    ]
    if KMeans is not None:
        beside = f"{work}, two workers", "dask-ml's KMeans", "> 1"
        rows.append(compared(*beside, steps[2], steps["dask-ml"]))
    return rows, [
        f"On dask: two workers with a thread each, on this machine; rows are prepared patches of "
        f"{origin}, in {N_BLOCKS} blocks on the workers. dask-ml's KMeans ran from the same "
        "centers over the same blocks.",
        f"In an iteration on dask, K={n_centers}, all processes send {traffic / size:.2f} times "
        "the bytes of the centers: these go to the scheduler, to a worker and to the other one, "
        "and sums as large come back from both by way of the scheduler. So a worker sends and gets "
        "at most 3 times the centers.",
        f"kd.fit of {2 * n_rows:,} patches and 400 filters, from 10,000 images in blocks of 3 MB: "
        f"the larger of two workers held {memory / 2**20:.0f} MiB at most, "
        f"{memory / share:.1f} times its share of the patches.",
        "How many times each block of the dask array is computed: "
        f"{'; '.join(f'{n} ({k})' for k, n in counts.items())}.",
    ]


@contextmanager
def workers(n):
    """A client of a cluster with n workers of one thread each."""
    with (
        LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def active(client):
    """The client is the scheduler of dask inside the block."""
    with client.as_current(), dask.config.set(scheduler="dask.distributed"):
        yield


def prepared_patches(images, n):
    """Whitened patches (n, 108), as filters are learned from."""
    patches = PatchExtractor(6, n_patches=n, random_state=0).fit_transform(images)
    patches = patches - patches.mean(1, keepdims=True)
    return (patches / (patches.std(1, keepdims=True) + 10)).astype(np.float32)


def rows_on(client, rows):
    """Rows on the workers, as a dask array."""
    with active(client):
        X = da.from_array(rows, chunks=(-(-len(rows) // N_BLOCKS), rows.shape[1])).persist()
        wait(X)
        return X


def worker_rows(cluster, X):
    """A dask array as `WorkerRows`, in parts as a fit would have them."""
    blocks = X.to_delayed().ravel().tolist()
    lengths = np.array(X.chunks[0])
    of_parts = neighbors(lengths, cluster.n_threads)
    kept = cluster.keep_apart(
        lambda p: [task(joined_blocks, [blocks[b] for b in of_parts[p]])], len(of_parts)
    )
    parts = cluster.own([part for (part,) in kept])
    lengths = [int(lengths[part].sum()) for part in of_parts]
    return WorkerRows(cluster, parts, lengths, torch.float32)


def joined_blocks(blocks):
    """Blocks as one tensor."""
    return torch.from_numpy(np.concatenate(blocks))


def seconds_on(client, X, centers):
    """Seconds of a step on a cluster."""
    with active(client), Cluster() as cluster:
        rows = worker_rows(cluster, X)
        return seconds_per_step(lambda: rows, centers)


def seconds_per_step(rows_of, centers):
    """Seconds of one iteration, without set-up."""
    with coarse_threads(1):
        step = step_over(rows_of(), RowStep)
        few, many = (
            timed(lambda n=n: lloyd(step, centers, max_iter=n, tol=0))[0] for n in (FEW, MANY)
        )
    return (many - few) / (MANY - FEW)


def seconds_of_dask_ml(client, X, centers):
    """Seconds of an iteration of dask-ml's."""

    def fit(n):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KMeans(len(centers), init=centers.numpy(), max_iter=n, tol=0).fit(X)

    with active(client):
        few, many = (timed(lambda n=n: fit(n))[0] for n in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def seconds_to_encode_here(learner, images):
    """Seconds of `transform` on one thread."""
    with coarse_threads(1):
        return timed(lambda: learner.transform(images))[0]


def seconds_to_encode(client, learner, images):
    """Seconds of `transform` on a cluster; the features stay on the workers."""
    with active(client):
        X = da.from_array(images, chunks=(len(images) // N_BLOCKS, *images.shape[1:])).persist()
        wait(X)
        return timed(lambda: wait(kd.transform(learner, X).persist()))[0]


def overhead_of_an_iteration(client):
    """Seconds of an iteration in which there is nothing to compute."""
    rows = np.random.RandomState(0).rand(10 * N_BLOCKS, 4).astype(np.float32)
    return seconds_on(client, rows_on(client, rows), torch.from_numpy(rows[:3].copy()))


def bytes_of_an_iteration(client, X, centers):
    """Bytes that all processes send each other in an iteration."""
    with active(client), Cluster() as cluster:
        step = step_over(worker_rows(cluster, X), RowStep)
        step(centers)
        before = loopback()
        for _ in range(MANY):
            step(centers)
        return (loopback() - before) / MANY


def loopback():
    """Bytes that processes of this machine have sent each other."""
    counters = psutil.net_io_counters(pernic=True)
    return counters["lo"].bytes_sent if "lo" in counters else 0


def memory_of_a_worker(client, images, n_patches):
    """Bytes that a fit adds to the peak of the larger worker, and those of its patches."""
    with active(client):
        X = da.from_array(images, chunks=(1000, *images.shape[1:]))
        learner = KMeansFilterLearner(400, n_patches=4000, max_iter=2, random_state=0)
        kd.fit(learner, X)
        before = max(client.run(peak_memory).values())
        kd.fit(learner.set_params(n_patches=n_patches, max_iter=4), X)
        after = max(client.run(peak_memory).values())
    return after - before, n_patches / 2 * learner.cluster_centers_.shape[1] * 4


def peak_memory():
    """Bytes; not those of the process that this one was forked from, as ru_maxrss has them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


COMPUTED = Counter()


def computes_of_blocks(images):
    """How often each block is computed, at most."""

    def counted(block, block_info):
        COMPUTED[block_info[0]["chunk-location"][0]] += 1
        return block

    def most(images, call):
        X = da.from_array(images, chunks=(100, *images.shape[1:]))
        COMPUTED.clear()
        with dask.config.set(scheduler="synchronous"):
            call(X.map_blocks(counted, dtype=images.dtype, meta=images[:0]))
        return max(COMPUTED.values())

    learner = KMeansFilterLearner(10, n_patches=1000, max_iter=2, random_state=0)
    by_image = KMeansFilterLearner(10, n_patches=1000, max_iter=2, contrast="image")
    floats = (images / 255).astype(np.float32)
    return {
        "fit, bytes": most(images, lambda X: kd.fit(learner, X)),
        'fit, bytes and contrast="image"': most(images, lambda X: kd.fit(by_image, X)),
        "fit, floats": most(floats, lambda X: kd.fit(learner, X)),
        "transform": most(floats, lambda X: kd.transform(learner, X).compute()),
    }
