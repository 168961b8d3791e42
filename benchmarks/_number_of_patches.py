"""What more patches buy: the dictionary's error on new patches, and accuracy, on CIFAR-10.

Everything comes from the training images: a dictionary from 35,000 of them, a classifier from some
of these, and others that judge both.
"""

import numpy as np
import torch
from _clusters import CACHE
from _data import revision, train_and_test
from _linear import ridge_accuracy

from sklearn_kmfeat import KMeansFilterLearner, PatchExtractor
from sklearn_kmfeat._core.assign import nearest, squared_errors
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.whitening import Whitening
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample

TITLE = "CIFAR-10: accuracy by the number of patches"
N_FILTERS = 1600
#: Patches, and how many seeds: the more patches, the less one dictionary differs from another.
SEEDS = {40_000: 3, 400_000: 3, 4_000_000: 1, 10_000_000: 1}
N_DICTIONARY, N_TRAINING, N_HELD_OUT = 35_000, 15_000, 15_000
N_NEW_PATCHES = 200_000
PENALTIES = (100, 300, 1000, 3000)


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        On the shipped sample, with few filters and patches.

    Returns
    -------
    list of dict
    """
    sizes = {2000: 2, 20_000: 1} if quick else SEEDS
    found = {n: [] for n in sizes}
    for seed in range(max(sizes.values())):  # the first seed of all, then the second, ...
        for n_patches, n_seeds in sizes.items():
            if seed < n_seeds:
                found[n_patches].append(measured(n_patches, seed, quick, revision()))
                print(n_patches, seed, found[n_patches][-1], flush=True)
    return [row_of(n_patches, np.array(results)) for n_patches, results in found.items()]


def row_of(n_patches, found):
    """A row of the table: means over the seeds."""
    return {
        "patches": f"{n_patches:,}",
        "of a filter": round(n_patches / N_FILTERS),
        "error of new patches": round(found[:, 0].mean(), 5),
        "accuracy": round(found[:, 1].mean(), 4),
        "of each seed": " ".join(f"{accuracy:.4f}" for accuracy in found[:, 1]),
    }


def remarks(rows):
    """Sentences on the rows."""
    best = max(row["accuracy"] for row in rows)
    error = np.sqrt(best * (1 - best) / N_HELD_OUT)
    return [
        f"KMeansFilterLearner({N_FILTERS}) learns 6x6 filters from {N_DICTIONARY:,} training "
        f"images, which have {N_DICTIONARY * 27 * 27 / 1e6:.1f} million patches. The classifier is "
        f"a ridge on standardised square roots of {N_TRAINING:,} of these images, pooled in "
        "quadrants.",
        "The error of new patches is the mean squared distance of "
        f"{N_NEW_PATCHES:,} prepared patches of {N_HELD_OUT:,} other training images to their "
        "nearest center, divided by their mean squared length.",
        "Accuracy is that on these other images; its standard error is "
        f"{100 * error:.1f} points, and that of a difference is smaller.",
    ]


@CACHE.cache
def measured(n_patches, seed, quick, revision):
    """Error of new patches and accuracy, kept for a revision of the code."""
    few = (1200, 700, 300) if quick else (N_DICTIONARY, N_TRAINING, N_HELD_OUT)
    images, _, labels, _ = train_and_test(fetch_cifar10, load_cifar10_sample, quick)
    order = np.random.RandomState(0).permutation(len(images))
    learned, judges = order[: few[0]], order[few[0] : few[0] + few[2]]
    n_filters = 50 if quick else N_FILTERS
    learner = KMeansFilterLearner(n_filters, n_patches=n_patches, random_state=seed)
    learner.fit(images[learned])
    error = error_of_new(learner, images[judges], 5000 if quick else N_NEW_PATCHES)
    parts = learned[: few[1]], judges
    features = (np.sqrt(learner.transform(images[part])) for part in parts)
    sets = zip(features, (labels[part] for part in parts), strict=True)
    accuracy, _ = ridge_accuracy(*sets, penalties=PENALTIES)
    return error, accuracy


def error_of_new(learner, images, n_patches):
    """Share of the squared length of new patches, prepared, that their nearest centers leave."""
    patches = PatchExtractor(learner.patch_size, n_patches=n_patches, random_state=0)
    patches = torch.from_numpy(patches.fit_transform(images).astype(np.float32))
    whitener = learner.whitener_
    whitening = Whitening(*map(torch.from_numpy, (whitener.mean_, whitener.whitening_)))
    patches = Preparation(learner.contrast_eps_, whitening).apply_(patches)
    centers = torch.from_numpy(learner.cluster_centers_)
    errors = squared_errors(patches, centers, nearest(patches, centers)[0])
    return float(errors.double().mean() / patches.double().square().sum(1).mean())
