"""Codes of locations: how strongly each filter answers there.

An encoder is one function and one line in `ENCODERS`. It gets the affinities of all
locations to all filters, (L, K), may overwrite them, and returns the codes, (L, K).
Which affinity it gets is said in the table:

``"response"``
    d.x, the inner product with the whitened patch;
``"nearness"``
    d.x - |d|^2 / 2, which orders the filters as the Euclidean distance does;
``"distance"``
    |x - d|^2, which rounding can make slightly negative.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch


class Encoder(NamedTuple):
    """What an encoder asks for and what it does."""

    affinity: str
    code: Callable


def hard(nearness, *, alpha=None, knn_fraction=None):
    """One at the nearest filter, zero elsewhere; the first one where several tie."""
    codes = _at_least(nearness, nearness.amax(1, keepdim=True))
    if codes.sum() > len(codes):
        tied = (codes.sum(1) > 1).nonzero()[:, 0]
        first = codes[tied].argmax(1)
        codes[tied] = 0
        codes[tied, first] = 1
    return codes


def triangle(distance, *, alpha=None, knn_fraction=None):
    """max(0, mean distance - distance), Coates, Lee & Ng (2011), equation 3."""
    if distance.requires_grad:
        distance = distance.clamp_min(torch.finfo(distance.dtype).tiny)
    z = distance.sqrt_()
    mean = z.mean(1, keepdim=True)
    if mean.isnan().any():  # the root of a zero that was rounded below zero
        mean = z.nan_to_num_(nan=0.0).mean(1, keepdim=True)
    return torch.sub(mean, z, out=None if z.requires_grad else z).relu_()


def soft_threshold(response, *, alpha, knn_fraction=None):
    """max(0, response - alpha), Coates & Ng (2011)."""
    return response.sub_(alpha).relu_() if alpha else response.relu_()


def knn(nearness, *, knn_fraction, alpha=None):
    """One at the nearest fraction of the filters, Thiry et al. (2021).

    Filters that tie with the last one admitted are admitted too.
    """
    n_filters = nearness.shape[1]
    k = min(n_filters, max(1, round(knn_fraction * n_filters)))
    return _at_least(nearness, _kth_largest(nearness, k))


def _at_least(values, threshold):
    """One where a value reaches the threshold, zero elsewhere."""
    if values.requires_grad:
        return values.ge(threshold).to(values.dtype)
    return values.ge_(threshold)


def _kth_largest(values, k):
    nth = values.shape[1] - k
    if values.device.type == "cpu":  # numpy's selection is four times faster there
        part = np.partition(values.detach().numpy(), nth, axis=1)[:, nth]
        return torch.from_numpy(part)[:, None]
    return values.detach().kthvalue(nth + 1, dim=1, keepdim=True).values


ENCODERS = {
    "hard": Encoder("nearness", hard),
    "triangle": Encoder("distance", triangle),
    "soft_threshold": Encoder("response", soft_threshold),
    "knn": Encoder("nearness", knn),
}
