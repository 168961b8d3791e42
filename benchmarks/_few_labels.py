"""Few labels: features learned on all images, and a classifier on those that have one.

Each set has 10,000 images: 2,000 are for the test, and of the others, from which everything is
learned that needs no labels, ten to a thousand are labelled, as many of each class. Penalties are
chosen by cross-validation among these; the rest is as the estimators have it by default, but for
what is named here. Only the number of steps of the supervised network was chosen with the test in
view, in its favour.
"""

import os
from time import process_time

import numpy as np
from _small_cnn import SmallCNN
from sklearn.cluster import KMeans
from sklearn.datasets import get_data_home
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC
from torchvision.datasets import FashionMNIST

from sklearn_kmfeat import (
    ClusterClassifier,
    DeepClusterEstimator,
    KMeansFilterLearner,
    NeighborAverager,
)
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample, load_mnist_sample

TITLE = "Few labels: test accuracy"
N_LABELS = (10, 100, 500, 1000)
N_IMAGES, N_TEST = 10_000, 2000
#: Of standardised features, from next to none to one that leaves little but the class means.
PENALTIES = np.logspace(0, 4, 9)
MIDDLE = "conv3"
MAX_EPOCHS = 4
#: Of the supervised network: with 400, it learned no more from a thousand clothes than from 500.
N_STEPS = 1000
#: The networks with labels alone are trained on these; fewer leave them nothing to generalise from.
LABELS_OF_NETWORKS = (100, 500, 1000)


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        Few images of the shipped samples, one seed, short training.

    Returns
    -------
    list of dict
    """
    return [
        row
        for name in SETS
        for part in PARTS
        for row in measure(name, part, quick)
        if row is not None
    ]


def measure(name, part, quick=False):
    """Rows of one set of images and of one group of methods; none where the set is not there."""
    images = SETS[name](quick)
    if images is None:
        return []
    X, y = images
    if quick:
        X, y = X[:1500], y[:1500]
    data = train_test_split(X, y, test_size=500 if quick else N_TEST, stratify=y, random_state=0)
    return PARTS[part](name, data, range(1) if quick else range(3), quick)


def remarks(rows):
    """Sentences on what was measured."""
    found = {(row["of"], row["by"]): row for row in rows}
    missing = [name for name in SETS if name not in {row["of"] for row in rows}]
    told = [_gains(found, name) for name in SETS if name not in missing]
    told += [
        "Each figure is the mean of three seeds (of the labelled images, the filters and the "
        "networks), with as many labelled images of each class; the spread is the largest "
        "difference between seeds from 100 labels on. Processor time is that of one seed, from "
        "the images to the accuracy with most labels.",
        f"Filters are {_learner(0).n_filters}, learned from all images but the 2,000 of the test; "
        "their square roots are standardised over all images. Ridge CV chooses the penalty by "
        "leave-one-out among the labelled images; a penalty of 1 is scikit-learn's default. The "
        "SVM has an RBF kernel and chooses C by cross-validation, for which ten labels are too "
        "few.",
        "ClusterClassifier has k-means of 40 whitened components of the square roots, in rows of "
        "unit length, and gets -1 for images without a label; neighbour means are those of "
        "NeighborAverager.",
        f"The network is a DeepClusterEstimator after {MAX_EPOCHS} epochs on all images without "
        f"labels; the ridge is on its layer {MIDDLE} or on its embedding.",
        "The supervised network has three convolutions of 32, 64 and 128 channels with batch "
        f"normalisation and learns for {N_STEPS:,} steps of AdamW from the labelled images alone, "
        "turned, scaled and shifted at random, and mirrored except for digits.",
    ]
    if missing:
        told.append(f"Not measured, because the files are missing: {', '.join(missing)}.")
    return told


def _gains(found, name):
    """What the choices are worth, at 500 labels."""
    at = {by: row["500"] for (of, by), row in found.items() if of == name}
    points = {
        "a chosen penalty rather than a fixed one": (
            "filters, ridge CV",
            "filters, ridge, penalty 1",
        ),
        f"{MIDDLE} rather than the embedding": (
            f"network {MIDDLE}, ridge CV",
            "network embedding, ridge CV",
        ),
        "filters rather than pixels": ("filters, ridge CV", "pixels, ridge CV"),
        "filters rather than the supervised network": ("filters, ridge CV", "supervised network"),
    }
    differences = (
        f"{what} {100 * (at[one] - at[other]):+.1f}" for what, (one, other) in points.items()
    )
    return f"{name.capitalize()}, gain in points with 500 labels: {', '.join(differences)}."


# The images


def _digits(quick):
    return load_mnist_sample(return_X_y=True)


def _clothes(quick):
    """Fashion-MNIST, where torchvision keeps it, or None."""
    home = os.environ.get("SKLEARN_KMFEAT_DATA") or get_data_home()
    try:
        stored = FashionMNIST(home, download=False)
    except RuntimeError:
        return None
    return stored.data[:N_IMAGES].numpy(), stored.targets[:N_IMAGES].numpy()


def _photographs(quick):
    if quick:
        return load_cifar10_sample(return_X_y=True)
    X, y = fetch_cifar10(return_X_y=True)
    return X[:N_IMAGES], y[:N_IMAGES]


SETS = {"digits": _digits, "clothes": _clothes, "photographs": _photographs}


# The methods


def dictionary(name, data, seeds, quick):
    """Rows of pixels, of filters with several classifiers, and of their clusters."""
    X, X_test, y, y_test = data
    curves = _Curves(name, y, y_test, seeds)
    for seed in seeds:
        pixels = make_pipeline(FunctionTransformer(_flat), StandardScaler())
        curves.add("pixels, ridge CV", seed, _features(pixels, X, X_test), _ridge)
        roots = make_pipeline(_learner(seed, quick), FunctionTransformer(np.sqrt))
        *found, seconds = _features(roots, X, X_test)
        rows = (*_scaled(*found), seconds)
        curves.add("filters, ridge CV", seed, rows, _ridge)
        curves.add("filters, ridge, penalty 1", seed, rows, RidgeClassifier)
        curves.add("filters, SVM", seed, rows, _svm, N_LABELS[1:])
        for by, (n_clusters, smooth) in CLUSTERED.items():
            curves.add_clusters(by, seed, found, seconds, _clusterer(n_clusters, smooth, seed))
    return curves.rows()


#: Number of clusters, and whether of neighbour means.
CLUSTERED = {
    "ClusterClassifier, 10 clusters": (10, False),
    "ClusterClassifier, 50 clusters": (50, False),
    "ClusterClassifier, 50 of neighbour means": (50, True),
}


def network(name, data, seeds, quick):
    """Rows of the middle and of the end of a network that learned without labels."""
    X, X_test, y, y_test = data
    curves = _Curves(name, y, y_test, seeds)
    for seed in seeds:
        begin = process_time()
        learned = DeepClusterEstimator(
            10,
            max_epochs=1 if quick else MAX_EPOCHS,
            lr_schedule="constant",
            random_state=seed,
        ).fit(X)
        seconds = process_time() - begin
        for layer in (MIDDLE, "embedding"):
            learned.set_params(layer=layer)
            model = make_pipeline(FrozenEstimator(learned), StandardScaler())
            *found, more = _features(model, X, X_test)
            curves.add(f"network {layer}, ridge CV", seed, (*found, seconds + more), _ridge)
    return curves.rows()


def supervised(name, data, seeds, quick):
    """The row of a network that is trained on the labelled images alone."""
    X, X_test, y, y_test = data
    curves = _Curves(name, y, y_test, seeds)
    for seed in seeds:

        def classifier(seed=seed):
            return SmallCNN(40 if quick else N_STEPS, flip=name != "digits", seed=seed)

        curves.add("supervised network", seed, (X, X_test, 0.0), classifier, LABELS_OF_NETWORKS)
    return curves.rows()


PARTS = {"dictionary": dictionary, "network": network, "supervised": supervised}


class _Curves:
    """Accuracies of several methods and seeds, over the number of labels."""

    def __init__(self, of, y, y_test, seeds):
        self.of, self.y, self.y_test = of, y, y_test
        self.labelled = {seed: _labelled(y, seed) for seed in seeds}
        self.found, self.seconds = {}, {}

    def add(self, by, seed, features, make_classifier, n_labels=N_LABELS):
        """Fit a classifier on labelled rows of features (of the pool, of the test, seconds)."""
        X, X_test, seconds = features
        for n in n_labels:
            index = self.labelled[seed][n]
            begin = process_time()
            model = make_classifier().fit(X[index], self.y[index])
            self._keep(by, n, model.score(X_test, self.y_test), seconds + process_time() - begin)

    def add_clusters(self, by, seed, features, seconds, clusterer):
        """Name clusters of all rows after the labelled ones."""
        X, X_test = features
        begin = process_time()
        frozen = FrozenEstimator(clusterer.fit(X))
        seconds += process_time() - begin
        for n, index in self.labelled[seed].items():
            known = np.full(len(self.y), -1)
            known[index] = self.y[index]
            model = ClusterClassifier(frozen).fit(X, known)
            self._keep(by, n, model.score(X_test, self.y_test), seconds)

    def _keep(self, by, n, accuracy, seconds):
        self.found.setdefault(by, {}).setdefault(n, []).append(accuracy)
        self.seconds.setdefault(by, {}).setdefault(n, []).append(seconds)

    def rows(self):
        """Rows of the table, which are printed, too."""
        rows = []
        for by, found in self.found.items():
            means = {
                n: round(float(np.mean(found[n])), 4) if n in found else None for n in N_LABELS
            }
            row = {"of": self.of, "by": by, **{str(n): mean for n, mean in means.items()}}
            spread = max(max(each) - min(each) for n, each in found.items() if n >= 100)
            row["spread"] = round(float(spread), 3)
            row["cpu"] = round(float(np.mean(self.seconds[by][N_LABELS[-1]])), 1)
            print(row, flush=True)
            rows.append(row)
        return rows


def _labelled(y, seed):
    """Indices of the labelled images, for each number; fewer labels are a part of more."""
    index, chosen = np.arange(len(y)), {}
    for n in reversed(N_LABELS):
        if n < len(index):
            index, _ = train_test_split(index, train_size=n, stratify=y[index], random_state=seed)
        chosen[n] = index
    return dict(sorted(chosen.items()))


def _features(model, X, X_test):
    """Rows of the pool and of the test images, and processor seconds."""
    begin = process_time()
    rows = model.fit_transform(X)
    return rows, model.transform(X_test), process_time() - begin


def _scaled(rows, rows_test):
    scaler = StandardScaler().fit(rows)
    return scaler.transform(rows), scaler.transform(rows_test)


def _flat(X):
    return X.reshape(len(X), -1).astype(np.float32)


def _learner(seed, quick=False):
    size = {"n_filters": 50, "n_patches": 10_000} if quick else {"n_patches": 100_000}
    return KMeansFilterLearner(**size, max_iter=20, random_state=seed)


def _ridge():
    return RidgeClassifierCV(PENALTIES)


def _svm():
    return GridSearchCV(SVC(), {"C": [1, 10, 100]}, cv=3)


def _clusterer(n_clusters, smooth, seed):
    smoothing = [NeighborAverager(), Normalizer()] if smooth else []
    return make_pipeline(
        PCA(40, whiten=True, random_state=seed),
        Normalizer(),
        *smoothing,
        KMeans(n_clusters, n_init=10, random_state=seed),
    )
