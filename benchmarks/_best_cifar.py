"""The best that features without labels and a linear classifier give on CIFAR-10, by the clock.

Everything counts: dictionaries, the features of all 60,000 images, and the classifier with the
choice of its penalty. Settings were chosen on held-out training images (`_best_choices.py`). What has
been measured is kept in `benchmarks/.cache`, so that an interrupted run goes on.
"""

from contextlib import contextmanager
from time import perf_counter, process_time

import numpy as np
import torch
from _clusters import CACHE
from _data import train_and_test
from _linear import ridge_accuracy

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample

TITLE = "CIFAR-10: the best linear classifiers of features without labels, by the clock"
COMMON = {"mirror": True, "random_state": 0}
PENALTIES = (30, 100, 300, 1000, 3000)
#: Minutes, accuracy to reach, and the dictionaries whose features stand beside each other.
ROWS = {
    2: (0.775, [{"n_filters": 800}]),
    15: (0.83, [{"n_filters": 1600}]),
    30: (0.845, [{"n_filters": 1600}]),
}


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        On the shipped sample, with few filters.

    Returns
    -------
    list of dict
    """
    rows = []
    for limit, (target, dictionaries) in ROWS.items():
        row = {"within (min)": limit, "to reach": target, "dictionaries": described(dictionaries)}
        rows.append(row | measured(dictionaries, quick))
        print(rows[-1], flush=True)
    return rows


def remarks(rows):
    """Sentences on the rows."""
    common = ", ".join(f"{name}={value}" for name, value in COMMON.items())
    return [
        f"Each dictionary is a KMeansFilterLearner with {common}: encoded with its filters and "
        "their mirror images. Their features stand beside each other; fit, transform: of all.",
        "classifier: square root, standardisation, ridge with a penalty chosen on a fifth of the "
        "training set.",
        "minutes: of the clock. processor: process time over the number of threads, in minutes; "
        "less than the clock where the machine was shared.",
    ]


@CACHE.cache
def measured(dictionaries, quick):
    """Accuracy, and seconds of each stage, of the features of some dictionaries."""
    X, X_test, y, y_test = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    few = {"n_filters": 30, "n_patches": 20_000} if quick else {}
    learners = [KMeansFilterLearner(**COMMON | each | few) for each in dictionaries]
    stages = Stages()
    with stages.timed("fit (s)"):
        for learner in learners:
            learner.fit(X)
    with stages.timed("transform (s)"):
        train, test = (features(learners, part) for part in (X, X_test))
    n_features = train.shape[1]
    with stages.timed("classifier (s)"):
        accuracy, penalty = ridge_accuracy(
            (train, y), (test, y_test), PENALTIES, dtype=np.float32
        )
    found = {"features": n_features, "accuracy": accuracy, "penalty": penalty}
    return found | stages.row()


def features(learners, images):
    """The roots of the features of several learners, side by side, in memory taken once."""
    ends = np.cumsum([0] + [len(learner.get_feature_names_out()) for learner in learners])
    rows = np.empty((len(images), ends[-1]), np.float32)
    for learner, start, stop in zip(learners, ends[:-1], ends[1:], strict=True):
        np.sqrt(learner.transform(images), out=rows[:, start:stop])
    return rows


def described(dictionaries):
    """Dictionaries in words: parameters that are not defaults."""
    return "; ".join(
        ", ".join(f"{name}={value}" for name, value in each.items()) for each in dictionaries
    )


class Stages:
    """Seconds of the clock and of processors that stages take."""

    def __init__(self):
        self.clock, self.processor = {}, {}

    @contextmanager
    def timed(self, name):
        """Time what is done inside."""
        clock, processor = perf_counter(), process_time()
        yield
        self.clock[name] = perf_counter() - clock
        self.processor[name] = (process_time() - processor) / torch.get_num_threads()

    def row(self):
        """The columns of a row."""
        columns = {name: round(seconds, 1) for name, seconds in self.clock.items()}
        totals = {"minutes": self.clock, "processor (min)": self.processor}
        return columns | {
            name: round(sum(seconds.values()) / 60, 1) for name, seconds in totals.items()
        }
