"""Speed of encoding: beside a bare product, beside busy processes, and in a search."""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from _data import cifar10_images
from _report import bare_product, compared, timed
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.feature_extraction.image import extract_patches_2d

from sklearn_kmfeat import KMeansFilterLearner, PatchExtractor
from sklearn_kmfeat._core.assign import nearest
from sklearn_kmfeat._utils.device import has_bfloat16
from sklearn_kmfeat._utils.threads import coarse_threads

#: What share of the product's rate each encoder is to reach with 1,600 filters.
TARGETS = {"triangle": ">= 0.70", "soft_threshold": ">= 0.80", "hard": ">= 0.78", "knn": ">= 0.45"}


def bench_encoding(quick):
    """Codes of every 6x6 patch, 2x2 sums, beside a bare product and the plain way."""
    rows, rates = [], []
    for n_filters in (400,) if quick else (1600, 256):
        n_images = 200 if quick else 300_000 // n_filters
        learner, images = fitted(n_filters), cifar10_images(30_000)[0][-n_images:]
        product, times = patches_times_filters(images, learner), {}
        for _ in range(3 if quick else 7):
            for encoder in TARGETS:
                for precision in ("exact", "fast") if has_bfloat16() else ("exact",):
                    learner.set_params(encoder=encoder, precision=precision)
                    seconds = timed(lambda: learner.transform(images))[0] / n_images  # noqa: B023
                    times.setdefault((encoder, precision), []).append(seconds)
                times.setdefault((encoder, "product"), []).append(timed(product)[0] / n_images)
        for encoder, target in TARGETS.items():
            work, exact = f"{encoder} encoding of an image, K={n_filters}", times[encoder, "exact"]
            target = target if n_filters == 1600 else ""
            theirs = times[encoder, "product"]
            rows.append(compared(work, "the matrix product alone", target, exact, theirs))
            rates.append(f"{encoder} with {n_filters} filters {1 / np.median(exact):,.0f}")
        for encoder in TARGETS:
            if (encoder, "fast") in times:
                work = f'{encoder} encoding of an image, K={n_filters}, precision="fast"'
                ours, theirs = times[encoder, "fast"], times[encoder, "exact"]
                target = ">= 1.4" if n_filters == 1600 else ""
                rows.append(compared(work, 'precision="exact"', target, ours, theirs))
    row, remark = plain_row(quick)
    return [*rows, row], [
        remark,
        f"Encoding: 6x6 patches of CIFAR-10, 2x2 sums; images a second: {', '.join(rates)}.",
        f"The matrix product alone multiplies the {27 * 27} patches of each image with the "
        "filters, image by image into the same memory, and does nothing else.",
    ]


def fitted(n_filters):
    """A learner of filters of CIFAR-10."""
    learner = KMeansFilterLearner(n_filters, n_patches=40_000, max_iter=2, random_state=0)
    return learner.fit(cifar10_images(2000)[0])


def patches_times_filters(images, learner):
    """The bare product of encoding, image by image."""
    patches = torch.from_numpy(PatchExtractor(6).fit_transform(images).astype(np.float32))
    filters = torch.from_numpy(learner.cluster_centers_).T.contiguous()
    return bare_product(patches.view(len(images), -1, patches.shape[1]), filters)


def plain_row(quick):
    """Triangle codes beside the way one writes them first."""
    n_filters, n_ours, n_plain, repetitions = (400, 200, 5, 3) if quick else (1600, 300, 10, 3)
    learner, images = fitted(n_filters), cifar10_images(n_ours)[0]
    ours, theirs = [], []
    for _ in range(repetitions):
        seconds, features = timed(lambda: learner.transform(images))
        ours.append(seconds / n_ours)
        seconds, plain = timed(lambda: plain_features(images[:n_plain], learner))
        theirs.append(seconds / n_plain)
    difference = np.abs(plain - features[:n_plain]).max() / np.abs(plain).max()
    work = f"triangle encoding of an image, K={n_filters}"
    return (
        compared(work, "extract_patches_2d and cdist", ">= 25", ours, theirs),
        f"The code with extract_patches_2d and cdist ran on {n_plain} images; the largest "
        f"difference of its features, relative to the largest feature, is {difference:.1e}.",
    )


def plain_features(images, learner):
    """Pooled triangle codes as one writes them first."""
    size = learner.filters_.shape[1:3]
    whitener, centers = learner.whitener_, learner.cluster_centers_
    rows = []
    for image in images:
        patches = extract_patches_2d(image, size)
        down = image.shape[0] - size[0] + 1
        patches = patches.reshape(len(patches), -1).astype(np.float64)
        patches -= patches.mean(axis=1, keepdims=True)
        patches /= np.sqrt(patches.var(axis=1, ddof=1, keepdims=True) + learner.contrast_eps_)
        patches = (patches - whitener.mean_) @ whitener.whitening_
        distances = cdist(patches, centers)
        codes = np.maximum(0, distances.mean(axis=1, keepdims=True) - distances)
        codes = codes.reshape(down, -1, len(centers))
        half = -(-down // 2)
        parts = [codes[i, j] for i in halves(half) for j in halves(half)]
        rows.append(np.concatenate([part.sum(axis=(0, 1)) for part in parts]))
    return np.array(rows)


def halves(middle):
    """The two halves of an axis."""
    return slice(None, middle), slice(middle, None)


# Beside busy processes


def bench_busy(quick):
    """How much two busy processes slow encoding and k-means, and scikit-learn's k-means."""
    n_rows, n_filters, n_images, repetitions = (
        (20_000, 400, 50, 3) if quick else (100_000, 1600, 150, 5)
    )
    learner, images = fitted(n_filters), cifar10_images(n_images)[0]
    patches = np.random.RandomState(0).randn(n_rows, 108).astype(np.float32)
    centers = patches[:n_filters].copy()
    theirs = KMeans(n_filters, init=centers, n_init=1, max_iter=2, tol=0)
    theirs.fit(patches[: 2 * n_filters])
    rows_and_centers = torch.from_numpy(patches), torch.from_numpy(centers)

    def assign():
        with coarse_threads():
            nearest(*rows_and_centers)

    def encode(encoder):
        learner.set_params(encoder=encoder).transform(images)

    def fit():
        new = KMeansFilterLearner(n_filters, n_patches=n_rows // 5, max_iter=2, random_state=0)
        new.fit(images)

    beside = "KMeans.predict", "KMeans.fit"
    works = {
        f"{encoder} encoding of {n_images} images, K={n_filters}": partial(encode, encoder)
        for encoder in TARGETS
    } | {
        f"k-means assignment of {n_rows:,} x 108, K={n_filters}": assign,
        f"fit of {n_rows // 5:,} patches, K={n_filters}": fit,
        beside[0]: lambda: theirs.predict(patches),
        beside[1]: lambda: theirs.fit(patches),
    }
    idle = seconds_of(works, repetitions)
    with busy_processes(2):
        busy = seconds_of(works, repetitions)
    slower = {work: busy[work] / idle[work] for work in works}
    rows = [
        {
            "work": work,
            "beside": f"scikit-learn {other}",
            "ratio": round(slower[other] / slower[work], 2),
            "to reach": ">= 0.83",
            "ours (s)": busy[work],
            "theirs (s)": busy[other],
        }
        for work in works
        if work not in beside
        for other in beside
    ]
    return rows, [
        "Two busy processes slow "
        + ", ".join(f"{work} {slower[work]:.1f} times ({idle[work]:.2f} s idle)" for work in works)
        + ".",
        network_remark(),
    ]


NETWORK = """
from time import perf_counter
from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat.datasets import load_cifar10_sample

X = load_cifar10_sample().images[:1000]
for _ in range(4):
    start = perf_counter()
    DeepClusterEstimator(10, max_epochs=2, random_state=0).fit(X)
    print(perf_counter() - start)
"""


def network_remark():
    """Seconds of a fit of DeepCluster, alone and beside busy processes."""
    ways = {"with the defaults": {}, "with OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"}}
    words = []
    for name, variables in ways.items():
        seconds = []
        for n in (0, 2):
            with busy_processes(n):
                command = [sys.executable, "-c", NETWORK]
                environment = os.environ | variables
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            seconds.append(np.median([float(line) for line in done.stdout.split()][1:]))
        words.append(f"{seconds[0]:.1f} s alone and {seconds[1]:.1f} s beside them {name}")
    return (
        "A fit of DeepClusterEstimator, alone and beside two busy processes (1,000 images, 2 "
        f"epochs): {'; '.join(words)}."
    )


def seconds_of(works, repetitions):
    """Medians of seconds, in turn."""
    times = {work: [] for work in works}
    for _ in range(repetitions + 1):
        for work, call in works.items():
            times[work].append(timed(call)[0])
    return {work: float(np.median(seconds[1:])) for work, seconds in times.items()}


@contextmanager
def busy_processes(n):
    """So many processes that do nothing but count."""
    with ExitStack() as stack:
        for _ in range(n):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


# A search

SEARCH = """
import sys
from time import perf_counter
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample

n_jobs, n_filters, n_patches = map(int, sys.argv[1:])
X, y = load_cifar10_sample(return_X_y=True)
learner = KMeansFilterLearner(n_filters, n_patches=n_patches, max_iter=10, tol=0, random_state=0)
model = make_pipeline(learner, StandardScaler(), RidgeClassifier(1000))
grid = {"kmeansfilterlearner__whiten_eps": [0.03, 0.1, 0.3, 1]}
search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, refit=False)
for _ in range(1 if n_jobs == 1 else 2):
    start = perf_counter()
    search.fit(X, y)
    print(perf_counter() - start)
"""


def bench_search(quick):
    """GridSearchCV with two processes beside one, with one thread and with all of them."""
    size = (100, 20_000) if quick else (200, 50_000)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    times = {"new": [], "waiting": [], "one thread": [], "all threads": []}
    for _ in range(1 if quick else 3):
        new, waiting = search_seconds(2, *size, os.environ)
        times["new"].append(new)
        times["waiting"].append(waiting)
        times["one thread"] += search_seconds(1, *size, one_thread)
        times["all threads"] += search_seconds(1, *size, os.environ)
    rows = []
    for processes in ("new", "waiting"):
        for other, target in (("one thread", ">= 1.6"), ("all threads", "")):
            work = f"GridSearchCV(n_jobs=2) of 8 fits, {processes} processes"
            beside = f"n_jobs=1 on {other}"
            rows.append(compared(work, beside, target, times[processes], times[other]))
    seconds, _ = timed(lambda: subprocess.run([sys.executable, "-c", "import sklearn_kmfeat"]))
    return rows, [
        f"The search: {size[0]} filters of {size[1]:,} patches and a ridge on the shipped CIFAR-10 "
        "sample. joblib keeps its processes for the next search; new ones first import the "
        f"library, which takes {seconds:.1f} s for one alone."
    ]


def search_seconds(n_jobs, n_filters, n_patches, environment):
    """Seconds of one search, or of two, in a fresh process."""
    command = [sys.executable, "-c", SEARCH, *map(str, (n_jobs, n_filters, n_patches))]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return [float(line) for line in done.stdout.split()]
