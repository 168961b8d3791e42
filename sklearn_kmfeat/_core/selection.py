"""The largest values of each row, without sorting."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch

# NumPy's selection takes 0.4 to 0.9 of the time for rows of 300 to 600 values, and from 700 on
# 1.4 to 2.3 times as long.
_FEW = 640
# With 1,600 filters and the nearest 40 %, half of the rows are done after five rounds and 99 in a
# hundred after ten.
_ROUNDS = 10
# Rows are copied together once they are fewer than this share of those before: a copy costs two
# thirds of a count.
_SHARE = 0.5


def dividing(values: torch.Tensor, k: int, few: int = _FEW) -> torch.Tensor:
    """A threshold for each row that its `k` largest values reach, those that tie, and no others.

    To count the values over a threshold takes a fortieth of the time of a selection. Rows of many
    responses are nearly normal, which gives the first threshold; each next one is interpolated. A
    row of which exactly `k` values reach it is done. What is left after some rounds, such as rows
    whose k-th value stands there several times, is selected.

    Parameters
    ----------
    values : tensor of shape (n, m)
        Of any layout, without NaN.
    k : int
        1 to m.
    few : int, default=640
        Rows of so few values are selected at once.

    Returns
    -------
    tensor of shape (n, 1)
    """
    values = values.detach()
    if values.device.type != "cpu":
        return values.kthvalue(values.shape[1] - k + 1, dim=1, keepdim=True).values
    if values.shape[1] <= few or k == values.shape[1]:
        return _kth_largest(values, k)
    thresholds = np.empty(len(values), values.numpy().dtype)
    rows, search = np.arange(len(values)), _Search.start(values, k)
    scratch = torch.empty_like(values)
    for _ in range(_ROUNDS):
        threshold = torch.from_numpy(search.threshold)[:, None]
        count = torch.ge(values, threshold, out=scratch[: len(values)]).sum(1).numpy()
        left = np.flatnonzero(count != k)
        thresholds[rows] = search.threshold  # of those that are left, they are not the last
        if not len(left):
            return torch.from_numpy(thresholds)[:, None]
        search = search.next(count)
        if len(left) < _SHARE * len(rows):
            rows, search = rows[left], search.of(left)
            values = values.index_select(0, torch.from_numpy(left))
    thresholds[rows] = _kth_largest(values, k)[:, 0].numpy()
    return torch.from_numpy(thresholds)[:, None]


class _Search(NamedTuple):
    """Where the threshold of each row is looked for; arrays (n,).

    Attributes
    ----------
    k : int
    threshold : array
        To try next.
    slope : array
        The difference of two thresholds that one more value lies between, by the normal density.
    low, high : arrays
        The closest thresholds that more, and fewer, than `k` values reach.
    n_low, n_high : arrays
        How many do.
    """

    k: int
    threshold: np.ndarray
    slope: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_low: np.ndarray
    n_high: np.ndarray

    @classmethod
    def start(cls, values, k):
        n, normal = values.shape[1], NormalDist()
        mean = values.mean(1).numpy()
        with np.errstate(all="ignore"):
            square = torch.linalg.vector_norm(values, dim=1).numpy() ** 2 / n
            deviation = np.sqrt(np.maximum(square - mean**2, 0))
            z = normal.inv_cdf(1 - k / n)
            threshold, slope = mean + z * deviation, deviation / (n * normal.pdf(z))
        zero = np.zeros_like(mean)
        return cls(k, threshold, slope, zero - np.inf, zero + np.inf, zero + n, zero)

    def next(self, count):
        k, threshold, slope, low, high, n_low, n_high = self
        more = count > k
        low, n_low = np.where(more, (threshold, count), (low, n_low))
        high, n_high = np.where(more, (high, n_high), (threshold, count))
        with np.errstate(all="ignore"):
            # Of values spread evenly between both, n_low - k lie below the middle of the next gap.
            between = low + (high - low) * ((n_low - k + 0.5) / (n_low - n_high + 1))
            beyond = threshold + (count - k) * slope
        threshold = np.where(np.isfinite(between), between, beyond)
        return _Search(k, threshold, slope, low, high, n_low, n_high)

    def of(self, rows):
        return _Search(self.k, *np.stack(self[1:])[:, rows])


def _kth_largest(values, k):
    nth = values.shape[1] - k
    # NumPy's selection takes a quarter of the time of torch's.
    part = np.partition(values.numpy(), nth, axis=1)[:, nth]
    return torch.from_numpy(part)[:, None]
