"""Clusters of deep clustering: digits, and cats and dogs.

No label has a part in any fit. Settings are the estimator's defaults but for the number of epochs,
which the time on a CPU bounds, and for what is named here.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
from _data import train_and_test
from _deep_rows import result_row
from _on_filters import learned_filters, on_filters
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from sklearn_kmfeat import ClusterClassifier, DeepClusterEstimator
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample, load_mnist_sample

TITLE = "Clusters of deep clustering"
#: The document that the experiment with cats and dogs comes from.
PUBLISHED = {"purity": 0.6547, "test accuracy": 0.385}
CAT, DOG = 3, 5
HEADS = ("reset", "prototypes")
EPOCHS = {"digits": 12, "pets": 120}
N_CLUSTERS_OF_PETS = (2, 20, 100)
PETS = {
    "head": "prototypes",
    "n_pseudo_labels": (100, 100),
    "augment": "color",
    "batch_size": 128,
    "lr_schedule": "cosine",
    "precision": "fast",
}


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
    cifar = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    if quick:
        images, digits = images[:600], digits[:600]
    rows = []
    for head in HEADS:
        estimator = DeepClusterEstimator(10, head=head, max_epochs=epochs["digits"])
        rows.append(cluster_digits(images, digits, estimator, seeds))
    X, X_test, y, y_test = cifar
    train, test = _pets(X, y), _pets(X_test, y_test)
    filters = [learned_filters(train[0], random_state=seed) for seed in seeds]
    with TemporaryDirectory() as folder:
        for n_clusters in N_CLUSTERS_OF_PETS:
            estimator = DeepClusterEstimator(n_clusters, max_epochs=epochs["pets"], **PETS)
            rows += cluster_pets(train, test, estimator, filters, Path(folder))
    return rows


def remarks(rows):
    """Sentences on what was measured."""
    digits = next(row for row in rows if row["of"] == "10,000 digits")
    return [
        f"Clusters of 10,000 digits have a purity of {100 * digits['result']:.1f} % after "
        f"{digits['cpu']:.0f} s on one thread, where k-means of the pixels has 57 %.",
        "For cats and dogs chance is 50 %. The published figures are those of a report, not a "
        "paper, on DeepCluster with the same images. For the test accuracy, each cluster stands "
        "for the class of most of its training images (ClusterClassifier).",
        f"Training takes {EPOCHS['digits']} epochs for digits and {EPOCHS['pets']} for cats and "
        "dogs. These have views in other colours, a first layer of 96 filters by k-means, two "
        "classifiers of 100 pseudo-labels, a learning rate that falls as half a cosine, and "
        "bfloat16 where the processor has it. All numbers of clusters share one network per seed: "
        "20 and 100 clusters are made from its checkpoint.",
        "The network for cats and dogs was chosen by how well it separates the other eight classes "
        "of CIFAR-10. The space of the final clusters, six components of the projection, was "
        "chosen after the purity of shorter runs was seen.",
        "NMI of epochs is that between the clusters of successive epochs, at the second epoch and "
        "at the last. Processor time is that of one fit on one thread, without the filters.",
    ]


def cluster_digits(images, digits, estimator, seeds):
    """The row of the purity of digits."""
    fits = _fits([estimator] * len(seeds), images, digits, seeds)
    purities = [fit.purity_ for fit, _ in fits]
    name = f"{estimator.head}, {estimator.n_clusters} clusters"
    return result_row("10,000 digits", name, "purity", purities, fits)


def cluster_pets(train, test, estimator, filters, folder):
    """Two rows for cats and dogs: purity on the training images, accuracy on the test images.

    The network of a seed is the same for all numbers of clusters: it is read from a checkpoint.
    """
    learners = [
        clone(estimator).set_params(
            module=partial(on_filters, own), checkpoint=folder / f"{seed}.pt"
        )
        for seed, own in enumerate(filters)
    ]
    fits = _fits(learners, *train, range(len(filters)))
    found = {
        "purity": [fit.purity_ for fit, _ in fits],
        "test accuracy": [fit.score(*test) for fit, _ in fits],
    }
    name = f"{estimator.head}, {estimator.n_clusters} clusters"
    return [
        result_row(
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


def _fits(estimators, X, y, seeds):
    """Fits of all seeds beside each other, one thread each."""
    parallel = Parallel(n_jobs=len(seeds))
    return parallel(
        delayed(_fit)(estimator, X, y, seed)
        for estimator, seed in zip(estimators, seeds, strict=True)
    )


def _fit(estimator, X, y, seed):
    """A classifier by majority of its clusters, and the processor seconds of its fit."""
    begin = process_time()
    fit = ClusterClassifier(clone(estimator).set_params(random_state=seed)).fit(X, y)
    return fit, process_time() - begin
