"""Planted patterns: what convolutional k-means finds of three patterns at random places in noise.

Beside it, the same without the step that shifts filters, and from other starts.
"""

from itertools import product
from time import perf_counter

import numpy as np
import torch

from sklearn_kmfeat._core.contrast import ContrastVariance, auto_eps
from sklearn_kmfeat._core.conv_kmeans import convolutional
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.whitening import Moments, Whitening, zca_matrices
from sklearn_kmfeat._dictionary.learners import Convolutional

TITLE = "Planted patterns in noise"
SIZE, WINDOW = 7, 14
N_PATTERNS = 3
N_IMAGES = 1000
# The correlation of a filter with a pattern that counts as found. One pixel off, the patterns, of
# independent values, correlate by 0.5 at most.
FOUND = 0.9
# Of a filter that is further off, too few pixels lie on the pattern to tell it from noise.
FURTHEST = 3
PREPARATIONS = {"none": (False, False), "contrast": (True, False), "whitening": (True, True)}
# The standard deviation of the noise, where that of patterns is one, and the preparation.
CASES = (0.3, "none"), (1.0, "none"), (0.3, "contrast"), (1.0, "contrast"), (0.3, "whitening")


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        With fewer images and seeds.

    Returns
    -------
    list of dict
    """
    n_images, seeds = (300, range(3)) if quick else (N_IMAGES, range(20))
    rows = []
    for (noise, preparation), recenter, init in product(CASES, (False, True), ("sample", "energy")):
        how = PREPARATIONS[preparation]
        runs = [found(planted(s, n_images, noise), *how, recenter, init, s) for s in seeds]
        exactly, shifted, n_iter, seconds = np.array(runs, dtype=float).T
        rows.append(
            {
                "noise": noise,
                "preparation": preparation,
                "filters are shifted": "yes" if recenter else "no",
                "init": init,
                "all exactly": f"{exactly.sum():.0f} of {len(seeds)}",
                "up to a shift": f"{shifted.sum():.0f} of {len(seeds)}",
                "iterations": float(n_iter.mean()),
                "seconds": float(seconds.mean()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def planted(seed, n_images, noise):
    """Patterns (3, 7, 7), and images (n, 14, 14) that show one of them each, light or dark."""
    rng = np.random.RandomState(seed)
    patterns = rng.randn(N_PATTERNS, SIZE, SIZE)
    patterns /= patterns.std((1, 2), keepdims=True)
    images = noise * rng.randn(n_images, WINDOW, WINDOW)
    for i, (row, column) in enumerate(rng.randint(0, WINDOW - SIZE + 1, size=(n_images, 2))):
        pattern = rng.choice([-1, 1]) * patterns[i % N_PATTERNS]
        images[i, row : row + SIZE, column : column + SIZE] += pattern
    return patterns, images


def found(data, contrast, whitened, recenter, init, seed):
    """Whether all patterns are found exactly, and up to a shift; iterations and seconds."""
    patterns, images = data
    learner = Convolutional(N_PATTERNS, (WINDOW, WINDOW), init, patch_size=(SIZE, SIZE))
    rows = torch.tensor(images.reshape(len(images), -1), dtype=torch.float32)
    began = perf_counter()
    windows, preparation = learner.prepare(rows, lambda p: prepared(p, contrast, whitened))
    start = learner.start(windows, np.random.RandomState(seed))
    dictionary = convolutional(windows, start, max_iter=200, tol=learner.tol, recenter=recenter)
    seconds = perf_counter() - began
    filters = dictionary.centers.double().numpy()
    return (
        all_among(shifts(patterns, 0), filters, preparation),
        all_among(shifts(patterns, FURTHEST), filters, preparation),
        dictionary.n_iter,
        seconds,
    )


def prepared(patches, contrast, whitened):
    """Prepare patches (n, d) in place, as `ConvKMeans` does by default."""
    preparation = Preparation(auto_eps(ContrastVariance.of(patches)) if contrast else None)
    preparation.apply_(patches)
    if not whitened:
        return preparation
    moments = Moments.of(patches)
    whitening = Whitening(moments.mean, *zca_matrices(moments.covariance(), 0.1)[:2])
    whitening.apply(patches, out=patches)
    return preparation._replace(whitening=whitening)


def shifts(patterns, furthest):
    """Patterns (3, n_shifts, 49), shifted by so many pixels at most, zeros where they end."""
    wide = np.pad(patterns, ((0, 0), (furthest, furthest), (furthest, furthest)))
    cut = np.lib.stride_tricks.sliding_window_view(wide, (SIZE, SIZE), axis=(1, 2))
    return cut.reshape(len(patterns), -1, SIZE * SIZE)


def all_among(patterns, filters, preparation):
    """Whether each pattern, at one of its shifts, is the direction of a filter where it lies."""
    lies = patterns != 0
    rows = preparation.apply_(torch.tensor(patterns.reshape(-1, SIZE * SIZE)))
    rows = rows.numpy().reshape(patterns.shape) * lies
    parts = np.sqrt(lies.astype(float) @ (filters**2).T)
    lengths = np.linalg.norm(rows, axis=2, keepdims=True)
    correlations = np.abs(rows @ filters.T) / (lengths * parts)
    return bool((correlations.max((1, 2)) > FOUND).all())


def remarks(rows):
    """What the columns mean, and what whitening does."""
    return [
        f"Each of {N_IMAGES:,} images of {WINDOW}x{WINDOW} pixels shows one of {N_PATTERNS} random "
        f"patterns of {SIZE}x{SIZE} pixels, at a random place and with a random sign, in normal "
        f"noise of the given standard deviation; that of the patterns is 1. {N_PATTERNS} filters "
        "are learned by convolutional k-means from windows as large as the images.",
        "Found exactly counts the seeds in which every pattern correlates with a filter by more "
        f"than {FOUND}; up to a shift, those in which it does so at a shift of at most {FURTHEST} "
        "pixels each way. Iterations and time are means over the seeds.",
        "Preparation is none, equal contrast of all patches, or equal contrast and whitening, "
        "which is the default of ConvKMeans. Whitening makes the noise as large as the patterns, "
        "so that the best patch of a window seldom shows a pattern: use whiten_eps=None to find "
        "patterns in noise.",
    ]
