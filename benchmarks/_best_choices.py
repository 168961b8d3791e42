"""What the settings of `_best_cifar.py` were chosen from: held-out training images of CIFAR-10.

8,000 training images, and 6,000 others that judge; no test image is seen. About as many features
for each training image as in the large runs, so that what wins here is not what merely has fewer.
"""

import numpy as np
from _best_cifar import KERNEL_PENALTIES, PENALTIES
from _clusters import CACHE
from _data import N_HELD_OUT, N_TRAINING, held_out, revision
from _linear import GaussianKernelRidge, ridge_accuracy, standardised

from sklearn_kmfeat import KMeansFilterLearner

TITLE = "CIFAR-10: settings compared on held-out images"
COMMON = {"n_patches": 100_000, "max_iter": 10, "random_state": 0, "mirror": True}
BASE = {"n_filters": 256, "patch_size": 5, "pool_size": 14, "pool_stride": 7}
SPHERICAL = {"algorithm": "spherical", "encoder": "soft_threshold", "split_sign": True}
RANDOM = {"algorithm": "random", "encoder": "knn", "split_sign": True}
HALF = {"n_filters": 128}
THIRD = {"n_filters": 86}
FOUR = {"patch_size": 4, "pool_size": 15}
SIX = {"patch_size": 6, "pool_size": 15, "pool_stride": 6}
SEVEN = {"patch_size": 7, "pool_stride": 6}
QUADRANTS = {"pool_size": None, "pool_stride": None, "pool_grid": 2}
#: What changes, in dictionaries that stand beside each other, and whether a kernel is used.
ROWS = [
    ("the base", [{}], False),
    ("without mirror images", [{"mirror": False}], False),
    ("twice the filters instead", [{"mirror": False, "n_filters": 512}], False),
    ("quadrants", [QUADRANTS], False),
    ("3 x 3 cells without overlap", [{**QUADRANTS, "pool_grid": 3}], False),
    (
        "4 x 4 windows, as many features",
        [{"n_filters": 144, "pool_size": 13, "pool_stride": 5}],
        False,
    ),
    ("patches of 4", [FOUR], False),
    ("patches of 6", [SIX], False),
    ("patches of 7", [SEVEN], False),
    ("halves of 4 and 5", [FOUR | HALF, HALF], False),
    ("halves of 5 and 6", [HALF, SIX | HALF], False),
    ("whiten_eps=0.03", [{"whiten_eps": 0.03}], False),
    ("whiten_eps=0.3", [{"whiten_eps": 0.3}], False),
    ("spherical, soft threshold, both signs", [SPHERICAL | HALF], False),
    ("random, nearest 40 %, both signs", [RANDOM | HALF], False),
    ("the base, Gaussian kernel", [{}], True),
    ("twice the filters, Gaussian kernel", [{"n_filters": 512}], True),
    ("thirds of 4, 5 and 6, Gaussian kernel", [FOUR | THIRD, THIRD, SIX | THIRD], True),
]


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
    for name, changes, kernel in ROWS:
        dictionaries = [COMMON | BASE | each for each in changes]
        rows.append({"choice": name} | measured(dictionaries, kernel, quick, revision()))
        print(rows[-1], flush=True)
    return rows


def remarks(rows):
    """Sentences on the rows."""
    error = np.sqrt(0.7 * 0.3 / N_HELD_OUT)
    base = ", ".join(f"{name}={value}" for name, value in (BASE | COMMON).items())
    return [
        f"The base is KMeansFilterLearner({base}) with a ridge on standardised square roots; every "
        'other row names what is changed in it. "Gaussian kernel" is a kernel ridge instead.',
        f"The classifiers learn from {N_TRAINING:,} training images of CIFAR-10 and are tested on "
        f"{N_HELD_OUT:,} other training images. The standard error of an accuracy is "
        f"{100 * error:.1f} points, and that of a difference is smaller.",
    ]


@CACHE.cache
def measured(dictionaries, kernel, quick, revision):
    """Accuracy on held-out training images, kept for a revision of the code."""
    images, labels = held_out(quick)
    blocks = []
    for parameters in dictionaries:
        few = {"n_filters": 20, "n_patches": 5000} if quick else {}
        learner = KMeansFilterLearner(**parameters | few).fit(images[0])
        blocks.append([np.sqrt(learner.transform(part)) for part in images])
    train, judges = standardised(*map(np.hstack, zip(*blocks, strict=True)))
    n_features = train.shape[1]
    if kernel:
        model = GaussianKernelRidge()
        model.add(train, judges)
        accuracy, _ = model.accuracy(*labels, KERNEL_PENALTIES)
    else:
        pairs = zip((train, judges), labels, strict=True)
        accuracy, _ = ridge_accuracy(*pairs, penalties=PENALTIES)
    return {"features": n_features, "accuracy": accuracy}
