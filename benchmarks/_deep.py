"""Accuracy of deep clustering: clusters of digits and of cats and dogs, and linear classifiers.

No label has a part in any fit. Settings are the estimator's defaults but for the number of epochs,
which the time on a CPU bounds, and for what a row names.
"""

from time import process_time

import numpy as np
from _data import train_and_test
from _linear import ridge_accuracy
from sklearn.base import clone

from sklearn_kmfeat import ClusterClassifier, DeepClusterEstimator, KMeansFilterLearner
from sklearn_kmfeat.datasets import (
    fetch_cifar10,
    fetch_mnist,
    load_cifar10_sample,
    load_mnist_sample,
)

TITLE = "Deep clustering: purity of clusters, accuracy of linear classifiers"
#: The document that the experiment with cats and dogs comes from.
PUBLISHED = {"purity": 0.6547, "test accuracy": 0.385}
CAT, DOG = 3, 5
N_LABELLED = 1000
#: Layers whose rows a closed-form classifier can take, and the penalties that it tries.
LAYERS = ("conv3", "conv4", "embedding")
PENALTIES = (30, 300, 3000, 30_000)
HEADS = ("reset", "prototypes")
EPOCHS = {"digits": 15, "pets": 30, "all digits": 5, "probes": 10}


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        Few images of the shipped samples, two epochs, one seed.

    Returns
    -------
    list of dict
    """
    seeds = range(1) if quick else range(3)
    epochs = dict.fromkeys(EPOCHS, 2) if quick else EPOCHS
    images, digits = load_mnist_sample(return_X_y=True)
    if quick:
        images, digits = images[:600], digits[:600]
    mnist = train_and_test(fetch_mnist, load_mnist_sample, quick)
    cifar = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    if quick:
        mnist, cifar = _first(mnist, 1200), _first(cifar, 600)
    rows = []
    for head in HEADS:
        estimator = DeepClusterEstimator(10, head=head, max_epochs=epochs["digits"])
        rows.append(cluster_digits(images, digits, estimator, seeds))
    for n_clusters in (2, 20, 100):
        estimator = DeepClusterEstimator(n_clusters, max_epochs=epochs["pets"])
        rows += cluster_pets(*cifar, estimator, seeds)
    rows.append(few_labels(*mnist, epochs["all digits"], seeds))
    rows += probes(*cifar, epochs["probes"])
    return rows


def remarks(rows):
    """Sentences on what was measured."""
    probed = {row["by"]: row["result"] for row in rows if row["of"] == "CIFAR-10"}
    layers = {name: result for name, result in probed.items() if name.startswith("learned")}
    best = max(layers, key=layers.get)
    gain = layers[best] - probed[best.replace("learned", "random")]
    return [
        f"CIFAR-10: the best layer is {best.split()[-1]}, {100 * gain:+.1f} points beside the same "
        "layer with random weights.",
        "result: the mean over the seeds; nmi: between the clusters of successive epochs, of the "
        "second and of the last.",
        "cpu: processor seconds of one fit.",
    ]


# Clusters


def cluster_digits(images, digits, estimator, seeds):
    """The row of the purity of digits."""
    fits = [_fit(estimator, images, digits, seed) for seed in seeds]
    purities = [fit.purity_ for fit, _ in fits]
    name = f"{estimator.head}, {estimator.n_clusters} clusters"
    return _row("10,000 digits", name, "purity", purities, fits)


def cluster_pets(X, X_test, y, y_test, estimator, seeds):
    """Two rows for cats and dogs: purity on the training images, accuracy on the test images."""
    (X, y), (X_test, y_test) = (_pets(*part) for part in ((X, y), (X_test, y_test)))
    fits = [_fit(estimator, X, y, seed) for seed in seeds]
    found = {
        "purity": [fit.purity_ for fit, _ in fits],
        "test accuracy": [fit.score(X_test, y_test) for fit, _ in fits],
    }
    name = f"{estimator.head}, {estimator.n_clusters} clusters"
    return [
        _row(
            "cats and dogs",
            name,
            measure,
            values,
            fits,
            PUBLISHED[measure] if estimator.n_clusters == 2 else None,
        )
        for measure, values in found.items()
    ]


def _pets(X, y):
    pets = np.isin(y, (CAT, DOG))
    return X[pets], y[pets]


def _fit(estimator, X, y, seed):
    """A classifier by majority of its clusters, and the processor seconds of its fit."""
    begin = process_time()
    fit = ClusterClassifier(clone(estimator).set_params(random_state=seed)).fit(X, y)
    return fit, process_time() - begin


# Linear classifiers


def few_labels(X, X_test, y, y_test, max_epochs, seeds):
    """The row of digits learned from all images and few labels."""
    errors, fits = [], []
    for seed in seeds:
        begin = process_time()
        learner = DeepClusterEstimator(max_epochs=max_epochs, random_state=seed).fit(X)
        fits.append((learner, process_time() - begin))
        labelled = np.random.RandomState(seed).permutation(len(X))[:N_LABELLED]
        train = learner.transform(X[labelled]), y[labelled]
        accuracy, _ = ridge_accuracy(train, (learner.transform(X_test), y_test))
        errors.append(1 - accuracy)
    return _row("60,000 digits", f"embedding, {N_LABELLED} labels", "test error", errors, fits)


def probes(X, X_test, y, y_test, max_epochs):
    """Rows of linear classifiers on the layers of a network, learned and random, and on filters."""
    rows = []
    for name, epochs in {"learned": max_epochs, "random": 0}.items():
        begin = process_time()
        learner = DeepClusterEstimator(max_epochs=epochs, random_state=0).fit(X)
        fit = [(learner, process_time() - begin)]
        for layer in LAYERS:
            learner.set_params(layer=layer)
            accuracy = _probe(learner, X, X_test, y, y_test)
            rows.append(_row("CIFAR-10", f"{name} {layer}", "test accuracy", [accuracy], fit))
    begin = process_time()
    filters = KMeansFilterLearner(400, n_patches=100_000, random_state=0).fit(X)
    fit = [(filters, process_time() - begin)]
    accuracy = _probe(filters, X, X_test, y, y_test)
    rows.append(_row("CIFAR-10", "400 filters", "test accuracy", [accuracy], fit))
    return rows


def _probe(learner, X, X_test, y, y_test):
    train, test = (learner.transform(X), y), (learner.transform(X_test), y_test)
    return ridge_accuracy(train, test, PENALTIES)[0]


def _first(data, n_train):
    X, X_test, y, y_test = data
    return X[:n_train], X_test, y[:n_train], y_test


def _row(of, by, measure, results, fits, published=None):
    """A row of the table, which is printed, too."""
    learner = fits[0][0]
    history = getattr(getattr(learner, "clusterer_", learner), "history_", [])
    nmi = [record["nmi"] for record in history[1:] if "nmi" in record]
    row = {
        "of": of,
        "by": by,
        "measure": measure,
        "result": round(float(np.mean(results)), 4),
        "over seeds": f"{min(results):.3f} to {max(results):.3f} ({len(results)})",
        "published": published,
        "nmi": f"{nmi[0]:.2f} to {nmi[-1]:.2f}" if nmi else None,
        "cpu": round(float(np.mean([seconds for _, seconds in fits])), 1),
    }
    print(row, flush=True)
    return row
