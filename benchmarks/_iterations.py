"""What iterations of k-means buy: inertia, and accuracy on held-out training images of CIFAR-10."""

from time import perf_counter

import numpy as np
from _clusters import CACHE
from _data import N_HELD_OUT, N_TRAINING, held_out, revision
from _linear import ridge_accuracy

from sklearn_kmfeat import KMeansFilterLearner

TITLE = "CIFAR-10: iterations of k-means and accuracy"
COMMON = {"n_filters": 400, "n_patches": 200_000, "tol": 0}
N_SEEDS = 2
PENALTIES = (30, 100, 300)
ROWS = [
    {"algorithm": "random"},
    {"init": "sample", "max_iter": 5},
    {"init": "sample", "max_iter": 20},
    {"init": "hierarchical", "max_iter": 1},
    {"init": "hierarchical", "max_iter": 5},
    {"init": "hierarchical", "max_iter": 20},
    {"init": "hierarchical", "max_iter": 50},
]


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        On the shipped sample, with few filters and one seed.

    Returns
    -------
    list of dict
    """
    rows = []
    for settings in ROWS:
        seeds = range(1 if quick else N_SEEDS)
        found = np.array([measured(COMMON | settings, seed, quick, revision()) for seed in seeds])
        rows.append(
            {
                "filters": settings.get("algorithm", f"init={settings.get('init')}"),
                "max_iter": settings.get("max_iter"),
                "inertia": found[:, 0].mean(),
                "accuracy": found[:, 1].mean(),
                "of each seed": " ".join(f"{accuracy:.3f}" for accuracy in found[:, 1]),
                "fit (s)": np.median(found[:, 2]),
            }
        )
        print(rows[-1], flush=True)
    least = min(row["inertia"] for row in rows)
    for row in rows:
        row["inertia"] = f"{100 * (row['inertia'] / least - 1):+.2f} %"
    return rows


def remarks(rows):
    """Sentences on the rows."""
    return [
        "Features are those of KMeansFilterLearner("
        + ", ".join(f"{n}={v}" for n, v in COMMON.items())
        + "), pooled in quadrants; the classifier is a ridge on standardised square roots.",
        f"The classifiers learn from {N_TRAINING:,} training images of CIFAR-10 and are tested on "
        f"{N_HELD_OUT:,} other training images. Each row is the mean of {N_SEEDS} seeds; the "
        f"standard error of an accuracy is {100 * np.sqrt(0.7 * 0.3 / N_HELD_OUT):.1f} points, and "
        "that of a difference is smaller, since all rows have the same images.",
    ]


@CACHE.cache
def measured(parameters, seed, quick, revision):
    """Inertia, accuracy, seconds of the fit, kept for a revision of the code."""
    images, labels = held_out(quick)
    few = {"n_filters": 20, "n_patches": 5000} if quick else {}
    learner = KMeansFilterLearner(**parameters | few, random_state=seed)
    start = perf_counter()
    learner.fit(images[0])
    seconds = perf_counter() - start
    features = (np.sqrt(learner.transform(part)) for part in images)
    pairs = zip(features, labels, strict=True)
    accuracy, _ = ridge_accuracy(*pairs, penalties=PENALTIES)
    return learner.inertia_, accuracy, seconds
