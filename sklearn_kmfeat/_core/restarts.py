"""Several starts of k-means, of which the best goes on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .kmeans import Dictionary


def best_of_restarts(
    samples: Any,
    start: Callable,
    fit: Callable,
    *,
    n_centers: int,
    n_init: int,
    n_ranked: int,
    rng: np.random.RandomState,
) -> Dictionary:
    """The dictionary with the least inertia of several starts.

    Of many samples, a part decides which start is best.

    Parameters
    ----------
    samples : tensor of shape (n, d), or Windows
        Anything with a length, a device, and parts at int64 tensors.
    start : callable
        From samples and `rng` to centers.
    fit : callable
        From samples and centers to a Dictionary. If that was `stopped`, there are no more starts.
    n_centers : int
        That were asked for.
    n_init : int
    n_ranked : int
        Samples that rank the starts, where there are more than twice as many.
    rng : numpy RandomState

    Returns
    -------
    Dictionary
    """
    some = samples
    if n_init > 1 and len(samples) > 2 * n_ranked:
        order = torch.from_numpy(rng.permutation(len(samples))[:n_ranked])
        some = samples[order.to(samples.device)]
    best = None
    for _ in range(n_init):
        found = fit(some, start(some, rng))
        if best is None or found.inertia < best.inertia:
            best = found
        if found.stopped:
            break
    if some is samples:
        return best
    centers = best.centers
    if len(centers) < n_centers:  # the part has fewer different samples
        centers = start(samples, rng)
    return fit(samples, centers)
