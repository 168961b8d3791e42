"""Several starts of k-means, and the best of what they lead to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .kmeans import Dictionary


def best_of_restarts(
    samples: Any,
    start: Callable[[Any, np.random.RandomState], torch.Tensor],
    fit: Callable[[Any, torch.Tensor], Dictionary],
    *,
    n_centers: int,
    n_init: int,
    n_ranked: int,
    rng: np.random.RandomState,
) -> Dictionary:
    """The run of least inertia.

    A start that is better on a part of many samples is better on all of them. So where there
    are more than twice `n_ranked`, a random part ranks the starts, and the centers that came out
    of the best one are the start on all samples.

    Parameters
    ----------
    samples : tensor of shape (n, d), or Windows
        Anything with a length, a device, and parts at int64 tensors.
    start : callable
        From samples and `rng` to centers (k, d): at most `n_centers`, fewer where the samples
        have fewer different values.
    fit : callable
        From samples and such centers to a Dictionary.
    n_centers : int
    n_init : int
        Number of starts; fewer are tried where a Dictionary was `stopped`. A part that ranked
        the starts is then still followed by one run over all samples.
    n_ranked : int
        Samples in the part that ranks the starts.
    rng : numpy RandomState

    Returns
    -------
    Dictionary
        The first of equals; learned from all samples.
    """
    part = samples
    # A part of more than half saves nothing.
    if n_init > 1 and len(samples) > 2 * n_ranked:
        order = torch.from_numpy(rng.permutation(len(samples))[:n_ranked])
        part = samples[order.to(samples.device)]
    best = None
    for _ in range(n_init):
        run = fit(part, start(part, rng))
        if best is None or run.inertia < best.inertia:
            best = run
        if run.stopped:
            break
    if part is samples:
        return best
    centers = best.centers
    if len(centers) < n_centers:  # the part has fewer different samples
        centers = start(samples, rng)
    return fit(samples, centers)
