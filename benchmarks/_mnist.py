"""Accuracy on MNIST: clusters of pixels and of learned features, and a linear classifier.

No label has a part in any clustering: labels only give the purity. Each clustering is made from
several seeds (of the dictionary, of the components and of k-means alike), and how well those agree
with one another, their mean adjusted Rand index, can be known without labels.
"""

from functools import partial
from itertools import combinations
from time import perf_counter

import numpy as np
from _data import train_and_test
from _linear import ridge_accuracy
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_kmfeat import BagOfPatches, KMeansFilterLearner, NeighborAverager
from sklearn_kmfeat.datasets import fetch_mnist, load_mnist_sample
from sklearn_kmfeat.metrics import purity_score

TITLE = "MNIST: clusters and linear classifiers"

#: The purity of k-means on pixels in the document that this study starts from.
PUBLISHED = {10: 0.5722, 20: 0.6957}

#: What is clustered: n_words, patch_size, contrast and n_filters are the estimators' defaults.
CLUSTERED = {
    "bags of patches, 3×3 cells": BagOfPatches(pool_grid=3, n_patches=100_000),
    "pooled filters, 3×3 cells": KMeansFilterLearner(pool_grid=3, n_patches=100_000),
}

#: What is classified. Patch size, contrast and whitening of the filters were chosen on training
#: digits alone.
CLASSIFIED = {
    "bag of patches": BagOfPatches(200, n_patches=100_000, random_state=0),
    "bags of patches, 3×3 cells": BagOfPatches(200, pool_grid=3, n_patches=100_000, random_state=0),
    "pooled filters, 3×3 cells": KMeansFilterLearner(
        600,
        patch_size=10,
        contrast="image",
        whiten_eps=1.0,
        pool_grid=3,
        n_patches=200_000,
        random_state=0,
    ),
}


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        Fewer digits, fewer seeds and smaller dictionaries.

    Returns
    -------
    list of dict
    """
    images, digits = load_mnist_sample(return_X_y=True)
    seeds = range(5)
    if quick:
        images, digits, seeds = images[:1500], digits[:1500], range(2)
    rows = cluster_pixels(images, digits, seeds)
    for name, learner in CLUSTERED.items():
        rows += cluster_features(images, digits, seeds, name, learner)
    data = train_and_test(fetch_mnist, load_mnist_sample, quick)
    for name, learner in CLASSIFIED.items():
        rows.append(classify(*data, name, _smaller(learner) if quick else learner))
    return rows


def remarks(rows):
    """Sentences on what was measured."""
    found = {(row["of"], row["by"]): row["result"] for row in rows}
    apart = max(
        abs(found["pixels", f"k-means, K={k}"] - found["pixels", f"scikit-learn's KMeans, K={k}"])
        for k in PUBLISHED
    )
    return [
        "On pixels, the mean purities of this library's and of scikit-learn's k-means differ by "
        f"{100 * apart:.2f} points at most.",
        "Features are clustered as in DeepCluster: square roots, 40 whitened principal components, "
        "rows of unit length. The numbers of cells and components were not chosen here; the rest "
        "are the estimators' defaults.",
        '"Neighbour means" are those of NeighborAverager: each row becomes the mean of itself and '
        "its 10 nearest neighbours, 10 times. With 5 to 20 neighbours and 3 to 30 repetitions, "
        "purity at K=10 was between 92 and 97 %.",
        "Agreement of seeds is the mean adjusted Rand index between the clusterings of different "
        "seeds, each with a dictionary of its own. It needs no labels and shows how much a "
        "clustering depends on its seed, but do not choose between rows by it: "
        f"{_not_a_choice(rows)}.",
        "The linear classifiers have 200 words or 600 filters of 10x10 pixels and are a ridge on "
        "the standardised square roots of the features, with a penalty chosen on the last sixth of "
        "the training digits.",
    ]


def _not_a_choice(rows):
    """The row whose seeds agree best, of those with ten clusters, beside the purest one."""
    ten = [row for row in rows if row["measure"] == "purity" and row["by"].endswith("K=10")]
    first, purest = (max(ten, key=lambda row: row[key]) for key in ("agreement", "result"))
    told = (
        f"{row['of']}, {row['by']}: agreement {row['agreement']:.3f}, purity {row['result']:.3f}"
        for row in (first, purest)
    )
    return "; ".join(told)


# Clustering


def cluster_pixels(images, digits, seeds):
    """Rows for whole images, ours beside scikit-learn's KMeans with as many starts."""
    pixels = images.reshape(len(images), -1).astype(np.float32)

    def ours(n_clusters, seed):
        learner = KMeansFilterLearner(
            n_clusters,
            contrast=None,
            whiten_eps=None,
            init="k-means++",
            max_iter=300,
            n_init=10,
            random_state=seed,
        )
        return learner.fit(pixels).predict(pixels)

    methods = {"k-means": ours, "scikit-learn's KMeans": partial(cluster_rows, pixels)}
    return [
        _purity_row("pixels", name, n_clusters, digits, [method] * len(seeds), seeds)
        for name, method in methods.items()
        for n_clusters in PUBLISHED
    ]


def cluster_features(images, digits, seeds, name, learner):
    """Rows for the features of a learner, by k-means alone and by way of a neighbour graph."""
    start = perf_counter()
    described = [describe(images, learner, seed) for seed in seeds]
    seconds = (perf_counter() - start) / len(seeds)
    table = []
    for way, arrange in ARRANGEMENTS.items():
        arranged = [partial(cluster_rows, arrange.fit_transform(rows)) for rows in described]
        table += [
            _purity_row(name, way, n_clusters, digits, arranged, seeds, seconds)
            for n_clusters in PUBLISHED
        ]
    return table


def describe(images, learner, seed, n_components=40):
    """Features to cluster: roots, whitened principal components, rows of unit length."""
    pipeline = make_pipeline(
        clone(learner).set_params(random_state=seed),
        FunctionTransformer(np.sqrt),
        PCA(n_components, whiten=True, random_state=seed),
        Normalizer(),
    )
    return pipeline.fit_transform(images)


#: What becomes of the features before k-means.
ARRANGEMENTS = {
    "k-means": FunctionTransformer(),
    "k-means of neighbour means": make_pipeline(NeighborAverager(), Normalizer()),
}


def cluster_rows(rows, n_clusters, seed):
    """The cluster of each row, by the best of ten runs of scikit-learn's k-means."""
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(rows)


def agreement(labelings):
    """Mean adjusted Rand index between clusterings, which needs no labels."""
    pairs = list(combinations(labelings, 2))
    return float(np.mean([adjusted_rand_score(a, b) for a, b in pairs]))


def _purity_row(of, by, n_clusters, digits, clusterers, seeds, seconds_before=0.0):
    """Mean purity over the seeds, each with a clusterer of its own."""
    start = perf_counter()
    labelings = [cluster(n_clusters, seed) for cluster, seed in zip(clusterers, seeds, strict=True)]
    seconds = (perf_counter() - start) / len(labelings) + seconds_before
    purities = [purity_score(digits, labels) for labels in labelings]
    return _row(
        of,
        f"{by}, K={n_clusters}",
        "purity",
        float(np.mean(purities)),
        seconds,
        spread=f"{min(purities):.3f} to {max(purities):.3f} ({len(purities)} seeds)",
        agreement=agreement(labelings),
        published=PUBLISHED[n_clusters] if of == "pixels" else None,
    )


# Classification


def classify(X, X_test, y, y_test, name, learner):
    """The row of a linear classifier on the features of a learner."""
    start = perf_counter()
    features = [learner.fit(X).transform(X), learner.transform(X_test)]
    for part in features:
        np.sqrt(part, out=part)
    train, test = zip(features, (y, y_test), strict=True)
    del features
    accuracy, _ = ridge_accuracy(train, test, held_out=1 / 6)
    return _row(name, "ridge", "test error", 1 - accuracy, perf_counter() - start)


def _smaller(learner):
    name = "n_words" if isinstance(learner, BagOfPatches) else "n_filters"
    return clone(learner).set_params(**{name: 50, "n_patches": 20_000})


def _row(of, by, measure, result, seconds, spread=None, agreement=None, published=None):
    """A row of the table, which is printed, too."""
    row = {
        "of": of,
        "by": by,
        "measure": measure,
        "result": round(result, 4),
        "over seeds": spread,
        "agreement": None if agreement is None else round(agreement, 3),
        "published": published,
        "seconds": round(seconds, 1),
    }
    print(row, flush=True)
    return row
