"""Linear classifiers on what deep clustering learns without labels.

Settings are the estimator's defaults but for the number of epochs, which the time on a CPU bounds.
"""

from time import process_time

import numpy as np
from _data import train_and_test
from _deep_rows import result_row
from _linear import ridge_accuracy
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import DeepClusterEstimator, KMeansFilterLearner
from sklearn_kmfeat.datasets import (
    fetch_cifar10,
    fetch_mnist,
    load_cifar10_sample,
    load_mnist_sample,
)

TITLE = "Deep clustering: linear classifiers on what was learned"
N_LABELLED = 1000
#: Layers whose rows a closed-form classifier can take, and the penalties that it tries.
LAYERS = ("conv3", "conv4", "embedding")
PENALTIES = (30, 300, 3000, 30_000)
EPOCHS = {"digits": 8, "probes": 20}


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
    mnist = train_and_test(fetch_mnist, load_mnist_sample, quick)
    cifar = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    if quick:
        mnist, cifar = _first(mnist, 1200), _first(cifar, 600)
    return [few_labels(*mnist, epochs["digits"], seeds), *probes(*cifar, epochs["probes"])]


def remarks(rows):
    """Sentences on what was measured."""
    probed = {row["by"]: row["result"] for row in rows if row["of"] == "CIFAR-10"}
    layers = {name: result for name, result in probed.items() if name.startswith("learned")}
    random = {name: result for name, result in probed.items() if name.startswith("random")}
    best, control = max(layers, key=layers.get), max(random, key=random.get)
    same = best.replace("learned", "random")
    return [
        f"CIFAR-10: {best} is the best layer, {100 * (layers[best] - random[same]):+.1f} points "
        f"beside the same layer with random weights, "
        f"{100 * (layers[best] - random[control]):+.1f} beside the best such layer ({control}).",
        f"Digits: {EPOCHS['digits']} epochs on 60,000; logistic regression on {N_LABELLED:,} "
        "labelled ones, its penalty chosen among these by cross-validation. Raw pixels give "
        "about 13 % error.",
        f"CIFAR-10: {EPOCHS['probes']} epochs (two when quick); maps averaged over cells, at most "
        "9,216 values a row; ridge, the penalty chosen on a fifth of the training images.",
        "result: the mean over the seeds; nmi: between the clusters of successive epochs, of the "
        "second and of the last; cpu: processor seconds of one fit.",
    ]


def few_labels(X, X_test, y, y_test, max_epochs, seeds):
    """The row of digits learned from all images and few labels."""
    errors, fits = [], []
    for seed in seeds:
        begin = process_time()
        learner = DeepClusterEstimator(max_epochs=max_epochs, random_state=seed).fit(X)
        fits.append((learner, process_time() - begin))
        labelled = np.random.RandomState(seed).permutation(len(X))[:N_LABELLED]
        classifier = make_pipeline(StandardScaler(), logistic_regression())
        classifier.fit(learner.transform(X[labelled]), y[labelled])
        errors.append(1 - classifier.score(learner.transform(X_test), y_test))
    return result_row(
        "60,000 digits", f"embedding, {N_LABELLED:,} labels", "test error", errors, fits
    )


def logistic_regression():
    """A linear classifier that chooses its penalty by itself."""
    options = {"l1_ratios": (0,), "use_legacy_attributes": False, "scoring": "accuracy"}
    return LogisticRegressionCV(Cs=(0.001, 0.01, 0.1, 1), cv=5, max_iter=2000, **options)


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
            rows.append(result_row("CIFAR-10", f"{name} {layer}", "test accuracy", [accuracy], fit))
    begin = process_time()
    filters = KMeansFilterLearner(400, n_patches=100_000, random_state=0).fit(X)
    fit = [(filters, process_time() - begin)]
    accuracy = _probe(filters, X, X_test, y, y_test)
    rows.append(result_row("CIFAR-10", "400 filters", "test accuracy", [accuracy], fit))
    return rows


def _probe(learner, X, X_test, y, y_test):
    train, test = (learner.transform(X), y), (learner.transform(X_test), y_test)
    return ridge_accuracy(train, test, PENALTIES)[0]


def _first(data, n_train):
    X, X_test, y, y_test = data
    return X[:n_train], X_test, y[:n_train], y_test
