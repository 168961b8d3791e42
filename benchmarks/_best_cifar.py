"""The best that features without labels and a linear classifier give on CIFAR-10, by the clock.

Everything counts: dictionaries, the features of all 60,000 images, and the classifier with the
choice of its penalty. Settings were chosen on held-out training images: see `_best_choices.py`.
What has been measured is kept in `benchmarks/.cache`, so that an interrupted run goes on.
"""

from contextlib import contextmanager
from time import perf_counter, process_time

import numpy as np
import torch
from _clusters import CACHE
from _data import train_and_test
from _linear import Nystroem, ridge_accuracy, standardised

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample

TITLE = "CIFAR-10: the best linear classifiers of features without labels, by the clock"
COMMON = {"n_patches": 200_000, "max_iter": 20, "mirror": True, "random_state": 0}
PENALTIES = (30, 100, 300, 1000)
KERNEL_PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3)
#: Overlapping windows of pooling, three by three, for each size of patches.
WINDOWS = {4: (15, 7), 5: (14, 7), 6: (15, 6)}
#: Minutes; filters of each size of patches; landmarks of each classifier, None: linear features.
ROWS = [
    (2, {5: 500}, (None,)),
    (15, {5: 1200, 6: 600}, (10_000, None)),
    (15, {5: 2000}, (14_000,)),
    (30, {4: 800, 5: 2000, 6: 800}, (18_000,)),
]
#: Minutes and accuracy.
TARGETS = {2: 0.775, 15: 0.83, 30: 0.845}


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
    for limit, n_filters, landmarks in ROWS:
        for row in measured(n_filters, landmarks, quick):
            rows.append({"within (min)": limit, "to reach": TARGETS[limit]} | row)
            print(rows[-1], flush=True)
    return rows


def remarks(rows):
    """Sentences on the rows."""
    common = ", ".join(f"{name}={value}" for name, value in COMMON.items())
    windows = ", ".join(f"{size}: {window}" for size, window in WINDOWS.items())
    return [
        "filters: how many for each patch_size, a KMeansFilterLearner each, encoded with its "
        f"filters and their mirror images ({common}; pool_size, pool_stride by patch_size: "
        f"{windows}).",
        "The features of all of them stand beside each other; square root, standardisation. ridge: "
        "with a penalty chosen on a fifth of the training set. Nyström: the same on features of a "
        "Gaussian kernel between an image and so many training images, without their labels.",
        "minutes: of the clock. processor: process time over the number of threads, in minutes: "
        "less than that of the clock where other work shared the machine.",
    ]


@CACHE.cache
def measured(n_filters, landmarks, quick):
    """Accuracy, and seconds of each stage: a row for each classifier."""
    X, X_test, y, y_test = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    few = {n: 200 if quick else n for n in landmarks if n}
    kernels = {n: Nystroem(few[n]) for n in few}
    common, stages, start = Stages(), {n: Stages() for n in landmarks}, 0
    width = 9 * sum(30 if quick else n for n in n_filters.values()) if None in landmarks else 0
    beside = [np.empty((len(part), width), np.float32) for part in (X, X_test)]
    for size, n in n_filters.items():
        window, step = WINDOWS[size]
        learner = KMeansFilterLearner(
            30 if quick else n, patch_size=size, pool_size=window, pool_stride=step, **COMMON
        )
        with common.timed("fit (s)"):
            learner.fit(X)
        with common.timed("transform (s)"):
            block = [learner.transform(part) for part in (X, X_test)]
            block = standardised(*(np.sqrt(part, out=part) for part in block))
        stop = start + block[0].shape[1]
        for rows, part in zip(beside, block, strict=True):
            if width:
                rows[:, start:stop] = part
        for n_landmarks, kernel in kernels.items():
            with stages[n_landmarks].timed("classifier (s)"):
                kernel.add(*block)
        start = stop
        print(size, common.clock, flush=True)
        del block
    rows = []
    for n_landmarks, stage in stages.items():
        with stage.timed("classifier (s)"):
            if n_landmarks is None:
                train, test = beside
                options = {"penalties": PENALTIES, "dtype": np.float32}
            else:
                train, test = kernels.pop(n_landmarks).features()
                options = {"penalties": KERNEL_PENALTIES, "scale": False}
            n_features = train.shape[1]
            accuracy, penalty = ridge_accuracy((train, y), (test, y_test), **options)
            del train, test
        rows.append(
            {
                "filters": ", ".join(f"{size}: {n}" for size, n in n_filters.items()),
                "classifier": f"Nyström {n_landmarks}, ridge" if n_landmarks else "ridge",
                "features": n_features,
                "accuracy": accuracy,
                "penalty": penalty,
                **(common + stage).row(),
            }
        )
        print(rows[-1], flush=True)
    return rows


class Stages:
    """Seconds of the clock and of processors that stages take."""

    def __init__(self):
        self.clock, self.processor = {}, {}

    @contextmanager
    def timed(self, name):
        """Time what is done inside, on top of what the stage took before."""
        clock, processor = perf_counter(), process_time()
        yield
        spent = perf_counter() - clock, (process_time() - processor) / torch.get_num_threads()
        for seconds, more in zip((self.clock, self.processor), spent, strict=True):
            seconds[name] = seconds.get(name, 0) + more

    def __add__(self, other):
        both = Stages()
        both.clock = self.clock | other.clock
        both.processor = self.processor | other.processor
        return both

    def row(self):
        """The columns of a row."""
        columns = {name: round(seconds, 1) for name, seconds in self.clock.items()}
        totals = {"minutes": self.clock, "processor (min)": self.processor}
        return columns | {
            name: round(sum(seconds.values()) / 60, 1) for name, seconds in totals.items()
        }
