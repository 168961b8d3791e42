"""K-means beside the bare product, scikit-learn, faiss and superkmeans."""

from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from _data import cifar10_images
from _report import bare_product, compared, timed
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import ContrastNormalizer, KMeansFilterLearner, PatchExtractor, ZCAWhitener
from sklearn_kmfeat._core.assign import nearest
from sklearn_kmfeat._core.hierarchical import hierarchical
from sklearn_kmfeat._core.kmeans import MOMENTUM, kmeans
from sklearn_kmfeat._utils.threads import coarse_threads
from sklearn_kmfeat.datasets import fetch_mnist, load_mnist_sample

try:
    import faiss
except ImportError:
    faiss = None
try:
    import superkmeans
except ImportError:
    superkmeans = None

CACHE = Path(__file__).parent / ".cache"
#: Iterations with and without the set-up; of smaller sets, where an iteration takes less.
FEW, MANY = 1, 4
MANY_SHORT = 21
#: What superkmeans is run with: as it is, and iterated about as far as `hierarchical`.
SUPERKMEANS = {
    "superkmeans, defaults": {},
    "superkmeans, 23 iterations": {
        "sampling_fraction": 1.0,
        "max_points_per_cluster": 2**30,
        "iters_mesoclustering": 10,
        "iters_fineclustering": 10,
        "iters_refinement": 3,
        "early_termination": False,
    },
}


# One Lloyd step


def bench_lloyd(quick):
    """An iteration of k-means beside the bare product, scikit-learn and faiss."""
    n_patches, most, repetitions = (40_000, 400, 3) if quick else (400_000, 1600, 3)
    patches, origin = whitened_patches(n_patches)
    rows, remarks = (
        [],
        [
            "A Lloyd step is one iteration of k-means over all rows. Its patches are whitened "
            f"patches of {origin}."
        ],
    )
    for n_filters in sorted({64, 256, most}):
        work = f"Lloyd step, {n_patches:,} x {patches.shape[1]}, K={n_filters}"
        rows.append(beside_product(patches, n_filters, work, ">= 0.8", repetitions))
    more = beside_others(patches, most, work, repetitions)
    return rows + more[0], remarks + more[1]


def bench_wide(quick):
    """The same for whole images and for features of images."""
    k, repetitions = (64, 3) if quick else (256, 3)
    digits = load_mnist_sample().images if quick else fetch_mnist().images
    photographs = cifar10_images(2000 if quick else 50_000)[0]
    learner = KMeansFilterLearner(128, n_patches=40_000, max_iter=5, random_state=0)
    features = learner.fit(photographs[:2000]).transform(photographs)
    sets = {
        "digits": digits.reshape(len(digits), -1).astype(np.float32),
        "features of CIFAR-10": StandardScaler().fit_transform(features),
    }
    rows, remarks = [], []
    for name, X in sets.items():
        work = f"Lloyd step, {len(X):,} {name} x {X.shape[1]}, K={k}"
        rows.append(beside_product(X, k, work, "", repetitions, MANY_SHORT))
        more = beside_others(X, k, work, repetitions, MANY_SHORT, targets=False)
        rows += more[0]
        remarks += more[1]
    return rows, remarks


def beside_product(X, k, work, target, repetitions, many=MANY):
    """The row of the bare product."""
    start = first_rows(X, k)
    product = bare_product(torch.from_numpy(X).split(4096), torch.from_numpy(start).T.contiguous())
    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(seconds_per_iteration(our_kmeans, X, start, many)[0])
        theirs.append(timed(product)[0])
    return compared(work, "the matrix product alone", target, ours, theirs)


def beside_others(patches, k, work, repetitions, many=MANY, targets=True):
    """The rows of scikit-learn and faiss."""
    start = first_rows(patches, k)
    ways = {"scikit-learn KMeans": sklearn_kmeans, "faiss Kmeans": faiss_kmeans}
    targets = {"scikit-learn KMeans": ">= 2", "faiss Kmeans": ">= 1.1"} if targets else {}
    remarks = []
    if faiss is None:
        del ways["faiss Kmeans"]
        remarks.append("faiss is not installed.")
    times, centers = {}, {}
    for _ in range(repetitions):
        for name, way in {"ours": our_kmeans, **ways}.items():
            seconds, centers[name] = seconds_per_iteration(way, patches, start, many)
            times.setdefault(name, []).append(seconds)
    ours = inertia(patches, centers["ours"])
    rows = []
    for name in ways:
        rows.append(compared(work, name, targets.get(name, ""), times["ours"], times[name]))
        difference = abs(inertia(patches, centers[name]) / ours - 1)
        remarks.append(
            f"{work}: after the same {many} iterations the inertia of {name} differs from ours by "
            f"a relative {difference:.1e}{'' if difference < 1e-3 else ' (NOT EQUAL)'}."
        )
    return rows, remarks


def seconds_per_iteration(way, patches, start, many):
    """Seconds of one iteration, without set-up, and the centers after so many of them."""
    few, _ = timed(lambda: way(patches, start, FEW))
    all_of_them, centers = timed(lambda: way(patches, start, many))
    return (all_of_them - few) / (many - FEW), centers


def our_kmeans(patches, start, n_iter):
    """Centers after some iterations of the core."""
    with coarse_threads():
        found = kmeans(torch.from_numpy(patches), torch.from_numpy(start), max_iter=n_iter, tol=0)
    return found.centers.numpy()


def sklearn_kmeans(patches, start, n_iter):
    """Centers after some iterations of scikit-learn."""
    model = KMeans(len(start), init=start, n_init=1, max_iter=n_iter, tol=0, algorithm="lloyd")
    return model.fit(patches).cluster_centers_


def faiss_kmeans(patches, start, n_iter):
    """Centers after some iterations of faiss."""
    return faiss_run(patches, start, n_iter).centroids


def faiss_run(patches, start, n_iter):
    """A model of faiss after some iterations over all patches."""
    n = len(patches)
    options = {"niter": n_iter, "max_points_per_centroid": n, "min_points_per_centroid": 1}
    model = faiss.Kmeans(patches.shape[1], len(start), **options)
    model.train(patches, init_centroids=start)
    return model


# The time until a given inertia


def bench_inertia(quick):
    """Seconds until the inertia of scikit-learn's KMeans after 50 iterations."""
    n_patches, k, repetitions = (40_000, 400, 3) if quick else (400_000, 1600, 3)
    patches, _ = whitened_patches(n_patches)
    model = KMeans(
        k, init="random", n_init=1, max_iter=50, tol=0, algorithm="lloyd", random_state=0
    )
    theirs, _ = timed(lambda: model.fit(patches))
    ours, reached = [], []
    for seed in range(repetitions):
        seconds, centers = seconds_until(patches, k, model.inertia_, seed)
        ours.append(seconds)
        reached.append(inertia(patches, centers) / model.inertia_ - 1)
    work = f"k-means of {n_patches:,} patches, K={k}, to the inertia of 50 Lloyd iterations"
    rows = [compared(work, "scikit-learn KMeans from random rows", ">= 5", ours, [theirs])]
    remarks = [
        f"To the inertia of scikit-learn: this library ran from {repetitions} seeds and stopped "
        "when it had reached that inertia; the difference then was "
        f"{', '.join(f'{100 * r:+.2f} %' for r in reached)}. scikit-learn ran once."
    ]
    for name, seconds, value in superkmeans_runs(patches, k):
        name += f": inertia {100 * (value / model.inertia_ - 1):+.2f} %"
        rows.append(compared(work, name, "", ours, [seconds]))
    return rows, remarks


def bench_many_centers(quick):
    """Seconds until 2 % more than the inertia of Lloyd's algorithm, for many centers."""
    n_patches, k, n_iter = (40_000, 1600, 10) if quick else (400_000, 6400, 25)
    if faiss is None:
        return [], ["Many centers: faiss is not installed."]
    patches, _ = whitened_patches(n_patches)
    seconds, inertias = faiss_iterations(patches, k, n_iter)
    goal = 1.02 * inertias[-1]
    theirs = seconds[: 1 + int(np.argmax(inertias <= goal))].sum()
    X, ours, reached = torch.from_numpy(patches), [], []
    for seed in range(3):
        with coarse_threads():
            time, centers = timed(lambda s=seed: hierarchical(X, k, np.random.RandomState(s)))
        ours.append(time)
        reached.append(inertia(patches, centers.numpy()) / inertias[-1] - 1)
    work = f"k-means of {n_patches:,} patches, K={k}, to within 2 % of Lloyd's inertia"
    rows = [compared(work, "faiss Kmeans", ">= 10", ours, [theirs])]
    remarks = [
        f"Many centers: Lloyd's inertia is that of faiss after {n_iter} iterations "
        f"({seconds.sum():.0f} s), and faiss is timed until it is within 2 % of that. This "
        "library runs its hierarchical start alone, from 3 seeds; the difference from Lloyd's "
        f"inertia is {', '.join(f'{100 * r:+.2f} %' for r in reached)}."
    ]
    for name, time, value in superkmeans_runs(patches, k):
        name += f": inertia {100 * (value / inertias[-1] - 1):+.2f} %"
        rows.append(compared(work, name, "", ours, [time]))
    return rows, remarks


def seconds_until(patches, k, goal, seed):
    """Seconds until an iteration sees an inertia of at most `goal`, and the centers it makes."""
    X, reached = torch.from_numpy(patches), []
    begin = perf_counter()

    def on_iteration(centers, now):
        if now <= goal:
            reached[:] = [perf_counter() - begin, centers.numpy()]
        return bool(reached)

    with coarse_threads():
        start = hierarchical(X, k, np.random.RandomState(seed))
        limits = {"max_iter": 50, "tol": 0, "momentum": MOMENTUM}
        kmeans(X, start, **limits, on_iteration=on_iteration)
    return reached


def faiss_iterations(patches, k, n_iter, n_piece=5):
    """Seconds of each iteration of faiss, and the inertia after it; kept while it goes on."""
    path = CACHE / f"faiss_{len(patches)}_{k}.npz"
    centers, seconds, inertias = first_rows(patches, k), [], []
    if path.exists():
        kept = np.load(path)
        centers, seconds, inertias = kept["centers"], [*kept["seconds"]], [*kept["inertias"]]
    while len(seconds) < n_iter:
        model = faiss_run(patches, centers, n_piece)
        centers = model.centroids
        seconds += [stats["time"] for stats in model.iteration_stats]
        # What an iteration of faiss tells is the inertia before it.
        inertias += [stats["obj"] for stats in model.iteration_stats]
        CACHE.mkdir(exist_ok=True)
        np.savez(path, centers=centers, seconds=seconds, inertias=inertias)
    seconds = np.diff(np.reshape(seconds, (-1, n_piece)), prepend=0, axis=1).ravel()
    return seconds, np.array([*inertias[1:], inertia(patches, centers)])


def superkmeans_runs(patches, k):
    """Name, seconds and inertia of each way of `SUPERKMEANS`, where it is installed."""
    if superkmeans is None:
        return
    for name, options in SUPERKMEANS.items():
        model = superkmeans.SuperKMeans(k, patches.shape[1], hierarchical=True, **options)
        seconds, centers = timed(lambda m=model: m.train(patches))
        yield name, seconds, inertia(patches, centers)


# Patches, inertia, time


def whitened_patches(n_patches):
    """Contrast-normalised, whitened 6x6 patches of CIFAR-10, and where they are from."""
    images, origin = cifar10_images(50_000)
    if len(images) * 27 * 27 < n_patches:
        raise ValueError(f"{n_patches} patches are more than {origin} has")
    patches = PatchExtractor(6, n_patches=n_patches, random_state=0).fit_transform(images)
    patches = ContrastNormalizer().fit_transform(patches)
    return ZCAWhitener().fit_transform(patches), origin


def first_rows(patches, k):
    """Different patches to start from."""
    return patches[np.random.RandomState(0).choice(len(patches), k, replace=False)]


def inertia(patches, centers, n_tile=20_000):
    """Sum of the squared distances to the nearest center, the differences in float64."""
    X, centers, total = torch.from_numpy(patches), torch.from_numpy(np.array(centers)), 0.0
    labels, _ = nearest(X, centers)
    for rows, of_rows in zip(X.split(n_tile), labels.split(n_tile), strict=True):
        total += float((rows.double() - centers[of_rows].double()).square().sum())
    return total
