"""Convolutional k-means beside k-means on CIFAR-10: accuracy and redundancy by number of filters.

Both have unit filters, learn from as many patches (from one window each, or cut at random), and
are encoded, pooled and classified in the same way.
"""

import numpy as np
from _data import train_and_test
from _linear import ridge_accuracy

from sklearn_kmfeat import ConvKMeans, KMeansFilterLearner
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample
from sklearn_kmfeat.metrics import filter_redundancy

TITLE = "CIFAR-10: filters of convolutional k-means and of k-means"
N_TRAIN = 10_000
N_PATCHES = 40_000
CODED = {
    "encoder": "soft_threshold",
    "alpha": 0.0,
    "pool": "sum",
    "pool_grid": (2, 2),
    "max_iter": 12,
}


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        On the shipped sample, with fewer filters and seeds.

    Returns
    -------
    list of dict
    """
    X, X_test, y, y_test = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    data = X[:N_TRAIN], X_test, y[:N_TRAIN], y_test
    sizes, seeds = ((32, 96), range(1)) if quick else ((32, 64, 96, 128, 256, 512), range(3))
    n_patches = 5_000 if quick else N_PATCHES
    rows = []
    for whiten_eps in (0.1, None):
        for n_filters in sizes:
            row = {"n_filters": n_filters, "whitened": "no" if whiten_eps is None else "yes"}
            row |= compare(*data, n_filters, n_patches, seeds, whiten_eps=whiten_eps)
            print(row, flush=True)
            rows.append(row)
    return rows


def compare(X, X_test, y, y_test, n_filters, n_patches, seeds, **params):
    """Mean and spread of both ways over seeds."""
    params = {"n_filters": n_filters, **CODED, **params}
    results = []
    for seed in seeds:
        for learner in (
            KMeansFilterLearner(
                algorithm="spherical", n_patches=n_patches, random_state=seed, **params
            ),
            ConvKMeans(n_windows=n_patches, random_state=seed, **params),
        ):
            train = np.sqrt(learner.fit(X).transform(X)), y
            accuracy = ridge_accuracy(train, (np.sqrt(learner.transform(X_test)), y_test))[0]
            results.append((accuracy, filter_redundancy(learner.filters_).mean()))
    plain, conv = np.array(results[::2]), np.array(results[1::2])
    gain = (conv - plain)[:, 0]
    return {
        "k-means": float(plain[:, 0].mean()),
        "convolutional": float(conv[:, 0].mean()),
        "gain": f"{100 * gain.mean():+.2f} ± {100 * gain.std():.2f}",
        "redundancy of k-means": float(plain[:, 1].mean()),
        "of convolutional": float(conv[:, 1].mean()),
    }


def remarks(rows):
    """Sentences on where the convolutional filters help."""
    lines = []
    for whitened in ("yes", "no"):
        own = [row for row in rows if row["whitened"] == whitened]
        better = [str(row["n_filters"]) for row in own if _clearly(row, 1)]
        worse = [str(row["n_filters"]) for row in own if _clearly(row, -1)]
        less = [
            str(r["n_filters"]) for r in own if r["of convolutional"] < r["redundancy of k-means"]
        ]
        lines.append(
            f"{'With' if whitened == 'yes' else 'Without'} whitening, convolutional filters are "
            "more accurate, by more than a standard deviation over the seeds, with "
            f"{_listed(better)}, and less accurate with {_listed(worse)}; they are less redundant "
            f"with {_listed(less)}. {_equal(own)}"
        )
    return [
        *lines,
        "Published for STL-10, with larger filters and a stride of 4: 96 convolutional filters "
        "equal more than 200 of k-means (Dundar, Jin & Culurciello 2015).",
        f"Filters of 6x6 pixels are learned from {N_PATCHES:,} patches, or windows of 12x12, in 12 "
        "iterations. The classifier is a ridge on square roots of rectified responses, summed in "
        f"quadrants; it learns from {N_TRAIN:,} training images and is tested on all test images. "
        "Rows are means of three seeds; ± is the standard deviation of the difference.",
        "Redundancy is the mean over the filters of the largest absolute correlation with another "
        "filter at any shift.",
    ]


def _clearly(row, sign):
    """Whether the gain has this sign and is more than its standard deviation."""
    gain, deviation = map(float, row["gain"].split(" ± "))
    return sign * gain > deviation


def _listed(numbers):
    return f"{', '.join(numbers)} filters" if numbers else "no number of filters"


def _equal(rows):
    """How many filters of k-means are as good as 96 convolutional ones."""
    conv = next(row["convolutional"] for row in rows if row["n_filters"] == 96)
    sizes = np.log([row["n_filters"] for row in rows])
    accuracies = np.maximum.accumulate([row["k-means"] for row in rows])
    equal = np.exp(np.interp(conv, accuracies, sizes))
    about = "at least" if conv > accuracies[-1] else "at most" if conv < accuracies[0] else "about"
    return f"96 convolutional filters are as accurate as {about} {equal:.0f} of k-means."
