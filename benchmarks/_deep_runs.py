"""Which of several runs of deep clustering is kept, without labels, and how good it is.

No label has a part in any fit. Settings are the estimator's defaults but for the numbers of images
and epochs, which the time on a CPU bounds.
"""

from time import process_time

import numpy as np
from _data import train_and_test
from sklearn.base import clone

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat._consensus.members import run_weights
from sklearn_kmfeat._core.consensus import Vote, mean_agreement
from sklearn_kmfeat._deep_cluster.runs import most_agreeing
from sklearn_kmfeat.datasets import (
    fetch_cifar10,
    fetch_mnist,
    load_cifar10_sample,
    load_mnist_sample,
)
from sklearn_kmfeat.metrics import clustering_accuracy_score

TITLE = "Several runs of deep clustering"
N_IMAGES, N_EPOCHS = 2_000, 8
SETS = {
    "digits": (fetch_mnist, load_mnist_sample),
    "CIFAR-10": (fetch_cifar10, load_cifar10_sample),
}


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        Few images of the shipped samples, two epochs, three runs, one row for each set.

    Returns
    -------
    list of dict
    """
    n_images, n_epochs, n_runs, n_rows = (600, 2, 3, 1) if quick else (N_IMAGES, N_EPOCHS, 5, 3)
    estimator = DeepClusterEstimator(10, max_epochs=n_epochs)
    rows = []
    for name, (fetch, load_sample) in SETS.items():
        X, _, y, _ = train_and_test(fetch, load_sample, quick)
        X, y = X[:n_images], y[:n_images]
        for seeds in np.arange(n_rows * n_runs).reshape(n_rows, n_runs).tolist():
            row = {"of": f"{n_images:,} {name}", "seeds": f"{seeds[0]} to {seeds[-1]}"}
            rows.append(row | measured(estimator, X, y, seeds))
            print(rows[-1], flush=True)
    return rows


def remarks(rows):
    """Sentences on what was measured."""
    sentences = []
    for of in dict.fromkeys(row["of"] for row in rows):
        for what, words in (("kept", "the run that is kept"), ("vote", "the vote of all five")):
            gains = [100 * (row[what] - row["mean"]) for row in rows if row["of"] == of]
            sentences.append(
                f"{of}: the accuracy of {words}, minus the mean of the five runs, is "
                f"{np.mean(gains):+.1f} points on average over the rows, and {min(gains):+.1f} "
                "points in the worst row."
            )
    return [
        *sentences,
        "The measure is clustering accuracy (each cluster is assigned to one class). Kept is the "
        "run that n_init=5 keeps of five runs with these seeds, without labels; vote is that of a "
        "ConsensusClusterer with this estimator; mean, least and best are those of the five runs.",
        "Agreement is the mean adjusted Rand index of the kept run with the others, and of all "
        f"pairs. The five runs, with {N_EPOCHS} epochs and defaults otherwise, take "
        f"{min(row['cpu'] for row in rows):.0f} to {max(row['cpu'] for row in rows):.0f} s on one "
        "thread.",
    ]


def measured(estimator, X, y, seeds):
    """The accuracy of the kept run beside those of all runs, and how far they agree."""
    begin = process_time()
    runs = [clone(estimator).set_params(random_state=seed).fit(X) for seed in seeds]
    seconds = process_time() - begin
    kept, matrix = most_agreeing([each.labels_ for each in runs], [each.inertia_ for each in runs])
    accuracies = [clustering_accuracy_score(y, each.labels_) for each in runs]
    agreement = mean_agreement(matrix)
    values = {
        "kept": accuracies[kept],
        "vote": clustering_accuracy_score(y, _vote([each.labels_ for each in runs], matrix)),
        "mean": np.mean(accuracies),
        "least": min(accuracies),
        "best": max(accuracies),
        "agreement": agreement[kept],
        "of all": agreement.mean(),
    }
    rounded = {name: round(float(value), 4) for name, value in values.items()}
    return rounded | {"cpu": round(seconds, 1)}


def _vote(labelings, matrix):
    """The clusters that `ConsensusClusterer` makes of the runs of one estimator."""
    n_clusters = int(max(labels.max() for labels in labelings)) + 1
    weights = run_weights("agreement", ["deep"] * len(labelings), matrix)
    sizes = [n_clusters] * len(labelings)
    return Vote.of(labelings, sizes, n_clusters, weights, 0).predict(labelings)
