"""Linear classifiers on what deep clustering learns without labels.

The number of epochs is bounded by the time on a CPU; what else differs from the estimator's
defaults is named here.
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

TITLE = "Linear classifiers on layers of deep clustering"
N_LABELLED = 1000
#: Layers whose rows a closed-form classifier can take, and the penalties that it tries.
LAYERS = ("conv2", "conv3", "conv4", "embedding")
PENALTIES = (30, 300, 3000, 30_000)
EPOCHS = {"digits": 6, "probes": 30}
#: For the digits: twice as wide as the default, to be worth a linear classifier.
WIDE = {"net_params": {"module__width": 32}, "lr_schedule": "constant"}
#: For the probes: prototypes, two classifiers of 500 pseudo-labels.
PROTOTYPES = {"head": "prototypes", "n_pseudo_labels": (500, 500), "lr_schedule": "cosine"}
#: As many values for an image as conv3 has, with four cells.
N_FILTERS = 1024


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
    return [few_labels(*mnist, epochs["digits"], seeds), *probes(*cifar, epochs["probes"], seeds)]


def remarks(rows):
    """Sentences on what was measured."""
    probed = {row["by"]: row["result"] for row in rows if row["of"] == "CIFAR-10"}
    layers = {name: result for name, result in probed.items() if name.startswith("learned")}
    random = {name: result for name, result in probed.items() if name.startswith("random")}
    best, control = max(layers, key=layers.get), max(random, key=random.get)
    same = best.replace("learned", "random")
    return [
        f"On CIFAR-10 the best layer is {best.removeprefix('learned ')}, "
        f"{100 * (layers[best] - random[same]):.1f} points above the same layer with random "
        f"weights and {100 * (layers[best] - random[control]):.1f} above the best random layer "
        f"({control.removeprefix('random ')}). K-means filters are better features for a "
        "classifier.",
        f"Digits: {EPOCHS['digits']} epochs on 60,000 digits with width=32; a logistic regression "
        f"on {N_LABELLED:,} labelled ones, its penalty chosen by cross-validation. Raw pixels have "
        "an error of about 13 %.",
        f"CIFAR-10: {EPOCHS['probes']} epochs, prototypes, two classifiers of 500 pseudo-labels "
        "and a learning rate that falls as half a cosine. conv3 has 4,096 values for an image, as "
        "many as the filters; the classifier is a ridge with a penalty chosen on a fifth of the "
        "training images.",
        "NMI of epochs is that between the clusters of successive epochs, at the second epoch and "
        "at the last. Processor time is that of one fit.",
    ]


def few_labels(X, X_test, y, y_test, max_epochs, seeds):
    """The row of digits learned from all images and few labels."""
    errors, fits = [], []
    for seed in seeds:
        fits.append(_fit(DeepClusterEstimator(max_epochs=max_epochs, **WIDE), X, seed))
        learner = fits[-1][0]
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


def probes(X, X_test, y, y_test, max_epochs, seeds):
    """Rows of linear classifiers on the layers of a network, learned and random, and on filters."""
    data = X, X_test, y, y_test
    rows = []
    for name, epochs in {"learned": max_epochs, "random": 0}.items():
        fits = [
            _fit(DeepClusterEstimator(max_epochs=epochs, **PROTOTYPES), X, seed) for seed in seeds
        ]
        for layer in LAYERS:
            found = [_probe(learner.set_params(layer=layer), *data) for learner, _ in fits]
            rows.append(result_row("CIFAR-10", f"{name} {layer}", "test accuracy", found, fits))
    n_filters = min(N_FILTERS, len(X) // 10)
    fit = _fit(KMeansFilterLearner(n_filters, n_patches=100_000), X, 0)
    found = [_probe(fit[0], *data)]
    rows.append(result_row("CIFAR-10", f"{n_filters:,} filters", "test accuracy", found, [fit]))
    return rows


def _fit(learner, X, seed):
    """A fitted learner, and the processor seconds that it took."""
    begin = process_time()
    learner.set_params(random_state=seed).fit(X)
    return learner, process_time() - begin


def _probe(learner, X, X_test, y, y_test):
    train, test = (learner.transform(X), y), (learner.transform(X_test), y_test)
    return ridge_accuracy(train, test, PENALTIES)[0]


def _first(data, n_train):
    X, X_test, y, y_test = data
    return X[:n_train], X_test, y[:n_train], y_test
